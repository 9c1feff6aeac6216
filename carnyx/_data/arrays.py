"""Arrays in memory (or mapped into it) as a feed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from carnyx._data.batches import (
    PARTS,
    common_size,
    map_named,
    named_leaves,
    spec_of,
    spread_weights,
)
from carnyx._data.class_weights import weigh
from carnyx._data.feed import Batch, Feed
from carnyx._data.hosts import is_array, target_dtype
from carnyx._data.mistakes import refuse_plain
from carnyx._data.process_rows import Picked, take
from carnyx._data.rows import Rows, as_rows, is_lazy
from carnyx._data.windows import Windows
from carnyx._numbers import check_narrow
from carnyx.errors import DataError
from carnyx.typing import Tensor


class ArrayFeed(Feed):
    """Batches cut from arrays; cast a batch at a time, never as a whole.

    With fewer `steps` than the arrays have batches, a pass over them takes several
    epochs (`Windows`).

    Args:
        x: nested arrays, or what gives them; samples along the first axes. Of mapped
            files, HDF5 and sparse matrices, a batch at a time is read.
        batch_size: None is 32, or what divides the samples into `steps`.
        shuffle: True: all samples anew every pass; `"batch"`: within each batch.
    """

    indexed = True

    def __init__(
        self,
        x: object,
        y: object = None,
        sample_weight: Tensor | None = None,
        batch_size: int | None = None,
        steps: int | None = None,
        shuffle: bool | str = False,
        class_weight: Mapping[int, float] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed if shuffle else seed or 0)
        for part, value in zip(PARTS, (x, y, sample_weight), strict=True):
            refuse_plain(part, value)
        weights = weigh(y, spread_weights(y, sample_weight), class_weight)
        batch = map_named(lambda n, v: as_rows(v, n), (x, y, weights))
        named = named_leaves(batch)
        self.num_samples: int = common_size(named)
        self._leaves, self._form = jax.tree_util.tree_flatten(batch)
        for name, leaf in named:
            if isinstance(leaf, np.ndarray):  # what is read looks at each batch
                check_narrow(leaf, name)
        self._dtypes = [target_dtype(leaf.dtype, name) for name, leaf in named]
        self.shuffle = shuffle
        self.batch_size: int = _batch_size(batch_size, steps, self.num_samples)
        self.length: int = math.ceil(self.num_samples / self.batch_size)
        self.advice = (
            "Copy it into memory (numpy.array), read in larger batches, or in stored "
            "order: shuffle='batch' or False."
        )
        self.reads = any(isinstance(leaf, Rows) for leaf in self._leaves)
        self.by_parts = False  # each process reads what its devices take
        self.sizes = [self.num_samples]  # of all processes, where each has its own
        self._steps, self._windows = steps, Windows(self.length, steps)
        if steps is not None and steps < self.length:
            self.length = steps
        elif steps is not None and steps > self.length:
            warnings.warn(
                f"{steps} steps were asked for, but {self.num_samples} samples in "
                f"batches of {self.batch_size} make {self.length}: an epoch has that "
                "many. Give fewer steps, or a smaller batch_size.",
                stacklevel=2,
            )

    def full_batches(self, epoch: int) -> int:
        return min(self._full(n, epoch) for n in self.sizes)

    def _full(self, samples: int, epoch: int) -> int:
        full, rest = divmod(samples, self.batch_size)
        windows = Windows(full + bool(rest), self._steps)
        _, first, count = windows.of(epoch)
        return min(count, full - first)

    def source_of_x(self) -> Any:
        """x as it was given, in its structure."""
        return jax.tree_util.tree_unflatten(self._form, self._leaves)[0]

    def first_samples(self) -> list[np.ndarray]:
        return [
            take(leaf, slice(0, 1 if isinstance(leaf, Rows) else self.batch_size))
            for leaf in self._leaves
        ]

    def some(self, pick: Callable[[Any, int], Any]) -> Batch:
        parts = [pick(leaf, self.batch_size) for leaf in self._leaves]
        return jax.tree_util.tree_unflatten(self._form, parts)

    def share(self, sizes: list[int] | None) -> None:
        self.by_parts, self.sizes = sizes is None, sizes or self.sizes

    def spec(self) -> Batch:
        return spec_of([jax.tree_util.tree_unflatten(self._form, self._leaves)])

    def _batches(self, number: int, start: int) -> Iterator[Batch]:
        yield from self._cut(number, start, self.by_parts)
        self._windows.tell(number, self.name)

    def _cut(self, number: int, start: int, by_parts: bool) -> Iterator[Batch]:
        for index in range(start, self._windows.of(number).count):
            first = index * self.batch_size
            rows = self._rows(number, first, first + self.batch_size)
            parts: list[Any] = [
                self._picked(leaf, rows, dtype)
                if by_parts
                else take(leaf, rows).astype(dtype, copy=False)
                for leaf, dtype in zip(self._leaves, self._dtypes)
            ]
            yield jax.tree_util.tree_unflatten(self._form, parts)

    def again(self, number: int) -> Iterator[Batch]:
        return self._cut(number, 0, by_parts=False)

    def _picked(
        self, leaf: Any, rows: slice | np.ndarray, dtype: np.dtype, *shape: int
    ) -> Picked:
        numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        return Picked(leaf, numbers.reshape(shape or -1), dtype)

    def chunk(self, epoch: int, start: int, count: int, capacity: int) -> Batch:
        size = self.batch_size
        rows = self._rows(epoch, start * size, (start + count) * size)
        self._epoch, self._index = epoch, start + count

        def stack(leaf: Any, dtype: np.dtype) -> Any:
            if self.by_parts:
                picked = self._picked(leaf, rows, dtype, count, size)
                return picked.filled(capacity - count, axis=0)
            shape = (capacity, size, *leaf.shape[1:])
            taken = leaf.dtype != dtype or isinstance(rows, slice) or self.reads
            if count == capacity and taken:
                return take(leaf, rows).astype(dtype, copy=False).reshape(shape)
            out = (np.empty if count == capacity else np.zeros)(shape, dtype)
            filled = out.reshape(capacity * size, *leaf.shape[1:])[: count * size]
            if taken:
                filled[...] = take(leaf, rows)
            else:
                np.take(leaf, rows, 0, filled, "clip")  # type: ignore[arg-type]
            return out

        parts = [stack(*pair) for pair in zip(self._leaves, self._dtypes)]
        return jax.tree_util.tree_unflatten(self._form, parts)

    def _rows(self, epoch: int, first: int, last: int) -> slice | np.ndarray:
        """Which samples stand at places `first` to `last` of an epoch."""
        number, begin, _ = self._windows.of(epoch)
        first, last = (begin * self.batch_size + n for n in (first, last))
        if self.shuffle:
            return self._ordered(number, self._draw)[first:last]
        return slice(first, min(last, self.num_samples))

    def _draw(self, random: np.random.Generator) -> np.ndarray:
        n, size = self.num_samples, self.batch_size
        if self.shuffle != "batch":
            return random.permutation(n)
        full = n // size * size
        rows = random.permuted(np.arange(full).reshape(-1, size), axis=1)
        return np.concatenate([rows.reshape(-1), full + random.permutation(n - full)])


def _batch_size(batch_size: Any, steps: Any, num_samples: int) -> int:
    for name, value in (("batch_size", batch_size), ("steps", steps)):
        if value is not None and (not hasattr(value, "__index__") or value < 1):
            raise DataError(f"{name} got {value!r}; expected an integer above 0.")
    if batch_size is not None:
        return int(batch_size)
    return math.ceil(num_samples / steps) if steps else 32


def train_validation_split(
    arrays: tuple[Any, ...], validation_split: float
) -> tuple[Any, Any]:
    """Of `(x, y, sample_weight)` the first part for training, the last to validate.

    >>> train_validation_split((np.arange(5),), 0.4)
    ((array([0, 1, 2]),), (array([3, 4]),))
    """
    if not 0 < validation_split < 1:
        raise DataError(
            f"validation_split got {validation_split}; it is a share between 0 and 1."
        )
    parts = (*arrays, None, None)[:3]
    for part, value in zip(PARTS, parts, strict=True):
        refuse_plain(part, value)
    leaves = [leaf for _, leaf in named_leaves(parts)]
    other = [type(v).__name__ for v in leaves if not (is_array(v) or is_lazy(v))]
    if other or not leaves:
        raise DataError(
            f"validation_split needs arrays; got {', '.join(other) or 'nothing'}. For "
            "a source of batches pass validation_data."
        )
    parts = map_named(lambda name, v: as_rows(v, name), parts)
    size = common_size(named_leaves(parts))
    cut = math.floor(size * (1.0 - validation_split))
    if cut in (0, size):
        raise DataError(
            f"validation_split={validation_split} of {size} samples leaves a part "
            "empty. Give more data, another share, or validation_data."
        )
    first, last = (
        map_named(lambda _, v, rows=rows: v[rows], parts)[: len(arrays)]
        for rows in (slice(cut), slice(cut, None))
    )
    return first, last
