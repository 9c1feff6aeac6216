"""Sources whose batches have an index, read by one thread or many workers."""

from __future__ import annotations

import itertools
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from carnyx._data.batches import spec_of, to_batch
from carnyx._data.feed import Batch, Feed
from carnyx._data.processes import Processes
from carnyx._data.threads import in_threads
from carnyx._data.windows import Windows
from carnyx.errors import DataError, add_note_once


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


def where(index: object) -> str:
    """Which batch, for a message."""
    return f"batch {index} of the source"


class SequenceFeed(Feed):
    """`source[i]` is batch i: `PyDataset`, the old `Sequence`, and what looks so.

    Batches are shuffled as wholes. With fewer `steps` than batches, a pass takes
    several epochs (`Windows`). `source.workers` threads or processes
    (`use_multiprocessing`) make batches, at most `max_queue_size` ahead, in order.
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
        self.name = type(source).__name__
        self._total = length_of(source)
        self.length = steps if self._total is None else self._total
        self._windows = None if not self._total else Windows(self._total, steps)
        if steps is not None and self._total is not None:
            self.length = min(steps, self._total)
            if steps > self._total:
                warnings.warn(
                    f"{steps} steps were asked for, but {self.name} has {self._total} "
                    "batches: an epoch has that many.",
                    stacklevel=2,
                )
        self._processes: Processes | None = None
        self._told = 0  # epochs whose beginning the source was told

    def spec(self) -> Batch:
        places = (self._place(0, i) for i in range(min(2, self.length or 2)))
        # By the workers too: a source that asks for processes may need them.
        return spec_of([self._checked(p, item) for p, item in self._items(places)])

    def _get(self, place: Any) -> Any:
        try:
            return self.source[place]
        except Exception as error:
            add_note_once(error, f"while {self.name} made batch {place}")
            raise

    def _checked(self, place: Any, item: Any) -> Batch:
        return to_batch(item, self.class_weight, where(place))

    def _batches(self, number: int, start: int) -> Iterator[Batch]:
        self._tell("on_epoch_begin")
        self._told = number + 1
        try:
            places = (self._place(number, i) for i in self._indices(number, start))
            for place, item in self._items(places):
                yield self._checked(place, item)
            if self._windows:
                self._windows.tell(number, self.name)
        finally:
            self._tell("on_epoch_end")

    def _indices(self, number: int, start: int = 0) -> Iterable[int]:
        """The indices of an epoch's batches."""
        length = self._windows.of(number).count if self._windows else self.length
        return itertools.count(start) if length is None else range(start, length)

    def _items(self, places: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        """Pairs of place and batch, by as many workers as the source asks for."""
        workers = int(getattr(self.source, "workers", 0) or 0)
        ahead = max(int(getattr(self.source, "max_queue_size", 10)), workers, 1)
        if workers and getattr(self.source, "use_multiprocessing", False):
            if self._processes is None:
                self._processes = Processes(self.source, workers)
                weakref.finalize(self, self._processes.close)
            return self._processes.items(places, ahead)
        if workers > 1:
            return in_threads(self._get, places, workers, ahead)
        return ((place, self._get(place)) for place in places)

    def again(self, number: int) -> Iterator[Batch]:
        if self.length is None:
            return iter(())
        places = (self._place(number, i) for i in self._indices(number))
        return (self._checked(place, self._get(place)) for place in places)

    def _tell(self, hook: str) -> None:
        getattr(self.source, hook, lambda: None)()

    def restore(self, position: dict[str, Any]) -> None:
        """Go to a position; the source is told of all epochs before, as it was."""
        super().restore(position)
        for _ in range(self._told, position["epoch"]):
            self._tell("on_epoch_begin")
            self._tell("on_epoch_end")
        self._told = max(self._told, position["epoch"])

    def _place(self, number: int, index: int) -> Any:
        if self._total is None:
            return number * (self.length or 0) + index
        number, index = self._pass(number, index)
        if not self.shuffle:
            return index
        order = self._ordered(number, lambda random: random.permutation(self._total))
        return int(order[index])

    def _pass(self, number: int, index: int) -> tuple[int, int]:
        """The pass over the source, and the index in it, of a batch of an epoch."""
        assert self._windows
        number, first, _ = self._windows.of(number)
        return number, first + index
