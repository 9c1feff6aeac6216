"""The few types that public signatures speak of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A `jax.Array`, anything that becomes one, or a symbolic `KerasTensor`."""

Shape: TypeAlias = tuple[int | None, ...]
"""A static shape; None is a size that is not known yet."""

ShapeLike: TypeAlias = Sequence[int | None]
DTypeLike: TypeAlias = Any
"""A dtype name, a NumPy or JAX dtype, or a Python scalar type."""

Axis: TypeAlias = int | Sequence[int] | None
