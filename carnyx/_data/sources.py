"""Sources that give batches ready-made: by index, or one after the other."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from carnyx._data.batches import spec_of, to_batch
from carnyx._data.feed import Batch, Feed
from carnyx.errors import DataError


def length_of(source: Any) -> int | None:
    """The number of batches a source says it has; None if it does not."""
    try:
        length = source.num_batches if hasattr(source, "num_batches") else len(source)
    except (TypeError, NotImplementedError):
        return None
    if callable(length) or length is None or length < 0:
        return None
    if length == 0:
        raise DataError(f"{type(source).__name__} has no batches: its length is 0.")
    return int(length)


def _where(index: int) -> str:
    return f" (in batch {index} of the source)"


class SequenceFeed(Feed):
    """`source[i]` is batch i: `PyDataset`, the old `Sequence`, and what looks so.

    Batches are shuffled as wholes. With fewer `steps` than batches, an epoch is the
    next window of the endless stream of passes.
    """

    def __init__(
        self,
        source: Any,
        steps: int | None = None,
        shuffle: bool | str = False,
        class_weight: Mapping[int, float] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed if shuffle else seed or 0)
        self.source, self.shuffle, self.class_weight = source, shuffle, class_weight
        self._total = length_of(source)
        self.length = steps if self._total is None else self._total
        if steps is not None and self._total is not None:
            self.length = min(steps, self._total)

    def spec(self) -> Batch:
        return spec_of([self._get(i) for i in range(min(2, self.length or 2))])

    def _get(self, index: int) -> Batch:
        return to_batch(self.source[index], self.class_weight, _where(index))

    def _batches(self, number: int, start: int) -> Iterator[Batch]:
        self._tell("on_epoch_begin")
        try:
            index = start
            while self.length is None or index < self.length:
                yield self._get(self._place(number, index))
                index += 1
        finally:
            self._tell("on_epoch_end")

    def _tell(self, hook: str) -> None:
        getattr(self.source, hook, lambda: None)()

    def _place(self, number: int, index: int) -> int:
        if self._total is None:
            return number * (self.length or 0) + index
        windowed = (self.length or 0) < self._total
        if windowed:
            number, index = divmod(number * (self.length or 0) + index, self._total)
        if not self.shuffle:
            return index
        order = self._ordered(number, lambda random: random.permutation(self._total))
        return int(order[index])


class StreamFeed(Feed):
    """An iterable of batches: a generator, a loader, anything with `__iter__`.

    An epoch is `steps` batches of it, or what it has. What can begin again does so
    for every epoch; a generator goes on where it stands. `restore` finds a position
    by reading up to it, from a source that is new.
    """

    def __init__(
        self,
        source: Iterable[Any],
        steps: int | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__(0)
        self.source, self.steps, self.class_weight = source, steps, class_weight
        self._items = iter(source)
        self._once = self._items is source
        self.length = steps or (None if self._once else length_of(source))
        self._ahead: deque[Batch] = deque()
        self._read = 0  # batches read from the source since it began
        self._taken = 0  # of these, how many were given out
        self._before = 0  # how many were when the epoch began

    def spec(self) -> Batch:
        wanted = min(2, self.length or 2)
        while len(self._ahead) < wanted and self._peek():
            pass
        if not self._ahead:
            raise DataError(
                f"{type(self.source).__name__} gave no batch: it is empty or at its "
                "end. Make a new one, or pass what can begin again (PyDataset)."
            )
        return spec_of(list(self._ahead))

    def _peek(self) -> bool:
        for item in self._items:
            self._ahead.append(to_batch(item, self.class_weight, _where(self._read)))
            self._read += 1
            return True
        return False

    def _next(self) -> Batch | None:
        if not self._ahead and not self._peek():
            return None
        self._taken += 1
        return self._ahead.popleft()

    def _begin_again(self) -> None:
        self._items, self._read, self._taken = iter(self.source), 0, 0
        self._ahead.clear()

    def _batches(self, number: int, start: int) -> Iterator[Batch]:
        if self.steps is None and not self._once:
            if self._taken > start:
                self._begin_again()
            while self._taken < start and self._next() is not None:
                pass
        self._before, given = self._taken - start, start
        while self.steps is None or given < self.steps:
            batch = self._next()
            if batch is None:
                self._ran_out(number, given)
                return
            given += 1
            yield batch

    def _ran_out(self, number: int, given: int) -> None:
        if not self._once:
            self._begin_again()
        if self.steps is not None and given:
            warnings.warn(
                f"The data ran out after {given} of {self.steps} batches in epoch "
                f"{number + 1}. A generator must give steps_per_epoch batches for "
                "every epoch; what can begin again needs no steps_per_epoch.",
                stacklevel=2,
            )

    def position(self, index: int | None = None) -> dict[str, int]:
        position = super().position(index)
        return position | {"taken": self._before + position["index"]}

    def restore(self, position: dict[str, int]) -> None:
        super().restore(position)
        while self._taken < position["taken"]:
            if self._next() is None:
                raise DataError(
                    f"The source ended after {self._taken} batches; the position to "
                    f"go on from is after {position['taken']}. Is it the same data?"
                )
