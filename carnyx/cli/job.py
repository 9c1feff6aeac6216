"""Processes that start, run and end together."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType

from carnyx.cli.child import Child, exit_code, how_it_ended, say
from carnyx.cli.plan import Process
from carnyx.errors import ProcessError

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # passed on
_TICK = 0.05  # seconds between looks at who ended


class Job:
    """Processes of which none goes on when one fails.

    Signals that ask the job to end go to all of them; a training saves its backup then,
    and takes the time that it needs.

    Args:
        grace: seconds from asking a process to end because another has, to killing it.
        elsewhere: whether the job has processes on other hosts, too.
    """

    def __init__(
        self, processes: Sequence[Process], grace: float, elsewhere: bool = False
    ) -> None:
        self._processes, self._grace = processes, grace
        self._elsewhere, self._cut = elsewhere, False
        self._running: list[Child] = []
        self._signals: list[int] = []  # that came and were not passed on yet
        self._deadline = float("inf")  # when those that still run are killed
        self._failed: tuple[Child, int] | None = None  # the cause, as far as is known
        self._late = False  # some had to be killed
        self.interrupted = False  # was asked to end

    def run(self) -> int:
        """Start all and wait for all; the exit code of the first that failed, or 0."""
        with self._caught(), selectors.DefaultSelector() as selector:
            try:
                for process in self._processes:
                    self._running.append(Child(process, selector))
                while self._running:
                    self._pass_on()
                    self._read(selector)
                    for child, code in self._take_ended():
                        self._judge(child, code)
                    self._kill_late()
            finally:
                for child in self._running:
                    child.kill()
        if self._failed is None:
            return 0
        child, code = self._failed
        if code == ProcessError.exit_code and not self.interrupted:
            self._name(child, code)  # all because of one on another host
        return exit_code(code)

    def _read(self, selector: selectors.BaseSelector) -> None:
        if not selector.get_map():
            time.sleep(_TICK)
        for key, _ in selector.select(_TICK):
            key.data()
        if not self._cut and any(child.is_cut for child in self._running):
            self._cut = True  # as in `| head`: end, but save
            self._signals.append(signal.SIGTERM)

    def _take_ended(self) -> list[tuple[Child, int]]:
        """Those that ended since the last look; killed ones first, as the cause."""
        ended = [(c, code) for c in self._running if (code := c.ended()) is not None]
        for child, _ in ended:
            child.close()
            self._running.remove(child)
        return sorted(ended, key=lambda pair: pair[1] >= 0)

    def _judge(self, child: Child, code: int) -> None:
        """What its end means for the others."""
        known = self._failed is not None and self._failed[1] != ProcessError.exit_code
        if code and not known and not self._late:
            self._failed = child, code
            # the one because of which it ended may still have something to say
            if code != ProcessError.exit_code and not self.interrupted:
                self._name(child, code)
                self._send(signal.SIGTERM)
        if code or self.interrupted:
            self._deadline = min(self._deadline, time.monotonic() + self._grace)

    def _name(self, child: Child, code: int) -> None:
        how = how_it_ended(code, self._elsewhere)
        others = "; ending the others" if self._running else ""
        say(f"process {child.rank} (pid {child.pid}) {how}{others}.")

    def _send(self, number: int) -> None:
        for child in self._running:
            if not (number == signal.SIGINT and child.at_terminal and _in_front()):
                child.send(number)

    def _pass_on(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGHUP:  # the terminal went: end, but save
                number = signal.SIGTERM
            if self.interrupted:  # for the second time: no more patience
                self._deadline = min(self._deadline, time.monotonic() + self._grace)
            self.interrupted = True
            self._send(number)

    def _kill_late(self) -> None:
        if time.monotonic() < self._deadline:
            return
        for child in self._running:
            say(f"process {child.rank} did not end within {self._grace:g} s: killed.")
            self._late = True
            child.kill()

    @contextlib.contextmanager
    def _caught(self) -> Iterator[None]:
        def handle(number: int, frame: FrameType | None) -> None:
            self._signals.append(number)

        heard = [n for n in _ENDING if signal.getsignal(n) != signal.SIG_IGN]  # nohup
        before = {number: signal.signal(number, handle) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _in_front() -> bool:
    """Whether Ctrl-C in the terminal reaches this process by itself."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return False
