"""Callbacks that set the learning rate."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from carnyx.callbacks.base import Callback
from carnyx.callbacks.monitor import Monitor, _mode
from carnyx.callbacks.progress import write
from carnyx.configurable import field
from carnyx.errors import ArgumentError


def _optimizers(model: Any) -> Iterator[tuple[str, Any]]:
    """Pairs of a name, empty unless there are several, and an optimizer."""
    several = getattr(model.optimizer, "optimizers", None)
    if several is None:
        yield "", model.optimizer
    else:
        yield from ((f" {one.name}", one) for one in several)


def _log_rates(model: Any, logs: Any) -> None:
    for name, optimizer in _optimizers(model):
        key = f"learning_rate_{name.strip()}" if name else "learning_rate"
        logs[key] = float(optimizer.learning_rate)


class LearningRateScheduler(Callback):
    """Set the learning rate before every epoch.

    Args:
        schedule: `(epoch, rate) -> rate`, or `epoch -> rate`.
    """

    schedule: Callable[..., float] = field()
    verbose: int = field(0)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for name, optimizer in _optimizers(self.model):
            rate = self._next(epoch, float(optimizer.learning_rate))
            optimizer.learning_rate = rate
            if self.verbose:
                write(f"\nEpoch {epoch + 1}:{name} learning rate set to {rate}.\n")

    def _next(self, epoch: int, rate: float) -> float:
        try:
            inspect.signature(self.schedule).bind(epoch, rate)
            arguments = (epoch, rate)
        except TypeError:
            arguments = (epoch,)
        except ValueError:  # a builtin that does not tell what it takes
            arguments = (epoch, rate)
        new = self.schedule(*arguments)
        scalar = getattr(new, "shape", ()) == () and hasattr(new, "__float__")
        if not scalar or isinstance(new, bool):
            raise ArgumentError(
                f"The schedule gave {new!r} in epoch {epoch + 1}; expected a float."
            )
        return float(new)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        _log_rates(self.model, {} if logs is None else logs)


def _below_one(factor: float) -> str | None:
    return None if factor < 1 else "a factor below 1"


class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by `factor` after `patience` epochs without progress.

    Args:
        min_delta: a smaller change is no progress.
        cooldown: epochs after a reduction in which no waiting counts.
        min_lr: no lower than this.
    """

    factor: float = field(0.1, check=_below_one)
    patience: int = field(10)
    verbose: int = field(0)
    mode: str = field("auto", _mode)
    min_delta: float = field(1e-4, abs)
    cooldown: int = field(0)
    min_lr: float = field(0.0)

    wait = cooldown_counter = 0
    _state = ("best", "wait", "cooldown_counter")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.best, self.wait, self.cooldown_counter = None, 0, 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        _log_rates(self.model, logs)
        current = self.monitored(logs)
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improved(current, self.best):
            self.best, self.wait = current, 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.wait, self.cooldown_counter = 0, self.cooldown

    def in_cooldown(self) -> bool:
        """Whether a reduction is so recent that waiting does not count."""
        return self.cooldown_counter > 0

    def _reduce(self, epoch: int) -> bool:
        reduced = False
        for name, optimizer in _optimizers(self.model):
            rate = float(optimizer.learning_rate)
            if rate > np.float32(self.min_lr):  # the rate is kept in float32
                new = max(rate * self.factor, self.min_lr)
                optimizer.learning_rate = new
                reduced = True
                if self.verbose:
                    write(
                        f"\nEpoch {epoch + 1}: reducing{name} learning rate to {new}.\n"
                    )
        return reduced
