"""Roots and quotients whose value and gradient stay finite at 0."""

from __future__ import annotations

import jax
import jax.numpy as jnp

__all__ = ["divisor", "root"]


def root(x: jax.Array) -> jax.Array:
    """sqrt(x) with gradient 0 at 0, where the true one is infinite.

    Lengths and distances have a kink there: 0 is among what a gradient may be, and what
    the chain rule makes of infinity, NaN, is not.
    """
    zero = x == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, x)))


def divisor(x: jax.Array) -> jax.Array:
    """`x`, but 1 where it is 0: what is summed up to nothing stays 0 when divided."""
    return jnp.where(x == 0, 1, x)
