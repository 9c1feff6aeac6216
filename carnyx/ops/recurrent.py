"""Recurrent layers: the step of each cell, and whole sequences of them. Not public.

The steps are what cells (`layers/rnn_cells.py`) and whole sequences (`_recurrence.py`)
both compute. On an NVIDIA GPU, a training step runs an LSTM by cuDNN's kernel where
that computes the same (`_cudnn.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from carnyx.ops import _cudnn
from carnyx.ops._dtypes import tensor
from carnyx.ops._recurrence import (
    Activation,
    States,
    Weights,
    are_known,
    as_floats,
    finished,
    over_sequence,
    plus,
    time_first,
)
from carnyx.typing import Tensor

__all__ = ["gru", "lstm", "simple_rnn"]

Sequences = tuple[jax.Array, jax.Array, list[jax.Array]]  # last, outputs, states

# ---- One step


def lstm_step(
    z: Tensor,
    h: Tensor,
    c: Tensor,
    *,
    activation: Activation,
    recurrent_activation: Activation,
    axis: int = -1,
) -> tuple[jax.Array, jax.Array]:
    """c = f c + i g, h = o activation(c); i, f, g, o from z, the blocks of `axis`.

    Shapes: z (b, 4u) in that order, h and c (b, u) -> h, c

    References: Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735
    """
    gate = recurrent_activation
    i, f, g, o = jnp.split(z, 4, axis)
    c = gate(f) * c + gate(i) * activation(g)
    return gate(o) * activation(c), c


def gru_step(
    z: tuple[Tensor, Tensor],
    h: Tensor,
    *,
    activation: Activation,
    recurrent_activation: Activation,
) -> tuple[jax.Array]:
    """h = u h + (1 - u) activation(xₙ + r hₙ): update u, reset r after the product.

    Shapes: z what inputs and state contribute to u, r, n, each (b, 3u); h (b, u) -> h

    References: Cho et al. 2014, arXiv:1406.1078
    """
    gate = recurrent_activation
    (xu, xr, xn), (hu, hr, hn) = (jnp.split(part, 3, -1) for part in z)
    update, reset = gate(xu + hu), gate(xr + hr)
    return (update * h + (1 - update) * activation(xn + reset * hn),)


def gru_step_reset_before(
    x: Tensor,
    h: Tensor,
    to_gates: Callable[[Tensor], Tensor],
    to_candidate: Callable[[Tensor], Tensor],
    *,
    activation: Activation,
    recurrent_activation: Activation,
) -> jax.Array:
    """As `gru_step`, with activation(xₙ + (r h) Uₙ): the reset enters the product.

    Args:
        x: what inputs contribute to u, r, n.
        to_gates, to_candidate: the products with the recurrent kernel's columns.
    """
    x_gates, x_candidate = jnp.split(x, [2 * h.shape[-1]], -1)
    gates = recurrent_activation(x_gates + to_gates(h))
    update, reset = jnp.split(gates, 2, -1)
    new = activation(x_candidate + to_candidate(reset * h))
    return update * h + (1 - update) * new


# ---- Whole sequences


def lstm(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    kernel: Tensor,
    recurrent_kernel: Tensor,
    bias: Tensor | None,
    *,
    activation: Activation,
    recurrent_activation: Activation,
    mask: Tensor | None = None,
    reverse: bool = False,
    zero_output_for_mask: bool = False,
) -> Sequences:
    """Long short-term memory; gates i, f, c, o in the columns of the kernels.

    Shapes: (b, t, f), (b, u), (b, u), (f, 4u), (u, 4u), (4u,) ->
    last (b, u), outputs (b, t, u), [h, c]
    """
    x, w = as_floats(x, kernel), Weights(kernel, recurrent_kernel, bias)
    known = are_known(activation, recurrent_activation)
    cell = functools.partial(
        lstm_step, activation=activation, recurrent_activation=recurrent_activation
    )

    def scanned() -> Sequences:
        return over_sequence(
            cell, True, known, x, (h0, c0), w, mask, reverse, zero_output_for_mask
        )

    arrays = tensor(x), tensor(h0), tensor(c0), *w[:3]
    fits = known and _cudnn.lstm_fits(activation, recurrent_activation, *arrays)
    if not fits or (reverse and mask is not None):
        return scanned()
    fused = functools.partial(_cudnn.lstm, *arrays)
    if mask is None:
        return fused(None, reverse, zero_output_for_mask)
    mask = tensor(mask).astype(bool)
    masked = functools.partial(fused, mask, reverse, zero_output_for_mask)
    return lax.cond(_cudnn.is_at_the_end(mask), masked, scanned)


def gru(
    x: Tensor,
    h0: Tensor,
    kernel: Tensor,
    recurrent_kernel: Tensor,
    bias: Tensor | None,
    *,
    activation: Activation,
    recurrent_activation: Activation,
    reset_after: bool = True,
    mask: Tensor | None = None,
    reverse: bool = False,
    zero_output_for_mask: bool = False,
) -> Sequences:
    """Gated recurrent unit; gates z, r, h in the columns of the kernels.

    Args:
        reset_after: the reset gate comes after the recurrent product, which then has a
            bias of its own: `bias` is (2, 3u), else (3u,).
    """
    x = as_floats(x, kernel)
    functions = activation, recurrent_activation
    if not reset_after:
        weights = kernel, recurrent_kernel, bias
        return _gru_reset_before(
            x, h0, weights, functions, mask, reverse, zero_output_for_mask
        )
    cell = functools.partial(
        gru_step, activation=activation, recurrent_activation=recurrent_activation
    )
    biases = (None, None) if bias is None else (bias[0], bias[1])
    w = Weights(kernel, recurrent_kernel, *biases)
    known = are_known(*functions)
    return over_sequence(
        cell, False, known, x, (h0,), w, mask, reverse, zero_output_for_mask
    )


def _gru_reset_before(
    x: Tensor, h0: Tensor, weights: tuple[Tensor, Tensor, Tensor | None],
    functions: tuple[Activation, Activation], mask: Tensor | None, reverse: bool,
    zero: bool,
) -> Sequences:  # fmt: skip
    """The reset state enters a product, so this is no cell in z: a plain scan."""
    kernel, recurrent, bias = weights
    gates, candidate = jnp.split(recurrent, [2 * recurrent.shape[0]], 1)
    step_of = functools.partial(
        gru_step_reset_before,
        to_gates=lambda h: h @ gates,
        to_candidate=lambda h: h @ candidate,
        activation=functions[0],
        recurrent_activation=functions[1],
    )

    def step(h: jax.Array, inputs: tuple[jax.Array, jax.Array | None]):
        x_t, mask_t = inputs
        new = step_of(plus(x_t @ kernel, bias), h)
        new = new if mask_t is None else jnp.where(mask_t, new, h)
        return new, new

    steps, mask = time_first(x, mask)
    h0 = tensor(h0).astype(steps.dtype)
    last, outputs = lax.scan(step, h0, (steps, mask), reverse=reverse)
    return finished((last,), outputs, mask, reverse, zero)


def simple_rnn(
    x: Tensor,
    h0: Tensor,
    kernel: Tensor,
    recurrent_kernel: Tensor,
    bias: Tensor | None,
    *,
    activation: Activation,
    mask: Tensor | None = None,
    reverse: bool = False,
    zero_output_for_mask: bool = False,
) -> Sequences:
    """h = activation(x W + h U + b).

    References: Elman 1990, doi:10.1207/s15516709cog1402_1
    """

    def cell(z: jax.Array, h: jax.Array) -> States:
        return (activation(z),)

    x, w = as_floats(x, kernel), Weights(kernel, recurrent_kernel, bias)
    return over_sequence(
        cell, True, are_known(activation), x, (h0,), w, mask, reverse,
        zero_output_for_mask,
    )  # fmt: skip
