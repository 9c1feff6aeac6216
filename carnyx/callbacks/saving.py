"""`Saving`: when callbacks that keep states of a model save one."""

from __future__ import annotations

from typing import Any

from carnyx._numbers import REFUSED, as_integer
from carnyx.callbacks.base import takes_chunks
from carnyx.callbacks.monitor import Monitor
from carnyx.configurable import field


def saving_times(freq: object) -> str | None:
    """A check: "epoch", or an integer above 0."""
    number = as_integer(freq)
    good = freq == "epoch" or (number is not REFUSED and number > 0)
    return None if good else "'epoch' or a number of batches above 0"


class Saving(Monitor):
    """Base of callbacks that save at the end of epochs, or every so many batches.

    Subclasses define `save(logs, epoch, batch)`; at the end of an epoch batch is None.
    """

    verbose: int = field(0)
    save_best_only: bool = field(False)
    save_freq: Any = field("epoch", check=saving_times)
    initial_value_threshold: Any = field(None)

    period = 1  # epochs
    _epoch = _batches = _since_saving = 0
    _last_batch = -1
    _state = ("best", "_epoch", "_since_saving", "_last_batch")

    def __post_init__(self) -> None:
        self.best = self.initial_value_threshold
        self.every_batch = self.save_freq != "epoch"

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._last_batch = epoch, -1

    @takes_chunks
    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self.save_freq == "epoch":
            return
        steps, self._last_batch = batch - self._last_batch, batch
        self._batches += steps
        self._since_saving += steps
        if self._since_saving >= self.save_freq:
            self._since_saving = 0
            self.save(logs or {}, self._epoch, batch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.save_freq != "epoch":
            return
        self._since_saving += 1
        if self._since_saving >= self.period:
            self._since_saving = 0
            self.save(logs or {}, epoch, None)

    def save(self, logs: dict[str, Any], epoch: int, batch: int | None) -> None:
        """Save what is to be kept of this moment."""
        raise NotImplementedError
