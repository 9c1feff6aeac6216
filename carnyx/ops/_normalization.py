"""Mean and variance, and what divides by them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from carnyx import config
from carnyx._core.op import op
from carnyx._core.scope import fast_gradients
from carnyx._numbers import integer
from carnyx.errors import ArgumentError
from carnyx.ops._dtypes import result_type, tensor, to_float, to_floats
from carnyx.ops._thin import axes as hashable
from carnyx.typing import Axis, Tensor

# fmt: off
__all__ = [
    "batch_normalization", "layer_normalization", "moments", "normalize",
    "rms_normalization",
]
# fmt: on


def _wide(x: jax.Array) -> jax.Array:
    """In float32 at least: half precision is too narrow for sums of squares."""
    return x.astype(result_type(x.dtype, "float32"))


def _narrow(x: jax.Array, dtype: Any) -> jax.Array:
    """Back to a half precision, clipped to the range of float16."""
    limits = jnp.finfo(jnp.float16)
    return x if x.dtype == dtype else jnp.clip(x, limits.min, limits.max).astype(dtype)


@op
def moments(
    x: Tensor, axes: Axis, keepdims: bool = False, synchronized: bool = False
) -> tuple[Tensor, Tensor]:
    """Mean and variance over `axes`.

    Args:
        synchronized: nothing to do: an array sharded over devices has one mean.
    """
    x = to_float(x)
    wide, over = _wide(x), hashable(axes)
    mean = wide.mean(over, keepdims=keepdims)
    variance = wide.var(over, keepdims=keepdims)
    return _narrow(mean, x.dtype), _narrow(variance, x.dtype)


@op
def batch_normalization(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    axis: int,
    offset: Tensor | None = None,
    scale: Tensor | None = None,
    epsilon: float = 1e-3,
) -> Tensor:
    """scale (x - mean) / sqrt(variance + epsilon) + offset, one of each per `axis`.

    References: Ioffe & Szegedy 2015, arXiv:1502.03167
    """
    x, mean, variance, offset, scale = to_floats(x, mean, variance, offset, scale)
    shape = [1] * x.ndim
    shape[axis] = -1
    factor = lax.rsqrt(variance + epsilon)
    factor = factor if scale is None else factor * scale
    shift = -mean * factor
    shift = shift if offset is None else shift + offset
    return x * factor.reshape(shape) + shift.reshape(shape)


def _along(parameter: Tensor | None, x: jax.Array, axes: Sequence[int]) -> Any:
    """A parameter of the sizes of `axes` alone, ready to broadcast against x."""
    if parameter is None:
        return None
    parameter = tensor(parameter).astype(x.dtype)
    if parameter.ndim == x.ndim or list(axes) in ([-1], [x.ndim - 1]):
        return parameter
    wanted = {a % x.ndim for a in axes}
    return parameter.reshape([n if i in wanted else 1 for i, n in enumerate(x.shape)])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _standardized(x, gamma, axes: Sequence[int], epsilon: float) -> jax.Array:
    return _standardized_forward(x, gamma, axes, epsilon)[0]


def _standardized_forward(x, gamma, axes, epsilon):
    x = x - x.mean(axes, keepdims=True)
    factor = lax.rsqrt(jnp.square(x).mean(axes, keepdims=True) + epsilon)
    x = x * factor
    return x * gamma, (x, factor, gamma)


def _standardized_backward(axes, epsilon, saved, g):
    # Behind a barrier: else XLA keeps factor and gamma from the forward pass as
    # arrays of the size of x.
    x, factor, gamma = lax.optimization_barrier(saved)
    mean = functools.partial(jnp.mean, axis=axes, keepdims=True)
    spread = jax.linear_transpose(lambda gamma: jnp.broadcast_to(gamma, x.shape), gamma)
    (d_gamma,) = spread(g * x)
    g = g * gamma
    return factor * (g - mean(g) - x * mean(g * x)), d_gamma


_standardized.defvjp(_standardized_forward, _standardized_backward)


@op
def layer_normalization(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
    **kwargs: Any,
) -> Tensor:
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, statistics over `axis`.

    References: Ba, Kiros & Hinton 2016, arXiv:1607.06450
    """
    rms_scaling = kwargs.pop("rms_scaling", False)
    if kwargs:
        raise ArgumentError(f"layer_normalization got {sorted(kwargs)} it has not.")
    if rms_scaling:
        warnings.warn(
            "rms_scaling=True divides by the standard deviation about the mean, not "
            "by the root mean square; use rms_normalization.", stacklevel=3,
        )  # fmt: skip
    x, gamma, beta = to_floats(x, gamma, beta)
    wide = _wide(x)
    axes = (axis,) if isinstance(axis, int) else tuple(sorted(axis))
    gamma, beta = _along(gamma, wide, axes), _along(beta, wide, axes)
    epsilon = config.epsilon() if epsilon is None else epsilon
    if fast_gradients() and not rms_scaling:
        gamma = jnp.ones((), wide.dtype) if gamma is None else gamma
        y = _standardized(wide, gamma, axes, epsilon)
        return (y if beta is None else y + beta).astype(x.dtype)
    factor = lax.rsqrt(wide.var(axes, keepdims=True) + epsilon)
    # Centred first: x · factor - mean · factor would lose digits where |mean| is large.
    y = wide if rms_scaling else wide - wide.mean(axes, keepdims=True)
    y = y * (factor if gamma is None else factor * gamma)
    y = y if beta is None or rms_scaling else y + beta
    return y.astype(x.dtype)


@op
def rms_normalization(
    x: Tensor,
    scale: Tensor | None = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
) -> Tensor:
    """scale x / sqrt(mean(x²) + epsilon), the mean over `axis`.

    References: Zhang & Sennrich 2019, arXiv:1910.07467
    """
    x, scale = to_floats(x, scale)
    x = jnp.atleast_1d(x)
    wide = _wide(x)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    epsilon = config.epsilon() if epsilon is None else epsilon
    y = wide * lax.rsqrt(jnp.square(wide).mean(axes, keepdims=True) + epsilon)
    y = y if scale is None else y * tensor(scale).astype(wide.dtype)
    return y.astype(x.dtype)


@op
def normalize(
    x: Tensor, axis: Axis = -1, order: int = 2, epsilon: float | None = None
) -> Tensor:
    """x / max(norm(x), epsilon), the norm of `order` over `axis`.

    >>> normalize([3.0, 4.0]).tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    order = integer(order, "normalize: order", 1)
    x = jnp.atleast_1d(to_float(x))
    epsilon = config.epsilon() if epsilon is None else epsilon
    over = hashable(axis)
    if order == 2:  # over any number of axes, with a finite gradient at 0
        squares = jnp.square(_wide(x)).sum(over, keepdims=True)
        return (x * lax.rsqrt(jnp.maximum(squares, epsilon**2))).astype(x.dtype)
    nothing = (x == 0).all(over, keepdims=True)  # there a power has no gradient
    norm = jnp.linalg.norm(jnp.where(nothing, 1, x), order, over, keepdims=True)
    return x / jnp.maximum(jnp.where(nothing, 0, norm), epsilon)
