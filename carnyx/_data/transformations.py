"""What users of tf.data expect of a `Dataset` beyond its core, by the core's means."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import numpy as np

from carnyx import tree
from carnyx.errors import ArgumentError, DataError
from carnyx.typing import Tensor

ENDLESS = 1 << 62  # elements, as many as an index can count

D = TypeVar("D", bound="Indexed")


class Indexed(Protocol):
    """The core that these transformations need."""

    _length: int
    _shuffles: list[Any]
    _last_batch: Any

    endless: Any

    def _need_end(self, what: str) -> None: ...
    def __iter__(self) -> Iterator[Any]: ...
    def get(self, number: int, index: int) -> Any: ...
    def _with(self: D, length: int, get: Callable[[int, int], Any]) -> D: ...


class Transformations:
    """Repeated, filtered, joined and taken apart; positions stay exact."""

    _length: int

    @property
    def endless(self) -> bool:
        """Whether it was repeated without a number."""
        return self._length > ENDLESS >> 24  # batches of it are, too

    def _need_end(self, what: str) -> None:
        if self.endless:
            raise ArgumentError(
                f"{what} of a dataset without an end: {what} it first, then repeat it."
            )

    def repeat(self: D, count: int | None = None) -> D:
        """All elements `count` times, each time in the order of the next pass.

        Args:
            count: None or -1 is without an end; fit needs `steps_per_epoch` then.
        """
        get, length = self.get, self._length
        if count is None or count == -1:
            passes = ENDLESS // max(length, 1)
            return self._with(
                passes * length, lambda n, i: get(n + i // length, i % length)
            )
        if count < 1:
            raise ArgumentError(f"repeat got count={count!r}; expected 1 or more.")
        self._need_end("repeat")
        return self._with(
            length * count, lambda n, i: get(n * count + i // length, i % length)
        )

    def unbatch(self: D) -> D:
        """The samples of batches as elements."""
        get, count = self.get, self._length
        size, last = (_rows(get(0, i)) for i in (0, count - 1))

        def sample(number: int, index: int) -> Any:
            batch = get(number, index // size)
            if _rows(batch) != size and index // size < count - 1:
                raise DataError("unbatch needs batches of one size, except the last.")
            return tree.map_structure(
                lambda leaf: np.asarray(leaf)[index % size], batch
            )

        new = self._with((count - 1) * size + last, sample)
        new._batched = new._varying = False  # type: ignore[attr-defined]
        return new

    def filter(self: D, predicate: Callable[..., Any]) -> D:
        """The elements for which `predicate` is true; it is asked once a pass."""
        self._need_end("filter")
        get, count = self.get, self._length
        kept: dict[int, list[int]] = {}

        def places(number: int) -> list[int]:
            number = number if self._shuffles else 0
            if number not in kept:
                kept.clear()
                kept[number] = [
                    i for i in range(count) if bool(_called(predicate, get(number, i)))
                ]
            return kept[number]

        return self._with(len(places(0)), lambda n, i: get(n, places(n)[i]))

    def enumerate(self: D, start: int = 0) -> D:
        """Pairs of a number, from `start` on, and the element."""
        get = self.get
        return self._with(
            self._length, lambda n, i: (np.int64(operator.index(start) + i), get(n, i))
        )

    def concatenate(self: D, dataset: D) -> D:
        """These elements, then those of another dataset."""
        get, other, length = self.get, dataset.get, self._length

        def either(number: int, index: int) -> Any:
            return (
                get(number, index) if index < length else other(number, index - length)
            )

        new = self._with(length + dataset._length, either)
        new._shuffles += dataset._shuffles
        return new

    @staticmethod
    def zip(*datasets: Any) -> Any:
        """Tuples of the elements of several datasets, as many as the shortest has."""
        parts = datasets[0] if len(datasets) == 1 else datasets
        leaves = list(tree.flatten(parts))
        shortest = min(d._length for d in leaves)
        new = leaves[0]._with(
            shortest,
            lambda n, i: tree.map_structure(lambda d: d.get(n, i), parts),
        )
        new._shuffles = list(itertools.chain(*(d._shuffles for d in leaves)))
        return new

    def reduce(
        self: Indexed, initial_state: Tensor, reduce_func: Callable[..., Any]
    ) -> Any:
        """`reduce_func(state, element)` over all elements, one after the other."""
        state = initial_state
        for element in self:
            state = reduce_func(state, element)
        return state

    def cardinality(self: Indexed) -> np.int64:
        """How many elements there are; -1 without an end."""
        return np.int64(-1 if self.endless else self._length)

    def as_numpy_iterator(self: Indexed) -> Iterator[Any]:
        """The elements as NumPy arrays."""
        return (tree.map_structure(np.asarray, element) for element in self)


def _rows(batch: Any) -> int:
    return int(np.shape(tree.flatten(batch)[0])[0])


def _called(function: Callable[..., Any], element: Any) -> Any:
    return function(*element) if isinstance(element, tuple) else function(element)
