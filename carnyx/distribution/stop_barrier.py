"""Where all processes of a job stop together.

Each counts the points between its steps as it passes them. When one wants to stop, each
says how far it is and waits at its next point; all then stop at the point after the
furthest, which none has passed. Who says so is a thread of its own, as the training
thread may be waiting for a result that needs steps of the others.

The last points of a run may come before that one: `end` gives what is still to be done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class StopBarrier:
    """This process's count of points.

    Args:
        ask: sends that this process wants to stop: `(round, reason)`.
        tell: sends the last point passed.
        check: raises where the others are gone.
    """

    def __init__(
        self,
        ask: Callable[[int, str], None],
        tell: Callable[[int], None],
        check: Callable[[], None],
    ) -> None:
        self._ask, self._tell, self._check = ask, tell, check
        self._news = threading.Condition()
        self._passed = self._round = 0
        self._held = self._owed = self._between = False
        self._halt: int | None = None
        self._reason = ""

    def begin(self, meet: Callable[[], object]) -> None:
        """Count from here on; what was wanted in a run that an error ended is over.

        Args:
            meet: waits until all processes are here.
        """
        with self._news:
            self._between = True
            if self._owed:  # the point to tell it at will never come
                self._tell(0)
        meet()  # whoever wanted to stop then has said so
        with self._news:
            self._passed = 0
            self._between = False
            self._forget()
        meet()  # and has been told where

    def end(self) -> str | None:
        """Why all were to stop at a point that no longer comes, or None.

        Called when every process has passed its last point.
        """
        with self._news:
            reason = None if self._halt is None else self._reason
            self._forget()
            return reason

    def _forget(self) -> None:
        self._held = self._owed = False
        self._halt = None

    def arrive(self, wanted: str | None) -> str | None:
        """At a point: why all stop here, or None to go on.

        Args:
            wanted: why this process wants to stop, if it does.
        """
        with self._news:
            asked = wanted is not None and self._halt is None and not self._held
            if asked:
                assert wanted is not None
                self._ask(self._round, wanted)
            point = self._passed + 1
            while (asked or self._held) and self._halt is None:
                self._check()
                self._news.wait(0.2)
            self._passed = point
            if self._halt != point:
                return None
            self._held, self._halt = False, None
            if self._owed:
                self._owed, self._held = False, True
                self._tell(point)
            return self._reason

    def hold(self) -> None:
        """Somebody wants to stop: pass no further point, and tell the last passed.

        If there is a stop to come, that first.
        """
        with self._news:
            if self._halt is not None and not self._between:
                self._owed = True
                return
            self._held = True
            self._tell(self._passed)

    def halt(self, point: int, reason: str) -> None:
        """All stop at this point, unless they were to in a run that is over."""
        with self._news:
            if self._held:
                self._halt, self._reason = point, reason
            self._round += 1
            self._news.notify_all()
