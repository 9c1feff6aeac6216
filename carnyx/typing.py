"""The few types that public signatures speak of."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

Tensor: TypeAlias = Any
"""A `jax.Array`, anything that becomes one, or a symbolic `KerasTensor`."""

Tensors: TypeAlias = Any
"""Tensors, alone or in lists, tuples and dicts of any depth."""

TensorIndex: TypeAlias = Any
"""What may stand in brackets: integers, slices, None, `...`, tensors, or a tuple."""

ArrayLike: TypeAlias = Any
"""Numbers and arrays that are an op's options: nothing is recorded of them."""

Data: TypeAlias = Any
"""Arrays or tables, alone or nested, or a source of batches of them."""

Words: TypeAlias = Any
"""A list or array of texts or integers, or the path of a file with one in each line."""

Shape: TypeAlias = tuple[int | None, ...]
"""A static shape; None is a size that is not known yet."""

ShapeLike: TypeAlias = Sequence[int | None]
DTypeLike: TypeAlias = Any
"""A dtype name, a NumPy or JAX dtype, or a Python scalar type."""

Axis: TypeAlias = int | Sequence[int] | None

Logs: TypeAlias = dict[str, Any]
"""Loss and metrics by name, as callbacks are given them."""

Config: TypeAlias = dict[str, Any]
"""Arguments as plain data, as `get_config` gives them."""

PathLike: TypeAlias = str | os.PathLike[str]


class Device(Protocol):
    """A device, as JAX has them."""

    platform: str
    id: int


DeviceLike: TypeAlias = str | Device
"""`"gpu:1"`, or the device itself."""

ForOutputs: TypeAlias = str | Callable[..., Any] | Sequence[Any] | Mapping[Any, Any]
"""A loss or metric: a name, function or object; a list or dict for several outputs."""
