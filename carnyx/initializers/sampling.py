"""Random numbers of initializers: cut on the host from what few programs made.

A program a shape would take longer than the first epoch of a small model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from carnyx._core.devices import ensure_device
from carnyx._core.memory import ensure_room
from carnyx._core.scope import is_tracer
from carnyx._core.seed import draw_seed
from carnyx.dtype_policies import standardize_dtype
from carnyx.typing import DTypeLike

COPIES = 5  # of an array in memory while it is drawn, bits included


def _draw(kind: str, key: Any, shape: tuple[int, ...], dtype: str, a: Any, b: Any):
    if kind == "uniform":
        return jax.random.uniform(key, shape, dtype, a, b)
    if kind == "truncated_normal":
        return jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype) * b + a
    return jax.random.normal(key, shape, dtype) * b + a


_draw_compiled = jax.jit(_draw, static_argnums=(0, 2, 3))


_SHARED = 1 << 14, 1 << 20  # the sizes between which programs are shared


def sample(
    kind: str, shape: Sequence[int], dtype: DTypeLike, seed: Any, a: float, b: float
) -> jax.Array:
    """The numbers of `jax.random` for that key and shape.

    A random bit of JAX depends on the key and its place in the flat array only (where
    `jax_threefry_partitionable` is on, as it is by default), so a longer array begins
    with the same numbers.
    """
    shape, dtype = tuple(shape), standardize_dtype(dtype)
    ensure_room(shape, dtype, "The initial value", COPIES)
    ensure_device()
    with jax.ensure_compile_time_eval():
        key = draw_seed(seed)
        size = math.prod(shape)
        stable = jax.config.jax_threefry_partitionable
        if is_tracer(key) or not stable or not 0 < size <= _SHARED[1]:
            return _draw_compiled(kind, key, shape, dtype, a, b)
        padded = max(_SHARED[0], 1 << (size - 1).bit_length())
        flat = _draw_compiled(kind, key, (padded,), dtype, a, b)
        return jax.device_put(np.asarray(flat)[:size].reshape(shape).copy())
