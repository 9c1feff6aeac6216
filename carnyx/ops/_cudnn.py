"""The LSTM of NVIDIA's cuDNN: all steps of a sequence in one kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from carnyx._core.scope import distributed, fast_gradients, platform
from carnyx.typing import Tensor

# (x, h0, c0, packed weights, lengths) -> outputs, last h, last c
Kernel = Callable[..., tuple[jax.Array, jax.Array, jax.Array]]

_PRECISIONS = (None, "high", "highest", "float32", "tensorfloat32")


def lstm_fits(activation: object, recurrent_activation: object, *arrays: Any) -> bool:
    """Whether the kernel is there and computes the same.

    Its gradient can be taken once, in reverse: a training step's. XLA does not know how
    to split it over devices.
    """
    names = [getattr(f, "__name__", "") for f in (activation, recurrent_activation)]
    return (
        platform() == "gpu"
        and fast_gradients()
        and not distributed()
        and names == ["tanh", "sigmoid"]
        and all(a is None or a.dtype == jnp.float32 for a in arrays)
        and jax.config.jax_default_matmul_precision in _PRECISIONS  # type: ignore[attr-defined]
        and _is_there()
    )


def _is_there() -> bool:
    from jax.experimental import rnn

    library = getattr(rnn, "gpu_rnn", None)
    if not hasattr(library, "compute_rnn_workspace_reserve_space_sizes"):
        return False
    client: Any = jax.devices()[0].client
    return "rocm" not in client.platform_version.lower()  # has its gates otherwise


def packed_weights(kernel: Tensor, recurrent: Tensor, bias: Tensor) -> jax.Array:
    """One array: W', U', a bias for inputs, one for states (there is none here).

    Gates i, f, g, o: in the columns of W and U, in the rows of what cuDNN wants.
    """
    none = jnp.zeros(kernel.shape[1], kernel.dtype)
    bias = none if bias is None else bias
    return jnp.concatenate([kernel.T.ravel(), recurrent.T.ravel(), bias, none])


def _cudnn(x: Any, h: Any, c: Any, weights: Any, lengths: Any) -> Any:
    from jax.experimental import rnn

    sizes = x.shape[2], h.shape[1]
    y, h, c = rnn.lstm(x, h[None], c[None], weights, lengths, *sizes, 1, 0.0, False)
    return y, h[0], c[0]


def lstm(
    x: Tensor, h0: Tensor, c0: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor,
    mask: Tensor,
    reverse: bool, zero_output_for_mask: bool, run: Kernel = _cudnn,
) -> tuple[jax.Array, jax.Array, list[jax.Array]]:  # fmt: skip
    """As `recurrent.lstm`; a mask has to be true, then false (see `is_at_the_end`)."""
    x = jnp.flip(x, 1) if reverse else x
    lengths = jnp.full(x.shape[0], x.shape[1], jnp.int32)
    if mask is not None:
        lengths = jnp.sum(mask, 1, dtype=jnp.int32)
    weights = packed_weights(kernel, recurrent, bias)
    outputs, h, c = run(x, h0, c0, weights, lengths)
    last = h
    if mask is not None:
        kept = 0 if zero_output_for_mask else h[:, None]
        outputs = jnp.where(mask[..., None], outputs, kept)
        last = outputs[:, -1]
    return last, outputs, [h, c]


def is_at_the_end(mask: jax.Array) -> jax.Array:
    """Whether every sequence has a step, and what is masked comes after the others."""
    return jnp.all(mask[:, 0]) & jnp.all(mask[:, 1:] <= mask[:, :-1])
