"""What surrounds cuDNN's kernels, with JAX's reference of the LSTM in its place."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

from carnyx import ops
from carnyx._core.scope import scoped
from carnyx.ops import _cudnn, recurrent

rng = np.random.default_rng(0)
BATCH, STEPS, FEATURES, UNITS = 4, 5, 3, 2
ENDS = np.arange(STEPS) < np.array([5, 3, 1, 4])[:, None]
HOW = dict(activation=jnp.tanh, recurrent_activation=jax.nn.sigmoid)


def arrays(*shapes: Any) -> list[Any]:
    return [jnp.asarray(rng.normal(size=s).astype("float32")) for s in shapes]


def operands(bias: bool = True) -> list[Any]:
    found = arrays(
        (BATCH, STEPS, FEATURES), (BATCH, UNITS), (BATCH, UNITS),
        (FEATURES, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,),
    )  # fmt: skip
    return found if bias else [*found[:-1], None]


def reference(x: Any, h: Any, c: Any, weights: Any, lengths: Any) -> Any:
    sizes = x.shape[2], h.shape[1], 1
    parts = rnn.unpack_lstm_weights(weights, *sizes, False)
    y, h, c = rnn.lstm_ref(x, h[None], c[None], *parts, lengths, *sizes, 0.0, False)
    return y, h[0], c[0]


def test_packed_weights() -> None:
    kernel, recurrent_kernel, bias = operands()[3:]
    packed = _cudnn.packed_weights(kernel, recurrent_kernel, bias)
    assert packed.shape == (rnn.get_num_params_in_lstm(FEATURES, UNITS, 1, False),)
    unpacked = rnn.unpack_lstm_weights(packed, FEATURES, UNITS, 1, False)
    wanted = kernel.T, recurrent_kernel.T, bias, jnp.zeros(4 * UNITS)
    for got, expected in zip(unpacked, wanted, strict=True):
        np.testing.assert_array_equal(got[0], expected)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "mask, reverse, zero",
    [
        (None, False, False),
        (None, True, False),
        (ENDS, False, True),
        (ENDS, False, False),
    ],
)
def test_it_is_the_scan(mask: Any, reverse: bool, zero: bool, bias: bool) -> None:
    given = operands(bias)
    given, weighed = (given, arrays((BATCH, STEPS, UNITS)))

    def scanned(*given: Any) -> Any:
        return recurrent.lstm(
            *given, mask=mask, reverse=reverse, zero_output_for_mask=zero, **HOW
        )

    def fused(*given: Any) -> Any:
        marks = None if mask is None else jnp.asarray(mask)
        return _cudnn.lstm(*given, marks, reverse, zero, run=reference)

    def total(run: Any) -> Any:
        def of(*given: Any) -> Any:
            last, outputs, (h, c) = run(*given)
            return jnp.sum(outputs * weighed[0]) + jnp.sum(last * 2 + h * c)

        return jax.grad(of, tuple(range(6 if bias else 5)))(*given)

    for ours, plain in (
        (fused(*given), scanned(*given)),
        (total(fused), total(scanned)),
    ):
        jax.tree_util.tree_map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
            ours,
            plain,
        )


def test_which_masks_fit() -> None:
    holes = np.array([[1, 0, 1, 1, 1]] * 2, bool)
    assert _cudnn.is_at_the_end(jnp.asarray(ENDS))
    assert not _cudnn.is_at_the_end(jnp.asarray(holes))
    assert not _cudnn.is_at_the_end(jnp.zeros((2, 5), bool))


def test_not_where_there_is_none() -> None:
    given = operands()
    with scoped(fast_gradients=True, platform="gpu"):  # a program for elsewhere
        fits = _cudnn.lstm_fits(jnp.tanh, jax.nn.sigmoid, *given)
    assert fits == (jax.default_backend() == "gpu")
    with scoped(fast_gradients=True, platform="cpu"):
        assert not _cudnn.lstm_fits(jnp.tanh, jax.nn.sigmoid, *given)


PADDING = jnp.ones((2, 1, 1, 8), bool)


@pytest.mark.parametrize(
    "times, value_size, mask, fused",
    [
        (8, 8, None, True),
        (7, 8, None, True),
        (8, 8, PADDING, True),
        (7, 8, PADDING, False),  # the gradient of a mask needs even lengths
        (8, 16, None, False),
    ],
)
def test_which_attention_fits(
    times: int, value_size: int, mask: Any, fused: bool
) -> None:
    def total(q: Any, k: Any, v: Any) -> Any:
        with scoped(platform="gpu", fast_gradients=True):  # on paper
            return jnp.sum(ops.dot_product_attention(q, k, v, mask=mask))

    shapes = (2, times, 4, 8), (2, 8, 4, 8), (2, 8, 4, value_size)
    given = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes]
    assert ("fused" in str(jax.make_jaxpr(jax.grad(total))(*given))) == fused
