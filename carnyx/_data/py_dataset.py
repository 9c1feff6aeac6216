"""`PyDataset`: batches by index, written by the user."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sized
from typing import Any


class PyDataset:
    """A source of batches: write `__getitem__(index)`, and `__len__` or `num_batches`.

    Batch `index` must not depend on the batches before: workers make them in any order,
    and resuming asks for some only. They reach training in order.

    Args:
        workers: threads that make batches, or processes with `use_multiprocessing`.
        max_queue_size: how many batches may wait.

    >>> class Squares(PyDataset):
    ...     def __len__(self):
    ...         return 3
    ...     def __getitem__(self, index):
    ...         return index * index
    >>> list(Squares(workers=2))
    [0, 1, 4]
    """

    _workers, _use_multiprocessing, _max_queue_size = 1, False, 10

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ) -> None:  # fmt: skip
        self._workers, self._max_queue_size = workers, max_queue_size
        self._use_multiprocessing = use_multiprocessing

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__.")

    def __iter__(self) -> Iterator[Any]:
        count, index = None, 0
        with contextlib.suppress(NotImplementedError):  # no length: there is no end
            count = self.num_batches
        while count is None or index < count:
            yield self[index]
            index += 1

    @property
    def num_batches(self) -> int | None:
        """How many batches there are; None if there is no end."""
        if isinstance(self, Sized):
            return len(self)
        raise NotImplementedError(
            f"{type(self).__name__} must define __len__, or num_batches as a property."
        )

    def on_epoch_begin(self) -> None:
        """Called before the first batch of every epoch."""

    def on_epoch_end(self) -> None:
        """Called after the last batch of every epoch."""

    def _option(self, name: str) -> Any:
        if name not in self.__dict__:
            warnings.warn(
                f"{type(self).__name__} does not call super().__init__(**kwargs), so "
                "it has no workers, use_multiprocessing and max_queue_size of its own.",
                stacklevel=3,
            )
            self.__dict__[name] = getattr(type(self), name)
        return self.__dict__[name]

    @property
    def workers(self) -> int:
        """How many threads or processes make batches."""
        return self._option("_workers")

    @workers.setter
    def workers(self, value: int) -> None:
        self._workers = value

    @property
    def use_multiprocessing(self) -> bool:
        """Whether workers are processes."""
        return self._option("_use_multiprocessing")

    @use_multiprocessing.setter
    def use_multiprocessing(self, value: bool) -> None:
        self._use_multiprocessing = value

    @property
    def max_queue_size(self) -> int:
        """How many batches may wait to be used."""
        return self._option("_max_queue_size")

    @max_queue_size.setter
    def max_queue_size(self, value: int) -> None:
        self._max_queue_size = value
