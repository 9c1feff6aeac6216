"""`Monitor`: is the watched quantity better than before?"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from typing import Any

from carnyx.callbacks.base import Callback
from carnyx.configurable import attribute, field
from carnyx.errors import ArgumentError, nearest

# Names of quantities of which more is better, for metrics that do not say so.
_MORE_IS_BETTER = ("acc", "accuracy", "auc", "precision", "recall", "iou", "score")


def _mode(mode: str) -> str:
    if mode in ("auto", "min", "max"):
        return mode
    warnings.warn(
        f"mode got {mode!r}; expected 'auto', 'min' or 'max'. Going on with 'auto'.",
        stacklevel=2,
    )
    return "auto"


class Monitor(Callback):
    """Base of callbacks that watch one quantity of the logs.

    Args:
        monitor: its name, as in `History.history`.
        mode: `"min"` or `"max"` is better; `"auto"` asks the metric of that name.
    """

    monitor: str = field("val_loss")
    mode: str = field("auto", _mode)

    min_delta: float = attribute(0.0)
    best: Any = attribute(None)
    monitor_op: Callable[[Any, Any], Any] | None = attribute(None)
    _state = ("best",)

    def improved(self, current: Any, reference: Any) -> bool:
        """Whether `current` is better than `reference` by more than `min_delta`."""
        if self.monitor_op is None:
            self.monitor_op = self._better()
        if reference is None:
            return True
        step = abs(self.min_delta)
        step = -step if self.monitor_op is operator.lt else step
        return bool(self.monitor_op(current - step, reference))

    def monitored(self, logs: dict[str, Any]) -> Any:
        """The quantity's value; None, with a warning, where the logs have none."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            names = list(logs or ())
            advice = nearest(self.monitor, names)
            if not any(name.startswith("val_") for name in names):
                advice = " For a 'val_' name fit needs validation data."
            warnings.warn(
                f"{type(self).__name__} watches {self.monitor!r}, but the logs have "
                f"{', '.join(names) or 'nothing'}.{advice}",
                stacklevel=3,
            )
        return value

    def _better(self) -> Callable[[Any, Any], Any]:
        mode = self._direction() if self.mode == "auto" else self.mode
        if mode is None:
            raise ArgumentError(
                f"{type(self).__name__} cannot tell whether more or less of "
                f"{self.monitor!r} is better. Pass mode='max' or mode='min'."
            )
        return operator.gt if mode == "max" else operator.lt

    def _direction(self) -> str | None:
        name = self.monitor.removeprefix("val_")
        for metric in getattr(self.model, "metrics", ()):
            for one in getattr(metric, "metrics", [metric]):
                # outputs of several put their name before the metric's
                if name == one.name or name.endswith("_" + one.name):
                    direction = getattr(one, "_direction", None)
                    if direction is not None:
                        return "max" if direction == "up" else "min"
        last = name.rsplit("_", 1)[-1].lower()
        if last in _MORE_IS_BETTER:
            return "max"
        return "min" if last in ("loss", "error") else None
