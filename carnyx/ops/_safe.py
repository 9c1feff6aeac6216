"""Roots and quotients whose value and gradient stay finite at 0."""

from __future__ import annotations

import jax
import jax.numpy as jnp

__all__ = ["arctan2", "divisor", "hypot", "power", "root"]


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


def divisor(x: jax.Array) -> jax.Array:
    """`x`, but 1 where it is 0: what is summed up to nothing stays 0 when divided."""
    return jnp.where(x == 0, 1, x)
