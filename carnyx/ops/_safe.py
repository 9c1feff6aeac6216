"""Roots and quotients whose value and gradient stay finite at 0."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["any_power", "arctan2", "divisor", "hypot", "power", "root"]


def root(x: jax.Array) -> jax.Array:
    """sqrt(x) with gradient 0 at 0, where the true one is infinite.

    Lengths and distances have a kink there: 0 is among what a gradient may be, and what
    the chain rule makes of infinity, NaN, is not.
    """
    zero = x == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, x)))


def hypot(x1: jax.Array, x2: jax.Array) -> jax.Array:
    """sqrt(x1² + x2²) with gradient 0 at (0, 0), as `root`."""
    x1, x2 = jnp.broadcast_arrays(*map(jnp.asarray, (x1, x2)))
    zero = (x1 == 0) & (x2 == 0)
    return jnp.where(zero, 0, jnp.hypot(jnp.where(zero, 1, x1), x2))


def arctan2(x1: jax.Array, x2: jax.Array) -> jax.Array:
    """The angle of (x2, x1), with gradient 0 at (0, 0), where no direction is known."""
    x1, x2 = jnp.broadcast_arrays(x1, x2)
    zero = (x1 == 0) & (x2 == 0)
    there = jax.lax.stop_gradient(jnp.arctan2(x1, x2))  # 0 or pi, as the signs are
    return jnp.where(zero, there, jnp.arctan2(x1, jnp.where(zero, 1, x2)))


def power(x: jax.Array, exponent: float) -> jax.Array:
    """x ** exponent with gradient 0 at 0, for exponents that are not 0."""
    zero = x == 0
    at_zero = 0.0 if exponent > 0 else jnp.inf
    return jnp.where(zero, at_zero, jnp.power(jnp.where(zero, 1, x), exponent))


def any_power(x: Any, exponent: Any) -> jax.Array:
    """x ** exponent, whose gradient by x is 0 where the exponent is 0, and by the
    exponent where x is not above 0: there are no powers on one side of it."""
    if isinstance(exponent, float) and exponent.is_integer():
        x, exponent = x * 1.0, int(exponent)  # by products, exact and faster
    kinds = {np.dtype(jnp.result_type(v)).kind for v in (x, exponent)}
    if isinstance(exponent, int | float) or "c" in kinds or kinds <= set("biu"):
        return jnp.power(x, exponent)
    dtype = jnp.result_type(x, exponent)
    return _power(jnp.asarray(x, dtype), jnp.asarray(exponent, dtype))


@jax.custom_jvp
def _power(x: jax.Array, exponent: jax.Array) -> jax.Array:
    return jnp.power(x, exponent)


@_power.defjvp
def _power_rule(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    out = _power(x, y)
    by_x = jnp.where(y == 0, 0, y * _power(x, jnp.where(y == 0, 1, y - 1)))
    by_y = jnp.where(x > 0, out * jnp.log(jnp.where(x > 0, x, 1)), 0)
    return out, by_x * dx + by_y * dy


def divisor(x: jax.Array) -> jax.Array:
    """`x`, but 1 where it is 0: what is summed up to nothing stays 0 when divided."""
    return jnp.where(x == 0, 1, x)
