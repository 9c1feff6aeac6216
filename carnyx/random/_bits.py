"""The bits of `jax.random`, for a CPU: the same numbers four times as fast.

JAX compiles the rounds of threefry as a loop there, which writes every array that it
touches; unrolled, they are one pass. Elsewhere JAX unrolls them itself.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from carnyx._core.scope import platform


def bernoulli(key: jax.Array, p: float, shape: Sequence[int]) -> jax.Array:
    """True with probability p: what `jax.random.bernoulli` gives."""
    shape = tuple(shape)
    known = all(isinstance(n, int) for n in shape)
    if known and math.prod(shape) < 2**32 and _is_plain(key):
        return _bernoulli(key, p, shape)
    return jax.random.bernoulli(key, p, shape)


def _is_plain(key: jax.Array) -> bool:
    """Whether numbers are drawn in JAX's default way, on a CPU."""
    return (
        platform() == "cpu"
        and (key.shape, key.dtype) == ((2,), np.uint32)
        and jax.config.jax_default_prng_impl == "threefry2x32"
        and getattr(jax.config, "jax_threefry_partitionable", True)
        and not jax.config.jax_enable_x64
    )


@functools.partial(jax.jit, static_argnums=(1, 2), inline=True)  # one program if eager
def _bernoulli(key: jax.Array, p: float, shape: tuple[int, ...]) -> jax.Array:
    # uniform < p, with the 23 bits of the uniform number still an integer. The barrier:
    # else the backward pass draws them again.
    below = np.uint32(math.ceil(float(np.float32(p)) * 2**23))
    return lax.optimization_barrier((_threefry(key, shape) >> np.uint32(9)) < below)


def _threefry(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """32 bits for each place, its index encrypted.

    References: Salmon et al. 2011, doi:10.1145/2063384.2063405
    """
    keys = key[0], key[1], key[0] ^ key[1] ^ np.uint32(0x1BD11BDA)
    a = jnp.broadcast_to(keys[0], shape)
    b = lax.iota(np.uint32, math.prod(shape)).reshape(shape) + keys[1]
    for i in range(5):
        for r in ((13, 15, 26, 6), (17, 29, 16, 24))[i % 2]:
            a = a + b
            b = a ^ (b << np.uint32(r) | b >> np.uint32(32 - r))
        a, b = a + keys[(i + 1) % 3], b + keys[(i + 2) % 3] + np.uint32(i + 1)
    return a ^ b
