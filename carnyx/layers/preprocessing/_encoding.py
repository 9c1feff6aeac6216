"""Indices as indices, one-hot, multi-hot, or counts: in NumPy, and on the device."""

from __future__ import annotations

from typing import Any

import numpy as np

from carnyx import ops
from carnyx.configurable import one_of
from carnyx.errors import ArgumentError
from carnyx.typing import DTypeLike, Shape, Tensor

MODES = ("int", "one_hot", "multi_hot", "count")
_OLD = {"binary": "multi_hot", "tf-idf": "tf_idf"}


def modern_mode(mode: Any) -> Any:
    """The name of an output mode today."""
    return _OLD.get(mode, mode) if isinstance(mode, str) else mode


def mode_in(*modes: str) -> Any:
    """A check of an output mode, older names among them."""
    check = one_of(*modes)
    return lambda mode: check(modern_mode(mode))


def refuse_sparse(layer: Any) -> None:
    """Sparse outputs are not there."""
    if layer.sparse:
        raise ArgumentError(
            f"{type(layer).__name__} got sparse=True; outputs are dense here. Leave it "
            "out."
        )


def encoded_shape(shape: Shape, mode: str, depth: int | None) -> Shape:
    """The shape of encoded indices.

    >>> encoded_shape((None, 1), "one_hot", 5), encoded_shape((None, 3), "count", 5)
    ((None, 5), (None, 5))
    """
    shape = tuple(shape)
    if mode == "int":
        return shape
    if mode == "one_hot" and not (len(shape) > 1 and shape[-1] == 1):
        return (*shape, depth)
    return (*shape[:-1], depth)


def encoded(
    indices: Tensor,
    mode: str,
    depth: int,
    dtype: DTypeLike,
    weights: Tensor | None = None,
) -> Tensor:
    """Indices in another form; those out of range count for nothing.

    Shapes: one_hot: (…, 1) -> (…, depth), and (…, n) -> (…, n, depth);
        multi_hot, count: (…, n) -> (…, depth)
    """
    if mode == "int":
        return ops.cast(indices, dtype)
    if not indices.ndim:
        if mode == "one_hot":
            return ops.one_hot(indices, depth, dtype=dtype)
        indices = ops.expand_dims(indices, -1)
        weights = None if weights is None else ops.expand_dims(weights, -1)
    if mode == "one_hot":
        if indices.ndim > 1 and indices.shape[-1] == 1:
            indices = ops.squeeze(indices, -1)
        return ops.one_hot(indices, depth, dtype=dtype)
    hot = ops.one_hot(indices, depth, dtype=dtype)
    if mode == "multi_hot":
        return ops.max(hot, -2, initial=0)
    return ops.sum(hot if weights is None else hot * ops.expand_dims(weights, -1), -2)


def encoded_on_host(
    indices: np.ndarray, mode: str, depth: int, dtype: DTypeLike
) -> np.ndarray:
    """As `encoded`, of arrays of NumPy."""
    if mode == "int":
        return indices.astype(dtype)  # type: ignore[arg-type]
    if mode == "one_hot":
        if indices.ndim > 1 and indices.shape[-1] == 1:
            indices = indices[..., 0]
        samples = indices.reshape(-1, 1)
        shape = (*indices.shape, depth)
    else:
        samples = indices.reshape(-1, indices.shape[-1] if indices.ndim else 1)
        shape = (*indices.shape[:-1], depth)
    rows = np.repeat(np.arange(len(samples)), samples.shape[-1])
    counts = bags(rows, samples.reshape(-1), len(samples), mode, depth)
    return counts.reshape(shape).astype(dtype)  # type: ignore[arg-type]


def bags(
    rows: np.ndarray, indices: np.ndarray, count: int, mode: str, depth: int
) -> np.ndarray:
    """How often each index occurs in each row; whether it does, unless `mode` counts.

    Args:
        rows: to which of the `count` rows each index belongs.
    """
    known = (indices >= 0) & (indices < depth)
    places = rows[known] * depth + indices[known]
    if mode == "count":
        return np.bincount(places, minlength=count * depth).reshape(count, depth)
    found = np.zeros(count * depth, bool)
    found[places] = True
    return found.reshape(count, depth)
