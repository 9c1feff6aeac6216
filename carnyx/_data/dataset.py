"""`Dataset`: elements by index, transformed when somebody asks for them."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from carnyx import tree
from carnyx._core.positions import Position
from carnyx._core.scope import scoped
from carnyx._core.seed import make_default_seed
from carnyx._data.sequences import SequenceFeed
from carnyx._data.threads import in_threads
from carnyx._data.transformations import Transformations
from carnyx.errors import ArgumentError, DataError


@dataclass(frozen=True)
class TensorSpec:
    """Shape and dtype of a part of an element; a size that varies is None."""

    shape: tuple[int | None, ...]
    dtype: str


class Dataset(Transformations):
    """Elements that have an index: samples, or batches after `batch`.

    The order of pass `number` over it is a function of its seeds and of `number`, so
    any element of any pass can be made alone: training resumes exactly, and threads
    (`prefetch`) make elements ahead. Transformations give a new dataset.

    Args:
        length: how many elements.
        get: from an index to the element.

    >>> squares = Dataset(5, lambda i: np.int32(i * i)).map(lambda x: x + 1).batch(2)
    >>> [batch.tolist() for batch in squares]
    [[1, 2], [5, 10], [17]]
    """

    def __init__(self, length: int, get: Callable[[int], Any]) -> None:
        self._length = length
        self._get: Callable[[int, int], Any] = lambda number, index: get(index)
        self._shuffles: list[_Shuffle] = []
        self._batched = self._varying = False
        self._last_batch: tuple[Dataset, Callable[[Dataset], Dataset]] | None = None
        self._redo: tuple[Dataset, Callable[[Dataset], Dataset]] | None = None
        self._shuffled_from: tuple[Dataset, Callable[[Dataset], Dataset]] | None = None
        self._passes = self._maps = 0
        self.workers = os.cpu_count() or 1
        self.ahead = self.workers
        self.class_names: list[str] | None = None
        self.file_paths: list[str] | None = None

    def __len__(self) -> int:
        if self.endless:
            raise TypeError("The dataset has no end: it was repeated without a number.")
        return self._length

    num_batches = property(__len__)

    def get(self, number: int, index: int) -> Any:
        """Element `index` of pass `number`."""
        return self._get(number, index)

    def __iter__(self) -> Iterator[Any]:
        number, self._passes = self._passes, self._passes + 1
        items = in_threads(
            lambda i: self.get(number, i), range(self._length), self.workers, self.ahead
        )
        return (item for _, item in items)

    def _with(self, length: int, get: Callable[[int, int], Any]) -> Dataset:
        new = copy.copy(self)
        new.file_paths = None  # they no longer stand in this order
        new._length, new._get, new._passes = length, get, 0
        new._shuffles = list(self._shuffles)
        new._last_batch = new._redo = new._shuffled_from = None
        return new

    def _done_by(self, parent: Dataset, again: Callable[[Dataset], Dataset]) -> Dataset:
        """Remember what makes this dataset of another one."""
        self._redo = parent, again
        return self

    # ---- transformations

    def map(self, func: Callable[..., Any], num_parallel_calls: Any = None) -> Dataset:
        """`func` of every element; the parts of a tuple are its arguments.

        Random numbers that it draws, in a layer say, follow from their seeds, the pass
        and the element's place: threads and a resumed training change none of them.

        Args:
            num_parallel_calls: how many threads; by default, one a processor.
        """
        # A layer that makes data ready leaves its result on the host.
        one = getattr(func, "in_feed", func)
        get, depth = self.get, self._maps + 1

        def mapped(number: int, index: int) -> Any:
            element = get(number, index)
            with scoped(position=Position(number, index, depth)):
                return func(*element) if isinstance(element, tuple) else one(element)

        new = self._with(self._length, mapped)
        new._maps = depth
        if num_parallel_calls is not None and num_parallel_calls > 0:
            new.workers = num_parallel_calls
            new.ahead = max(new.ahead, new.workers)
        return new._done_by(self, lambda d: d.map(func, num_parallel_calls))

    def batch(self, batch_size: int, drop_remainder: bool = False) -> Dataset:
        """`batch_size` elements along a new first axis; the last batch may be less."""
        return self._in_batches(batch_size, drop_remainder, _stack)

    def padded_batch(self, batch_size: int, drop_remainder: bool = False) -> Dataset:
        """As `batch`; shorter elements are padded with zeros to the longest."""
        return self._in_batches(batch_size, drop_remainder, _stack_padded)

    def _in_batches(
        self, batch_size: int, drop_remainder: bool, stack: Callable[..., Any]
    ) -> Dataset:
        if batch_size < 1:
            raise ArgumentError(
                f"batch got batch_size={batch_size}; expected 1 or more."
            )
        get, count = self.get, self._length
        length = count // batch_size if drop_remainder else -(-count // batch_size)

        def batch(number: int, index: int) -> Any:
            first = index * batch_size
            rows = range(first, min(first + batch_size, count))
            return tree.map_structure(stack, *(get(number, i) for i in rows))

        new = self._with(length, batch)
        new._batched, new._varying = True, not drop_remainder
        new._last_batch = (
            self,
            lambda inner: inner._in_batches(batch_size, drop_remainder, stack),
        )
        return new._done_by(*new._last_batch)

    def shuffle(
        self,
        buffer_size: int | None = None,
        seed: int | None = None,
        reshuffle_each_iteration: bool = True,
    ) -> Dataset:
        """Another order in every pass.

        Args:
            buffer_size: draw the next element from as many; by default from all.
        """
        self._need_end("shuffle")
        order = _Shuffle(self._length, buffer_size, seed, reshuffle_each_iteration)
        get = self.get
        new = self._with(self._length, lambda n, i: get(n, order(n, i)))
        new._shuffles.append(order)
        new._shuffled_from = (
            self,
            lambda d: d.shuffle(buffer_size, order.seed, reshuffle_each_iteration),
        )
        return new

    def cache(self) -> Dataset:
        """Keep elements in memory once they are made.

        After a shuffle, the elements as they were before it are kept, so that every
        pass still has an order of its own.
        """
        self._need_end("cache")
        if self._shuffles:
            if self._shuffled_from is not None:
                new = self._cached_below()
            elif self._redo is not None:
                parent, again = self._redo
                new = again(parent._cached_below())
            else:
                raise ArgumentError(
                    "cache of shuffled datasets that were joined, repeated or filtered "
                    "would keep the order of the first pass. Cache first, then shuffle."
                )
            new.class_names, new.file_paths = self.class_names, self.file_paths
            return new
        get, kept = self.get, {}

        def cached(number: int, index: int) -> Any:
            if index not in kept:
                kept[index] = get(number, index)
            return kept[index]

        return self._with(self._length, cached)

    def _cached_below(self) -> Dataset:
        """This dataset with a cache under its shuffle, where that was its last step."""
        if self._shuffled_from is None:
            return self.cache()
        source, shuffle = self._shuffled_from
        return shuffle(source._cached_below() if source._shuffles else source.cache())

    def prefetch(self, buffer_size: int | None = None) -> Dataset:
        """Make up to `buffer_size` elements ahead; by default one a processor."""
        get = self.get
        new = self._with(self._length, get)
        wanted = self.workers if buffer_size is None or buffer_size < 1 else buffer_size
        new.ahead, new._last_batch = wanted, self._last_batch
        return new._done_by(self, lambda d: d.prefetch(buffer_size))

    def take(self, count: int) -> Dataset:
        """The first elements of every pass; -1 is all of them."""
        count = self._length if count < 0 else min(count, self._length)
        new = self._with(count, self.get)
        return new._done_by(self, lambda d: d.take(count))

    def skip(self, count: int) -> Dataset:
        """Without the first elements of every pass."""
        count = self._length if count < 0 else min(count, self._length)
        get = self.get
        new = self._with(self._length - count, lambda n, i: get(n, i + count))
        return new._done_by(self, lambda d: d.skip(count))

    def select(self, indices: Any) -> Dataset:
        """The elements with these indices, in their order."""
        places, get = [int(i) for i in indices], self.get
        return self._with(len(places), lambda n, i: get(n, places[i]))

    # ---- what is known of it

    @property
    def element_spec(self) -> Any:
        """The structure of an element, with shape and dtype of its parts."""
        if not self._length:
            raise DataError("The dataset is empty: it has no element to describe.")
        batch = (None,) if self._varying else ()

        def spec(leaf: Any) -> TensorSpec:
            array = np.asarray(leaf)
            shape = array.shape
            if self._batched:
                shape = (*(batch or shape[:1]), *shape[1:])
            text = array.dtype.kind in "OSUT"
            return TensorSpec(shape, "string" if text else array.dtype.name)

        return tree.map_structure(spec, self.get(0, 0))

    def unbatched(self) -> tuple[Dataset, Callable[[Dataset], Dataset]]:
        """The samples of this dataset, and what makes such batches of samples."""
        if self._last_batch is None:
            return self, lambda dataset: dataset
        return self._last_batch

    def seeds(self) -> list[int]:
        """The seeds of its shuffles."""
        return [shuffle.seed for shuffle in self._shuffles]

    def set_seeds(self, seeds: list[int]) -> None:
        """Shuffle as a dataset with these seeds does."""
        for shuffle, seed in zip(self._shuffles, seeds, strict=True):
            shuffle.set_seed(seed)


class _Shuffle:
    """The order of a pass: whom to take, drawing each from a buffer."""

    def __init__(
        self, count: int, buffer_size: int | None, seed: int | None, anew: bool
    ) -> None:
        if buffer_size is not None and buffer_size < 1:
            raise ArgumentError(
                f"shuffle got buffer_size={buffer_size}; expected 1 or more."
            )
        self._count, self._anew = count, anew
        self._size = count if buffer_size is None else min(buffer_size, count)
        self._lock = threading.Lock()
        self.set_seed(make_default_seed() if seed is None else int(seed))

    def set_seed(self, seed: int) -> None:
        self.seed = seed
        self._order: tuple[int, Any] = (-1, None)

    def __call__(self, number: int, index: int) -> int:
        number = number if self._anew else 0
        with self._lock:  # threads of one pass ask at once
            if self._order[0] != number:
                self._order = number, self._draw(number)
            return int(self._order[1][index])

    def _draw(self, number: int) -> np.ndarray:
        seeds = [self.seed % (1 << 63), number]
        random = np.random.Generator(np.random.PCG64(seeds))
        if self._size == self._count:
            return random.permutation(self._count)
        order = np.arange(self._count)
        places = random.integers(self._size, size=self._count)
        for i in range(self._count - self._size):  # out of the buffer, the next one in
            j = i + places[i]
            order[i], order[j] = order[j], order[i]
        rest = self._count - self._size
        order[rest:] = random.permutation(order[rest:])
        return order


def _stack(*leaves: Any) -> np.ndarray:
    arrays = [np.asarray(leaf) for leaf in leaves]
    if arrays[0].dtype.kind == "U":
        return np.array([a.item() for a in arrays], object)
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1:
        raise DataError(
            f"Elements of shapes {sorted(shapes)} do not make a batch. Bring them to "
            "one shape first (`map`), or use `padded_batch`."
        )
    return np.stack(arrays)


def _stack_padded(*leaves: Any) -> np.ndarray:
    arrays = [np.asarray(leaf) for leaf in leaves]
    if not arrays[0].ndim:
        return _stack(*leaves)
    longest = max(len(a) for a in arrays)
    ends = [[(0, longest - len(a))] + [(0, 0)] * (a.ndim - 1) for a in arrays]
    return _stack(*(np.pad(a, end) for a, end in zip(arrays, ends, strict=True)))


class DatasetFeed(SequenceFeed):
    """Training on a `Dataset`, in its own order."""

    def __init__(
        self,
        source: Dataset,
        steps: int | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__(source, steps, False, class_weight)
        if self.length is None:
            raise DataError(
                "The dataset has no end: it was repeated without a number. Give "
                "steps_per_epoch (validation_steps, steps), or leave repeat() out: "
                "fit begins a dataset anew for every epoch."
            )

    def _place(self, number: int, index: int) -> Any:
        if self._total is None:  # an epoch goes on where the last one ended
            return 0, number * (self.length or 0) + index
        return self._pass(number, index)

    def _get(self, place: Any) -> Any:
        return self.source.get(*place)

    def _items(self, places: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        return in_threads(self._get, places, self.source.workers, self.source.ahead)

    def order(self) -> list[int]:
        return [*super().order(), *self.source.seeds()]

    def order_by(self, order: list[int]) -> None:
        super().order_by(order[:1])
        self.source.set_seeds(order[1:])

    def position(
        self, index: int | None = None, epoch: int | None = None
    ) -> dict[str, Any]:
        return super().position(index, epoch) | {"seeds": self.source.seeds()}

    def restore(self, position: dict[str, Any]) -> None:
        super().restore(position)
        self.source.set_seeds(position["seeds"])
