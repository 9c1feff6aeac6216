"""Ctrl-C and SIGTERM between two steps, never inside one."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Terminated(BaseException):
    """SIGTERM came: save and leave."""


class BetweenSteps:
    """Delays an interrupt until `check()`; a second one of its kind is immediate.

    One that no check has seen is raised at the end.

    A step gives its old state away before the new one is kept. An interrupt in between
    would leave a model without weights.

    Args:
        terminate: handle SIGTERM too; `check` then raises `Terminated`.
        agreed: where several processes agree on a step to stop after.
    """

    def __init__(self, terminate: bool = False, agreed: Any = None) -> None:
        self._agreed = agreed
        self._raises: dict[int, type[BaseException]] = {}
        self._raises[signal.SIGINT] = KeyboardInterrupt
        if terminate:
            self._raises[signal.SIGTERM] = Terminated
        self._pending: set[int] = set()
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> BetweenSteps:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in self._raises:
            handler = signal.getsignal(number)
            if handler in (signal.default_int_handler, signal.SIG_DFL):
                self._previous[number] = handler  # someone else's handler stays
                signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number in self._pending:
            raise self._raises[number]
        self._pending.add(number)

    def check(self) -> None:
        """Raise for an interrupt that came since."""
        if self._pending:
            raise self._raises[self._pending.pop()]

    def stops(self, model: Any) -> bool:
        """Like `check`; whether training ends here, as `stop_training` asks.

        Several processes end at one step, whichever was interrupted or asked.
        """
        if self._agreed is None:
            self.check()
            return bool(model.stop_training)
        return self._act(self._agreed.arrive(self._wanted(model)), model)

    def end(self, model: Any) -> None:
        """Past the last step: what is still owed, in one process, is done in all."""
        if self._agreed is None:
            self.check()
        else:
            self._act(self._agreed.end(self._wanted(model)), model)

    def _wanted(self, model: Any) -> str | None:
        if self._pending:
            return signal.Signals(next(iter(self._pending))).name
        return "stop" if model.stop_training else None

    def _act(self, reason: str | None, model: Any) -> bool:
        if reason is not None and reason != "stop":
            number = signal.Signals[reason]
            self._pending.discard(number)
            raise self._raises.get(number, Terminated)
        model.stop_training = model.stop_training or reason is not None
        return reason is not None

    def __exit__(self, *error: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if error[0] is None:
            self.check()
