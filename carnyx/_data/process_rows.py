"""Batches of which each process reads the samples of its own devices alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from carnyx._data.rows import Rows
from carnyx.typing import DTypeLike


class Picked:
    """Samples of a source, read when a device asks for its part of them.

    Args:
        source: an array, or `Rows`; samples along the first axis.
        rows: which of them, in any number of axes.
        dtype: to read them as.
    """

    def __init__(self, source: Any, rows: np.ndarray, dtype: DTypeLike) -> None:
        self.source, self.rows, self.dtype = source, rows, np.dtype(dtype)
        self.shape: tuple[int, ...] = (*rows.shape, *source.shape[1:])
        self.ndim = len(self.shape)
        self._last: tuple[Any, np.ndarray | None] = (None, None)

    nbytes = property(
        lambda self: self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))
    )

    def __getitem__(self, index: Any) -> np.ndarray:
        """A part, by one slice for each axis; several devices may ask for the same."""
        cut = self.rows.ndim
        rows, key = self.rows[index[:cut]], str(index)
        if self._last[0] != key:
            taken = take(self.source, rows.reshape(-1)).astype(self.dtype, copy=False)
            taken = taken.reshape(*rows.shape, *self.source.shape[1:])
            self._last = key, taken[(slice(None),) * cut + tuple(index[cut:])]
        part = self._last[1]
        assert part is not None
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[(slice(None),) * self.ndim], dtype)

    def filled(self, missing: int, axis: int) -> Picked:
        """With the last repeated along an axis, as nobody will look at it."""
        widths = [(0, missing if i == axis else 0) for i in range(self.rows.ndim)]
        return Picked(self.source, np.pad(self.rows, widths, "edge"), self.dtype)


def take(source: Any, rows: slice | np.ndarray) -> np.ndarray:
    """These samples as an array."""
    if isinstance(source, Rows):
        return source.read(rows)
    return np.asarray(source[rows] if isinstance(rows, slice) else source.take(rows, 0))
