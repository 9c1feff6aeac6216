"""Nonlinearities: functions of each element, and softmax and its relatives."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from carnyx._core.op import op
from carnyx.errors import ArgumentError
from carnyx.ops._dtypes import tensor
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


@op
def relu(x: Tensor) -> Tensor:
    """max(x, 0).

    >>> relu([-1.0, 2.0]).tolist()
    [0.0, 2.0]
    """
    return jax.nn.relu(tensor(x))


@op
def relu6(x: Tensor) -> Tensor:
    """min(max(x, 0), 6)."""
    return jax.nn.relu6(tensor(x))


@op
def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return jax.nn.sigmoid(tensor(x))


@op
def sparse_sigmoid(x: Tensor) -> Tensor:
    """0 below -1, 1 above 1, (x + 1) / 2 between: the derivative of `sparse_plus`."""
    return jax.nn.sparse_sigmoid(tensor(x))


@op
def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x))."""
    return jax.nn.softplus(tensor(x))


@op
def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return jax.nn.soft_sign(tensor(x))


@op
def soft_shrink(x: Tensor, threshold: float = 0.5) -> Tensor:
    """x moved towards 0 by `threshold`, 0 where it would pass it."""
    x = tensor(x)
    toward = jnp.where(x < -threshold, x + threshold, 0.0)
    return jnp.where(x > threshold, x - threshold, toward)


@op
def sparse_plus(x: Tensor) -> Tensor:
    """0 below -1, x above 1, (x + 1)² / 4 between."""
    return jax.nn.sparse_plus(tensor(x))


@op
def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), also called swish.

    References: Ramachandran, Zoph & Le 2017, arXiv:1710.05941
    """
    return jax.nn.silu(tensor(x))


@op
def swish(x: Tensor) -> Tensor:
    """x sigmoid(x): `silu`."""
    return jax.nn.silu(tensor(x))


@op
def squareplus(x: Tensor, b: float = 4) -> Tensor:
    """(x + sqrt(x² + b)) / 2, a smooth relu.

    References: Barron 2021, arXiv:2112.11687
    """
    return jax.nn.squareplus(tensor(x), b)


@op
def log_sigmoid(x: Tensor) -> Tensor:
    """log(sigmoid(x))."""
    return jax.nn.log_sigmoid(tensor(x))


@op
def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    """x above 0, negative_slope · x below."""
    return jax.nn.leaky_relu(tensor(x), negative_slope)


@op
def hard_sigmoid(x: Tensor) -> Tensor:
    """relu6(x + 3) / 6."""
    return jax.nn.hard_sigmoid(tensor(x))


@op
def hard_silu(x: Tensor) -> Tensor:
    """x relu6(x + 3) / 6."""
    return jax.nn.hard_silu(tensor(x))


@op
def hard_swish(x: Tensor) -> Tensor:
    """x relu6(x + 3) / 6: `hard_silu`."""
    return jax.nn.hard_silu(tensor(x))


@op
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x above 0, alpha (exp(x) - 1) below.

    References: Clevert, Unterthiner & Hochreiter 2016, arXiv:1511.07289
    """
    return jax.nn.elu(tensor(x), alpha)


@op
def selu(x: Tensor) -> Tensor:
    """scale · elu(x, alpha), with constants that keep mean 0 and variance 1.

    References: Klambauer et al. 2017, arXiv:1706.02515
    """
    return jax.nn.selu(tensor(x))


@op
def gelu(x: Tensor, approximate: bool = True) -> Tensor:
    """x Φ(x), Φ the normal distribution function, by its tanh formula if approximate.

    References: Hendrycks & Gimpel 2016, arXiv:1606.08415
    """
    return jax.nn.gelu(tensor(x), approximate)


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
def tanh_shrink(x: Tensor) -> Tensor:
    """x - tanh(x)."""
    x = tensor(x)
    return x - jnp.tanh(x)


@op
def hard_tanh(x: Tensor) -> Tensor:
    """x clipped to [-1, 1]."""
    return jax.nn.hard_tanh(tensor(x))


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


def _over_axes(fn, x: jax.Array, axis: Axis) -> jax.Array:
    """`fn` over one axis, several axes taken as one, or (None) all of x."""
    if isinstance(axis, int):
        if not -x.ndim <= axis < x.ndim:
            raise ArgumentError(
                f"axis={axis} is not an axis of an array of shape {x.shape}."
            )
        return fn(x, axis=axis)
    return fn(x, axis=None if axis is None else tuple(axis))


@op
def softmax(x: Tensor, axis: Axis = -1) -> Tensor:
    """exp(x) / sum(exp(x)) over `axis`: one axis, several, or None for all.

    >>> softmax([0.0, 0.0]).tolist()
    [0.5, 0.5]
    """
    return _over_axes(jax.nn.softmax, tensor(x), axis)


@op
def log_softmax(x: Tensor, axis: Axis = -1) -> Tensor:
    """log(softmax(x)), without leaving the range of floats."""
    return _over_axes(jax.nn.log_softmax, tensor(x), axis)


@op
def sparsemax(x: Tensor, axis: int = -1) -> Tensor:
    """The point of the simplex nearest to x: a softmax that reaches 0.

    References: Martins & Astudillo 2016, arXiv:1602.02068
    """
    z = jnp.moveaxis(tensor(x), axis, -1)
    ordered = -jnp.sort(-z, -1)
    above = jnp.cumsum(ordered, -1) - 1
    k = jnp.arange(1, z.shape[-1] + 1, dtype=z.dtype)
    support = jnp.sum(k * ordered > above, -1, keepdims=True)
    tau = jnp.take_along_axis(above, support - 1, -1) / support.astype(z.dtype)
    return jnp.moveaxis(jnp.maximum(z - tau, 0), -1, axis)
