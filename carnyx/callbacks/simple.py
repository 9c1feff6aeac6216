"""Callbacks of a few lines: functions as hooks, averages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from carnyx.callbacks.base import Callback, takes_chunks
from carnyx.configurable import attribute, field
from carnyx.errors import ArgumentError

Hook = Callable[..., Any] | None


class LambdaCallback(Callback):
    """Functions as hooks.

    Args:
        kwargs: functions for the other hooks, by the hooks' names.

    >>> tell = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs))
    >>> tell.on_epoch_end(3, {"loss": 0.5})
    3 {'loss': 0.5}
    """

    def __init__(
        self,
        on_epoch_begin: Hook = None,
        on_epoch_end: Hook = None,
        on_train_begin: Hook = None,
        on_train_end: Hook = None,
        on_train_batch_begin: Hook = None,
        on_train_batch_end: Hook = None,
        **kwargs: Any,
    ) -> None:
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        } | kwargs
        for name, value in given.items():
            if name.startswith("on_") and not hasattr(Callback, name):
                raise ArgumentError(
                    f"LambdaCallback got {name}; there is no such hook."
                )
            if value is not None:
                setattr(self, name, value)


class BaseLogger(Callback):
    """Averages over the epoch, as in Keras 2.

    For a loop of one's own that sends the logs of single batches with their `"size"`;
    `on_epoch_end` finds their means in its logs. The logs of `fit` are means already.

    Args:
        stateful_metrics: names that are left as they are.

    >>> logger, logs = BaseLogger(), {}
    >>> logger.on_epoch_begin(0)
    >>> logger.on_batch_end(0, {"size": 3, "loss": 1.0})
    >>> logger.on_batch_end(1, {"size": 1, "loss": 3.0})
    >>> logger.on_epoch_end(0, logs)
    >>> logs
    {'loss': 1.5}
    """

    stateful_metrics: Any = field(None, lambda names: set(names or ()))

    _totals: Any = attribute(None)
    _seen = 0
    _state = ("_totals", "_seen")

    def __post_init__(self) -> None:
        self._totals = {}

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._totals, self._seen = {}, 0

    @takes_chunks
    def on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        size = logs.get("size", 0)
        self._seen += size
        for name, value in logs.items() if size else ():
            if name in self.stateful_metrics:
                self._totals[name] = value
            elif name not in ("size", "batch"):
                self._totals[name] = self._totals.get(name, 0.0) + value * size

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        for name, total in self._totals.items():
            stays = name in self.stateful_metrics
            logs[name] = total if stays else total / self._seen
