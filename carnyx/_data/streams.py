"""Sources that give batches one after the other."""

from __future__ import annotations

import base64
import json
import sys
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from carnyx._data.batches import spec_of, to_batch
from carnyx._data.checks import warn_of
from carnyx._data.feed import Batch, Feed
from carnyx._data.sequences import length_of, where
from carnyx.errors import DataError


def _copied(leaf: Any) -> Any:
    return np.array(leaf) if isinstance(leaf, np.ndarray) else leaf


class StreamFeed(Feed):
    """An iterable of batches: a generator, a loader, anything with `__iter__`.

    An epoch is `steps` batches of it, or what it has. What can begin again does so
    at its end, for every epoch without `steps`, and where an epoch does not come after
    the last one, as the epoch 0 of every evaluation; a generator goes on where it
    stands.
    `restore` finds a position by beginning as often as it had, then reading up to it,
    from a source that is new.
    """

    def __init__(
        self,
        source: Iterable[Any],
        steps: int | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__(0)
        self.source, self.steps, self.class_weight = source, steps, class_weight
        self.name = type(source).__name__
        self._items: Any = iter(())  # perhaps one that has a state
        self._ahead: deque[Batch] = deque()
        self._begun = 0  # how often the source was begun
        self._once = False  # whether beginning again only goes on
        self._begin()
        self.length = steps or (None if self._once else length_of(source))
        self._before = 0  # how many batches were given out when the epoch began
        self._epoch_begun = 1  # how often the source was begun then
        self._following = 0  # the epoch that goes on where the last one ended

    def _begin(self) -> None:
        before, self._items = self._items, iter(self.source)
        self._once |= self._items is self.source or self._items is before
        self._begun += 1
        self._read = 0  # batches read from the source since it began
        self._taken = 0  # of these, how many were given out
        self._ahead.clear()

    def spec(self) -> Batch:
        wanted = min(2, self.length or 2)
        while len(self._ahead) < wanted and self._peek():
            pass
        if not self._ahead:
            raise DataError(
                f"{self.name} gave no batch: it is empty or at its end. Make a new "
                "one, or pass what can begin again (PyDataset)."
            )
        return spec_of(list(self._ahead))

    def _peek(self) -> bool:
        for item in self._items:
            batch = to_batch(item, self.class_weight, where(self._read))
            # the source may fill the same buffers again while these wait
            batch = jax.tree_util.tree_map(_copied, batch)
            if self.watched and warn_of(batch, self._read, self.name, ""):
                self.watched = False
            self._ahead.append(batch)
            self._read += 1
            return True
        return False

    def _next(self) -> Batch | None:
        if not self._ahead and not self._peek():
            return None
        self._taken += 1
        return self._ahead.popleft()

    def _batches(self, number: int, start: int) -> Iterator[Batch]:
        again = self.steps is None or number < self._following
        self._following = number + 1
        if again and not self._once:
            if self._taken > start:
                self._begin()
            while self._taken < start and self._next() is not None:
                pass
        if not (start or self._once or self._ahead or self._peek()):
            self._begin()  # the pass ended with the last epoch
        self._before, given = self._taken - start, start
        self._epoch_begun = self._begun
        while self.steps is None or given < self.steps:
            batch = self._next()
            if batch is None:
                self._ran_out(number, given)
                return
            given += 1
            yield batch

    def _ran_out(self, number: int, given: int) -> None:
        if not self._once:
            self._begin()
        if self.steps is not None and given:
            warnings.warn(
                f"The data ran out after {given} of {self.steps} batches in epoch "
                f"{number + 1}. A generator must give steps_per_epoch batches for "
                "every epoch; what can begin again needs no steps_per_epoch.",
                stacklevel=2,
            )

    def position(
        self, index: int | None = None, epoch: int | None = None
    ) -> dict[str, Any]:
        position = super().position(index, epoch)
        taken, begun = self._before + position["index"], self._epoch_begun
        if position["epoch"] > self._epoch:  # the epoch is over
            taken, begun = self._before + self._index, self._begun
            if not self._once and (self.steps is None or begun > self._epoch_begun):
                taken, begun = 0, self._epoch_begun + 1
        return position | {"taken": taken, "begun": begun}

    def restore(self, position: dict[str, Any]) -> None:
        super().restore(position)
        self._following = position["epoch"]
        while self._begun < position.get("begun", 1):
            next(self._items, None)  # so that what counts its beginnings counts it
            self._begin()
        while self._taken < position["taken"]:
            if self._next() is None:
                raise DataError(
                    f"The source ended after {self._taken} batches; the position to "
                    f"go on from is after {position['taken']}. Is it the same data?"
                )


class GrainFeed(StreamFeed):
    """A Grain loader or dataset, whose iterators can say and restore their state.

    The state after every batch is kept for a while, as the batch that training has
    used is some behind the one read.
    """

    _KEPT = 16

    def _begin(self) -> None:
        super()._begin()
        self._states: dict[tuple[int, int], str] = getattr(self, "_states", {})
        self._keep()

    def _keep(self) -> None:
        state = self._items.get_state()
        text = state.decode() if isinstance(state, bytes) else json.dumps(state)
        self._states[self._begun, self._read] = text
        while len(self._states) > self._KEPT:
            del self._states[next(iter(self._states))]

    def _peek(self) -> bool:
        there = super()._peek()
        if there:
            self._keep()
        return there

    def position(
        self, index: int | None = None, epoch: int | None = None
    ) -> dict[str, Any]:
        position = super().position(index, epoch)
        key = position["begun"], position["taken"]
        return position | {"state": self._states.get(key)}

    def restore(self, position: dict[str, Any]) -> None:
        text = position.get("state")
        if text is None:
            return super().restore(position)
        Feed.restore(self, position)
        self._following = position["epoch"]
        self._begin()
        as_bytes = isinstance(self._items.get_state(), bytes)
        state = text.encode() if as_bytes else json.loads(text)
        self._items.set_state(state)
        self._begun, self._taken = position["begun"], position["taken"]
        self._read = self._taken
        self._keep()


class TorchFeed(StreamFeed):
    """A `DataLoader` of PyTorch; its random state at every beginning is kept."""

    def _begin(self) -> None:
        self._states = getattr(self, "_states", {})
        state = self._generator().get_state().numpy().tobytes()
        self._states[self._begun + 1] = base64.b85encode(state).decode()
        self._states.pop(self._begun - 1, None)
        super()._begin()

    def _generator(self) -> Any:
        own = getattr(self.source, "generator", None)
        return sys.modules["torch"].default_generator if own is None else own

    def position(
        self, index: int | None = None, epoch: int | None = None
    ) -> dict[str, Any]:
        position = super().position(index, epoch)
        return position | {"state": self._states.get(position["begun"])}

    def restore(self, position: dict[str, Any]) -> None:
        if position["state"] is not None:
            state = base64.b85decode(position["state"])
            torch = sys.modules["torch"]
            tensor = torch.frombuffer(bytearray(state), dtype=torch.uint8)
            self._generator().set_state(tensor)
            self._begun = position["begun"] - 1
            self._begin()
        super().restore(position)
