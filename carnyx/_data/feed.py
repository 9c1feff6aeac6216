"""The protocol of a feed.

A feed gives batches `(x, y, sample_weight)`: nested structures of host arrays in the
dtypes that a model takes, None for what there is not. An epoch's order is a function
of `(seed, epoch)`, so that `epoch(number, start)` gives the same batches whenever and
wherever it is asked; that is what makes resuming exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from carnyx._core.seed import make_default_seed

Batch = tuple[Any, Any, Any]


class Waiting:
    """The seconds that an epoch's training has waited for data, with nothing to do."""

    def __init__(self) -> None:
        self.told = False
        self.begin()

    def begin(self) -> None:
        """The steps of an epoch begin."""
        self.seconds, self._since, self._until = 0.0, time.perf_counter(), 0.0

    def end(self) -> None:
        """The steps of an epoch are done."""
        self._until = time.perf_counter()

    def share(self) -> float:
        """The waiting's part of the epoch's time so far."""
        until = self._until or time.perf_counter()
        return self.seconds / max(until - self._since, 1e-9)

    def __str__(self) -> str:
        """What a progress bar says of it; nothing, where it hardly matters."""
        if self.seconds < 0.2 or self.share() < 0.1:
            return ""
        return f"waiting for data {self.share():.0%}"


class Feed:
    """A source of batches that has a position.

    A subclass gives `_batches` and `spec`, and sets what it knows of the sizes.

    Args:
        seed: of the order; None draws one (`utils.set_random_seed` governs it).
    """

    length: int | None = None
    """Batches an epoch; None where only the end will tell."""
    batch_size: int | None = None
    num_samples: int | None = None
    indexed: bool = False
    """Whether it has `some`, `first_samples` and `chunk`: any sample at any time."""
    reads: bool = True
    """Whether making a batch may take time: it is then made ahead, by a thread."""
    name: str = "the data"
    """What the source is called in messages."""
    advice: str = (
        "Make batches in workers (PyDataset(workers=4), DataLoader(num_workers=4), "
        "prefetch of tf.data or Grain), keep what is computed, or use larger batches."
    )
    """What to do where it is slow."""
    watched: bool = False
    """Whether batches are looked at for NaN, as a loss was."""
    look: Callable[[Batch, int], None] | None = None
    """Is shown every batch of a source, with its number in the epoch, before it goes
    to the device."""
    meeting: Any = None
    """Where several processes compare their batches; None where they need not."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = make_default_seed() if seed is None else int(seed)
        self._epoch = self._index = 0
        self._order: tuple[Any, Any] = (None, None)
        self.waiting = Waiting()

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the `start`-th on."""
        self._epoch, self._index = number, start
        for batch in self._batches(number, start):
            if self.look is not None:
                self.look(batch, self._index)
            self._index += 1
            yield batch

    def _batches(self, number: int, start: int) -> Iterator[Batch]:
        raise NotImplementedError(f"{type(self).__name__} must define _batches.")

    def again(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch, read again; none, where that cannot be."""
        return iter(())

    def some(self, pick: Callable[[Any, int], Any]) -> Batch:
        """What `pick(array, batch_size)` takes of each array, in their structure."""
        raise NotImplementedError(f"{type(self).__name__} is not indexed.")

    def first_samples(self) -> list[np.ndarray]:
        """Of each array as many as a batch has, of what is read only one."""
        raise NotImplementedError(f"{type(self).__name__} is not indexed.")

    def full_batches(self, epoch: int) -> int:
        """How many batches of an epoch, from the first on, `chunk` can stack: in all
        processes, where each has data of its own."""
        return 0

    def chunk(self, epoch: int, start: int, count: int, capacity: int) -> Batch:
        """`count` full batches stacked along a new first axis of size `capacity`.

        The rest is zeros: a program for stacks of one size serves every count.
        """
        raise NotImplementedError(f"{type(self).__name__} is not indexed.")

    def share(self, sizes: list[int] | None) -> None:
        """Take part in a job of several processes.

        Args:
            sizes: how many samples each has of data of its own; None where all have the
                same data, of which each reads its part.
        """

    def spec(self) -> Batch:
        """One batch as symbolic tensors, the batch size None; takes no data away."""
        raise NotImplementedError(f"{type(self).__name__} must define spec.")

    def position(
        self, index: int | None = None, epoch: int | None = None
    ) -> dict[str, Any]:
        """Where the feed stands, as plain JSON.

        Args:
            index: how many batches of the epoch were used, where some of those given
                out wait in `prefetch`; None is all of them.
            epoch: the one that the reader is in (None), or the next, at its beginning.
        """
        index = self._index if index is None else index
        epoch = self._epoch if epoch is None else epoch
        return {"seed": self.seed, "epoch": epoch, "index": index}

    def restore(self, position: dict[str, Any]) -> None:
        """Go to a position: `epoch(position["epoch"], position["index"])` goes on."""
        self.seed = position["seed"]
        self._epoch, self._index = position["epoch"], position["index"]

    def order(self) -> list[int]:
        """What the order of its batches depends on."""
        return [self.seed]

    def order_by(self, order: list[int]) -> None:
        """Give batches in the order of a feed that has this `order()`."""
        self.seed = order[0]

    def _ordered(self, number: int, draw: Callable[[np.random.Generator], Any]) -> Any:
        """The order of pass `number` over the data, which `draw` makes; kept."""
        key = self.seed, number
        if self._order[0] != key:
            seeds = np.random.PCG64([self.seed, number])
            self._order = key, draw(np.random.Generator(seeds))
        return self._order[1]
