"""Nonlinearities: functions of each element, and softmax and its relatives."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from carnyx._core.op import op
from carnyx._core.scope import fast_gradients
from carnyx.errors import ArgumentError
from carnyx.ops._dtypes import tensor
from carnyx.ops._thin import axes as hashable
from carnyx.ops._thin import unary
from carnyx.typing import Axis, Tensor

# fmt: off
__all__ = [
    "celu", "elu", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_swish", "hard_tanh", "leaky_relu", "log_sigmoid", "log_softmax", "relu",
    "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus",
    "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish",
    "tanh_shrink", "threshold",
]
# fmt: on


_unary = functools.partial(unary, module="carnyx.ops.nn")

relu = _unary(jax.nn.relu, "max(x, 0).")
relu6 = _unary(jax.nn.relu6, "min(max(x, 0), 6).")
sigmoid = _unary(jax.nn.sigmoid, "1 / (1 + exp(-x)).")
sparse_sigmoid = _unary(
    jax.nn.sparse_sigmoid,
    "0 below -1, 1 above 1, (x + 1) / 2 between: the derivative of `sparse_plus`.",
)
softplus = _unary(jax.nn.softplus, "log(1 + exp(x)).")
softsign = _unary(jax.nn.soft_sign, "x / (1 + |x|).", name="softsign")
sparse_plus = _unary(jax.nn.sparse_plus, "0 below -1, x above 1, (x + 1)² / 4 between.")
silu = _unary(
    jax.nn.silu,
    """x sigmoid(x), also called swish.

    References: Ramachandran, Zoph & Le 2017, arXiv:1710.05941
    """,
)
swish = silu
log_sigmoid = _unary(jax.nn.log_sigmoid, "log(sigmoid(x)).")
hard_sigmoid = _unary(jax.nn.hard_sigmoid, "relu6(x + 3) / 6.")
hard_silu = _unary(jax.nn.hard_silu, "x relu6(x + 3) / 6.", name="hard_silu")
hard_swish = hard_silu
hard_tanh = _unary(jax.nn.hard_tanh, "x clipped to [-1, 1].")
tanh_shrink = _unary(lambda x: x - jnp.tanh(x), "x - tanh(x).", name="tanh_shrink")
selu = _unary(
    jax.nn.selu,
    """scale · elu(x, alpha), with constants that keep mean 0 and variance 1.

    References: Klambauer et al. 2017, arXiv:1706.02515
    """,
)


@op
def soft_shrink(x: Tensor, threshold: float = 0.5) -> Tensor:
    """x moved towards 0 by `threshold`, 0 where it would pass it."""
    x = tensor(x)
    toward = jnp.where(x < -threshold, x + threshold, 0.0)
    return jnp.where(x > threshold, x - threshold, toward)


@op
def squareplus(x: Tensor, b: float = 4) -> Tensor:
    """(x + sqrt(x² + b)) / 2, a smooth relu.

    References: Barron 2021, arXiv:2112.11687
    """
    return jax.nn.squareplus(tensor(x), b)


@op
def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    """x above 0, negative_slope · x below."""
    return jax.nn.leaky_relu(tensor(x), negative_slope)


@op
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x above 0, alpha (exp(x) - 1) below.

    References: Clevert, Unterthiner & Hochreiter 2016, arXiv:1511.07289
    """
    return jax.nn.elu(tensor(x), alpha)


@op
def gelu(x: Tensor, approximate: bool = True) -> Tensor:
    """x Φ(x), Φ the normal distribution function, by its tanh formula if approximate.

    References: Hendrycks & Gimpel 2016, arXiv:1606.08415
    """
    x = tensor(x)
    fast = (
        fast_gradients() and not approximate and jnp.issubdtype(x.dtype, jnp.floating)
    )
    return _fast_gelu(x) if fast else jax.nn.gelu(x, approximate)


def _below(x: jax.Array) -> jax.Array:
    """Φ(x). On a CPU `erf` is one pass, `erfc`, exact far below 0 too, several."""
    return 0.5 * (1 + lax.erf(x * np.sqrt(0.5).astype(x.dtype)))


@jax.custom_vjp
def _fast_gelu(x: jax.Array) -> jax.Array:
    return x * _below(x)


def _gelu_backward(x: jax.Array, g: jax.Array) -> tuple[jax.Array]:
    # Computed again behind a barrier: else XLA keeps Φ(x) and more in memory, and
    # fresh memory is a quarter of a step's time.
    x = lax.optimization_barrier(x)
    density = jnp.exp(-0.5 * jnp.square(x)) * np.sqrt(0.5 / np.pi).astype(x.dtype)
    return (g * (_below(x) + x * density),)


_fast_gelu.defvjp(lambda x: (x * _below(x), x), _gelu_backward)


@op
def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x above 0, alpha (exp(x / alpha) - 1) below.

    References: Barron 2017, arXiv:1704.07483
    """
    return jax.nn.celu(tensor(x), alpha)


@op
def glu(x: Tensor, axis: int = -1) -> Tensor:
    """a sigmoid(b), a and b the halves of x along `axis`.

    References: Dauphin et al. 2017, arXiv:1612.08083
    """
    return jax.nn.glu(tensor(x), axis)


@op
def hard_shrink(x: Tensor, threshold: float = 0.5) -> Tensor:
    """x where |x| > threshold, else 0."""
    x = tensor(x)
    return jnp.where(jnp.abs(x) > threshold, x, 0.0)


@op
def threshold(x: Tensor, threshold: float, default_value: float) -> Tensor:
    """x where x > threshold, else `default_value`."""
    x = tensor(x)
    return jnp.where(x > threshold, x, default_value)


def _check_axis(x: jax.Array, axis: Axis) -> None:
    if isinstance(axis, int) and not -x.ndim <= axis < x.ndim:
        raise ArgumentError(f"axis={axis} is not an axis of an array {x.shape}.")


@op
def softmax(x: Tensor, axis: Axis = -1) -> Tensor:
    """exp(x) / sum(exp(x)) over `axis`: one axis, several, or None for all.

    >>> softmax([0.0, 0.0]).tolist()
    [0.5, 0.5]
    """
    x = tensor(x)
    _check_axis(x, axis)
    return jax.nn.softmax(x, hashable(axis))


@op
def log_softmax(x: Tensor, axis: Axis = -1) -> Tensor:
    """log(softmax(x)), without leaving the range of floats."""
    x = tensor(x)
    _check_axis(x, axis)
    return jax.nn.log_softmax(x, hashable(axis))


@op
def sparsemax(x: Tensor, axis: int = -1) -> Tensor:
    """The point of the simplex nearest to x: a softmax that reaches 0.

    References: Martins & Astudillo 2016, arXiv:1602.02068
    """
    z = jnp.moveaxis(tensor(x), axis, -1)
    z = z - lax.stop_gradient(z.max(-1, keepdims=True))  # the sums stay small
    ordered = -jnp.sort(-z, -1)
    above = jnp.cumsum(ordered, -1) - 1
    k = jnp.arange(1, z.shape[-1] + 1, dtype=z.dtype)
    support = jnp.sum(k * ordered > above, -1, keepdims=True)
    tau = jnp.take_along_axis(above, support - 1, -1) / support.astype(z.dtype)
    return jnp.moveaxis(jnp.maximum(z - tau, 0), -1, axis)
