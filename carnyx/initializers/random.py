"""Random initializers of one distribution, and orthogonal matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from carnyx._core.scope import is_tracer
from carnyx.configurable import at_least, field
from carnyx.dtype_policies import standardize_dtype
from carnyx.errors import ArgumentError, ShapeError
from carnyx.initializers.base import RandomInitializer, on_device, seed_field
from carnyx.initializers.sampling import sample
from carnyx.typing import DTypeLike, Tensor


class RandomNormal(RandomInitializer):
    """A normal distribution."""

    mean: float = field(0.0)
    stddev: float = field(0.05, check=at_least(0))
    seed: Any = seed_field()

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        return sample("normal", shape, dtype, self.seed, self.mean, self.stddev)


class TruncatedNormal(RandomNormal):
    """A normal distribution cut off at two standard deviations."""

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        moments = self.mean, self.stddev
        return sample("truncated_normal", shape, dtype, self.seed, *moments)


class RandomUniform(RandomInitializer):
    """The uniform distribution on [minval, maxval)."""

    minval: float = field(-0.05)
    maxval: float = field(0.05)
    seed: Any = seed_field()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.minval <= self.maxval:
            raise ArgumentError(
                f"RandomUniform got minval={self.minval} and maxval={self.maxval}; "
                "expected the first not to be greater."
            )

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        return sample("uniform", shape, dtype, self.seed, self.minval, self.maxval)


class Orthogonal(RandomInitializer):
    """`gain` times a random matrix with orthonormal rows or columns.

    Shapes: (…, columns), taken as a matrix of that many columns

    References: Saxe, McClelland & Ganguli 2014, arXiv:1312.6120
    """

    gain: float = field(1.0)
    seed: Any = seed_field()

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        if len(shape) < 2:
            raise ShapeError(
                f"Orthogonal got shape {tuple(shape)}; expected two axes or more."
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        a = sample("normal", tall, "float32", self.seed, 0.0, 1.0)
        xp = jnp if is_tracer(a) else np  # NumPy compiles nothing
        q, r = xp.linalg.qr(xp.asarray(a))
        q = q * xp.sign(xp.diag(r))
        q = (q.T if rows < columns else q).reshape(shape)
        put = jnp.asarray if xp is jnp else on_device
        return put(self.gain * q, standardize_dtype(dtype))
