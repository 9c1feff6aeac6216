"""The progress bar: in a terminal, in a notebook, and as a line in a log."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from carnyx import config
from carnyx.callbacks.base import Callback, takes_chunks
from carnyx.distribution.job import is_first
from carnyx.errors import ArgumentError
from carnyx.typing import Tensor

_BOLD, _GREEN, _GREY, _PLAIN = "\x1b[1m", "\x1b[32m", "\x1b[37m", "\x1b[0m"


def write(text: str) -> None:
    """Write to stdout at once; characters it cannot show become `=`.

    Of several processes the first alone writes.
    """
    if not is_first():
        return
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "ascii"
        text = text.replace("━", "=").encode(encoding, "replace").decode(encoding)
        sys.stdout.write(text)
    sys.stdout.flush()


def is_live() -> bool:
    """Whether a line on stdout can be drawn anew: a terminal or a notebook."""
    return (
        bool(getattr(sys.stdout, "isatty", bool)())
        or "ipykernel" in sys.modules
        or "PYCHARM_HOSTED" in os.environ
    )


class Progbar:
    """A bar with steps, time and metrics.

    Args:
        target: how many steps to expect; None if unknown.
        verbose: 0 nothing, 1 a bar (a last line where stdout is no terminal), 2 only
            the last line.
        interval: seconds between two drawings.
        stateful_metrics: names shown as they are; the others are averaged.
        stateless_metrics: names averaged; the others are shown as they are.
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ArgumentError(
                "Progbar got stateful_metrics and stateless_metrics; give one of them, "
                "the other names are of the other kind."
            )
        self.target, self.width, self.verbose = target, width, verbose
        self.interval, self.unit_name = interval, unit_name
        self.prefix = ""
        self.note: Any = ""  # text behind the metrics
        self._as_given = set(stateful_metrics or ())
        self._averaged = None if stateless_metrics is None else set(stateless_metrics)
        self._values: dict[str, tuple[Any, int]] = {}  # sum and how many
        self._seen = self._drawn_width = 0
        self._start = time.time()
        self._first: tuple[int, float] | None = None  # steps and time of first update
        self._drawn_at = -math.inf
        self._live = is_live()

    def is_due(self) -> bool:
        """Whether an update would draw; if not, its values need not be fetched."""
        if self._first is None:
            return True
        waited = time.time() - self._drawn_at >= self.interval
        return self.verbose == 1 and self._live and waited

    def add(self, n: int, values: Tensor | None = None) -> None:
        """Go `n` steps further."""
        self.update(self._seen + n, values)

    def update(
        self, current: int, values: Tensor | None = None, finalize: bool | None = None
    ) -> None:
        """Stand at step `current`.

        Args:
            values: pairs of name and value.
            finalize: True for the last update; by default, once the target is reached.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        for name, value in values or ():
            self._keep(name, value, current - self._seen)
        self._seen = current
        now = time.time()
        drawing = finalize or (self._live and now - self._drawn_at >= self.interval)
        if self._first is None and current:
            self._first = current, now
        if self.verbose == 0 or not drawing or (self.verbose == 2 and not finalize):
            return
        self._drawn_at = now
        self._draw(now, finalize)

    def _keep(self, name: str, value: Any, steps: int) -> None:
        averaged = name not in self._as_given
        if self._averaged is not None:
            averaged = name in self._averaged
        if isinstance(value, list | tuple):
            value = np.asarray(value)
        if not averaged or isinstance(value, str):
            self._values[name] = value, 1
        else:
            total, count = self._values.get(name, (0.0, 0))
            steps = max(steps, 1)
            self._values[name] = total + value * steps, count + steps

    def _draw(self, now: float, finalize: bool) -> None:
        done = f"{self._seen}/{'Unknown' if self.target is None else self.target}"
        seconds = self._step_seconds(now)
        if not finalize and self.target:
            clock = _clock(seconds * (self.target - self._seen))
        else:
            clock = f"{now - self._start:.0f}s"
        info = f"{clock} {_per(seconds, self.unit_name)}"
        for name, (total, count) in self._values.items():
            info += f" - {name}: {_number(total, count)}"
        info += f" - {self.note}" if str(self.note) else ""
        if self._live and self.verbose == 1:
            self._redraw(done, info, finalize)
        else:
            write(f"{self.prefix}{done} - {info}\n")

    def _redraw(self, done: str, info: str, finalize: bool) -> None:
        done = done.rjust(2 * len(str(self.target)) + 1)
        filled = blank = 0
        if self.target:
            filled = min(self.width * self._seen // self.target, self.width)
            blank = self.width - filled
        taken = len(done) + 2 + filled + blank
        if not finalize and sys.stdout.isatty():  # a line that wraps cannot be redrawn
            info = info[: max(shutil.get_terminal_size().columns - taken - 1, 0)]
        bar = f"{_GREEN}{'━' * filled}{_GREY}{'━' * blank}{_PLAIN}"
        width = taken + len(info)
        rest = " " * max(self._drawn_width - width, 0)
        self._drawn_width = width
        end = "\n" if finalize else ""
        write(f"\r{_BOLD}{done}{_PLAIN} {bar} {info}{rest}{end}")

    def _step_seconds(self, now: float) -> float:
        """A step's time; without the first update, which has compiled.

        Where that was many steps, fused, the few after it say less than all together.
        """
        if not self._seen:
            return 0.0
        steps, since = self._first or (0, self._start)
        if self._seen >= 2 * steps and self._seen > steps:
            return (now - since) / (self._seen - steps)
        return (now - self._start) / self._seen


def _number(total: Any, count: int) -> str:
    if isinstance(total, str):
        return total
    if getattr(total, "shape", ()):
        total = total.mean()
    value = float(total) / count
    return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"


def _clock(seconds: float) -> str:
    """Time left: 2:05:09, 5:09 or 9s."""
    s = int(seconds)
    if s > 3600:
        return f"{s // 3600}:{s % 3600 // 60:02d}:{s % 60:02d}"
    return f"{s // 60}:{s % 60:02d}" if s > 60 else f"{s}s"


def _per(seconds: float, unit: str) -> str:
    for limit, factor, name in ((1.0, 1.0, "s"), (1e-3, 1e3, "ms")):
        if seconds >= limit:
            return f"{seconds * factor:.0f}{name}/{unit}"
    return f"{seconds * 1e6:.0f}us/{unit}"


class ProgbarLogger(Callback):
    """The progress bar as a callback; added unless `verbose=0`.

    `verbose="auto"` is 1, or 2 after `config.disable_interactive_logging()`.
    Metrics are fetched only when the bar is drawn, at most 20 times a second.

    Args:
        count_mode: as in Keras 2: count `"steps"`, or `"samples"` where the loop tells
            how many there are.
        stateful_metrics: names to show as they are, while the others are averaged, for
            a loop whose logs are those of single batches. `fit` averages itself.
    """

    def __init__(
        self, count_mode: str = "steps", stateful_metrics: Iterable[str] | None = None
    ) -> None:
        if count_mode not in ("steps", "samples"):
            raise ArgumentError(
                f"count_mode got {count_mode!r}; expected 'steps' or 'samples'."
            )
        self.count_mode = count_mode
        self.stateful_metrics = (
            None if stateful_metrics is None else {*stateful_metrics}
        )
        self.every_batch = stateful_metrics is not None
        self._samples: int | None = None  # a step, where samples are counted
        self.verbose: int = 1
        self.epochs: int = 1
        self.target: int | None = None
        self.seen = 0
        self.progbar: Progbar | None = None
        self.note: Any = ""  # of the data, if training waits for them
        self._in_fit = False

    def set_params(self, params: dict[str, Any] | None) -> None:
        super().set_params(params)
        params = params or {}
        verbose = params.get("verbose", 1)
        if verbose == "auto":
            verbose = 1 if config.is_interactive_logging_enabled() else 2
        if verbose not in (0, 1, 2):
            raise ArgumentError(f"verbose got {verbose!r}; expected 0, 1, 2 or 'auto'.")
        self.verbose = int(verbose)
        self.epochs = params.get("epochs") or 1
        self.target, self._samples = params.get("steps"), None
        if self.count_mode == "samples" and params.get("samples"):
            self.target = params["samples"]
            self._samples = params.get("batch_size") or 1

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._in_fit = True  # validation is silent there

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._in_fit = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        bar = self._begin()
        if self.verbose and self.epochs > 1:
            title = f"Epoch {epoch + 1}/{self.epochs}"
            if self.verbose == 1 and is_live():
                write(title + "\n")
            else:
                bar.prefix = title + " - "

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self._in_fit:
            self._begin()

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._begin()

    @takes_chunks
    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._update(batch, logs)

    @takes_chunks
    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._in_fit:
            self._update(batch, logs)

    @takes_chunks
    def on_predict_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._update(batch, None)  # its logs are the outputs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._end(logs)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        if not self._in_fit:
            self._end(logs)

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        self._end(None)

    def _begin(self) -> Progbar:
        self.seen = 0
        names = self.stateful_metrics
        self.progbar = Progbar(
            self.target, verbose=self.verbose, stateful_metrics=names,
            stateless_metrics=() if names is None else None,
            unit_name="step" if self._samples is None else "sample",
        )  # fmt: skip
        self.progbar.note = self.note
        return self.progbar

    def _update(self, batch: int, logs: Any) -> None:
        bar = self.progbar or self._begin()
        seen = (batch + 1) * (self._samples or 1)
        self.seen = min(seen, self.target or seen)  # the last group may be cut short
        if bar.is_due() or self.every_batch:
            bar.update(self.seen, (logs or {}).items(), finalize=False)

    def _end(self, logs: Any) -> None:
        bar = self.progbar or self._begin()
        if self.target is None:  # the next epoch knows
            self.target = bar.target = self.seen
        bar.update(self.seen, (logs or {}).items(), finalize=True)
