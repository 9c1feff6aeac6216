"""Samples that stay where they are until a batch of them is read."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from carnyx._data.hosts import as_array, comes_from
from carnyx._numbers import check_narrow
from carnyx.errors import DataError
from carnyx.typing import DTypeLike

LARGE = 1 << 26  # bytes; what is mapped and smaller is an array like any other
_PAGES = 1 << 17  # bytes that touching one row of a mapped file brings in


class Rows:
    """Samples along the first axis, read by `read`; a slice of them is again `Rows`.

    A subclass gives `_range(first, last)`, and `_pick(rows)` where it can do better.

    Args:
        first, last: which samples of the source these are.
    """

    name = "the data"  # in errors

    def __init__(
        self,
        source: Any,
        dtype: DTypeLike,
        shape: Any,
        first: int = 0,
        last: Any = None,
    ) -> None:
        self.source, self.dtype = source, np.dtype(dtype)
        self.first = first
        last = shape[0] if last is None else last
        self.shape: tuple[int, ...] = (last - first, *shape[1:])

    ndim = property(lambda self: len(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Rows:
        start, stop, _ = rows.indices(len(self))
        first = self.first
        part = type(self)(
            self.source, self.dtype, self.shape, first + start, first + stop
        )
        part.name = self.name
        return part

    def read(self, rows: slice | np.ndarray) -> np.ndarray:
        """The samples as an array; scattered ones are read in their stored order.

        Raises:
            ArgumentError: for integers of 64 bits that do not fit 32.
        """
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            read = self._range(self.first + start, self.first + stop)
        else:
            places, back = np.unique(rows, return_inverse=True)
            read = self._pick(places + self.first)[back]
        check_narrow(read, self.name)
        return read

    def _range(self, first: int, last: int) -> np.ndarray:
        return np.asarray(self.source[first:last])

    def _pick(self, rows: np.ndarray) -> np.ndarray:
        """Sorted samples, neighbours in one piece."""
        cuts = np.flatnonzero(np.diff(rows) > 1) + 1
        runs = np.split(rows, cuts)
        return np.concatenate([self._range(int(r[0]), int(r[-1]) + 1) for r in runs])


class MappedRows(Rows):
    """Of a memory-mapped file; what was read does not stay in this process' memory."""

    _touched = 0

    def _range(self, first: int, last: int) -> np.ndarray:
        return self._forget(np.array(self.source[first:last]), 0)

    def _pick(self, rows: np.ndarray) -> np.ndarray:
        return self._forget(np.asarray(self.source[rows]), len(rows))

    def _forget(self, read: np.ndarray, scattered: int) -> np.ndarray:
        self._touched += max(read.nbytes, scattered * _PAGES)
        if self._touched > LARGE:
            self._touched = 0
            # the pages stay in the system's cache; a private copy would lose changes
            mapped = mapping_of(self.source)
            if mapped and self.source.mode != "c" and hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)
        return read


def mapping_of(array: np.ndarray) -> mmap.mmap | None:
    """The mapped file that an array is a view of, perhaps by way of other views."""
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    return base


class SparseRows(Rows):
    """Of a sparse matrix of SciPy; dense a batch at a time."""

    def _range(self, first: int, last: int) -> np.ndarray:
        return self.source[first:last].toarray()

    def _pick(self, rows: np.ndarray) -> np.ndarray:
        return self.source[rows].toarray()


class ColumnRows(Rows):
    """Of one column of a Hugging Face dataset."""

    @classmethod
    def of(cls, dataset: Any, name: str) -> ColumnRows:
        one = dataset.select_columns([name]).with_format("numpy")
        if not len(one):
            raise DataError(f"The dataset is empty: its column {name!r} has no rows.")
        row = np.asarray(one[:1][name])
        return cls((one, name), row.dtype, (len(one), *row.shape[1:]))

    def _range(self, first: int, last: int) -> np.ndarray:
        return self._checked(slice(first, last))

    def _pick(self, rows: np.ndarray) -> np.ndarray:
        return self._checked(rows.tolist())

    def _checked(self, rows: Any) -> np.ndarray:
        dataset, name = self.source
        values = np.asarray(dataset[rows][name])
        if values.shape[1:] != self.shape[1:] or values.dtype == object:
            raise DataError(
                f"Rows of column {name!r} have different sizes; the first row's is "
                f"{self.shape[1:]}. Pad or resize them first (`dataset.map`)."
            )
        return values


def as_rows(value: Any, name: str) -> Any:
    """The leaf as an array, or as `Rows` where it should not be read as a whole."""
    rows = _as_rows(value, name)
    if isinstance(rows, Rows):
        rows.name = name
    return rows


def _as_rows(value: Any, name: str) -> Any:
    if isinstance(value, Rows):
        return value
    if comes_from(value, "scipy") and hasattr(value, "tocsr"):
        return SparseRows(value.tocsr(), value.dtype, value.shape)
    if isinstance(value, np.memmap):
        if value.nbytes > LARGE and value.ndim:
            return MappedRows(value, value.dtype, value.shape)
    elif comes_from(value, "datasets") and hasattr(value, "column_name"):
        return ColumnRows.of(value.source, value.column_name)
    elif is_lazy(value):
        if not len(value.shape):
            raise DataError(f"{name} is a single value; the first axis counts samples.")
        return Rows(value, value.dtype, tuple(value.shape))
    return as_array(value, name)


def is_lazy(value: object) -> bool:
    """Whether it has the outside of an array, and reads what is asked for (HDF5)."""
    if not all(hasattr(value, name) for name in ("shape", "dtype", "__getitem__")):
        return False
    if isinstance(value, np.ndarray | np.generic):
        return False
    eager = ("jax", "jaxlib", "torch", "tensorflow", "pandas", "polars", "scipy")
    return not comes_from(value, *eager)
