"""What a process has heard of the others of its job, and whether they can go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from carnyx.distribution.exit_hooks import say

GRACE = 8.0  # seconds for the main thread to leave, before the process is ended


class News:
    """What the coordinator has said; threads wait at `changed` for more of it.

    Args:
        index, count: which process this is, of how many.
        more: by kind of message, who else is told of it.

    Attributes:
        names: `Process 2 of 4 (host a, pid 71)`, each.
        ready: whether all are there.
        got, broken: what was exchanged, by key; who is gone that an exchange needs.
        call: the number of the call in progress or of the last one.
        within: whether one is in progress.
        lost: why the job is over, or None.
        ended: what to say of processes whose script is over.
        told: whether this process's main thread has been told what is wrong.
        failed, over: whether its own script has failed, or come to its end.
    """

    def __init__(
        self, index: int, count: int, more: dict[str, Callable[..., None]]
    ) -> None:
        self.index, self.count, self._more = index, count, more
        self.changed = threading.Condition()
        self.names = [f"Process {i} of {count}" for i in range(count)]
        self.ready = self.within = self.told = self.failed = self.over = False
        self.got: dict[str, list[Any]] = {}
        self.broken: dict[str, int] = {}
        self.call = 0
        self.lost: str | None = None
        self.ended: dict[int, str] = {}
        self._left: dict[int, str] = {}  # calls that another process has left
        self._until = time.monotonic()

    def gone_wrong(self) -> str | None:
        """Why the job, or the call in progress, cannot go on."""
        return self.lost or (self._left.get(self.call) if self.within else None)

    def why(self, index: int) -> str:
        """Why a process gives nothing any more."""
        return self.lost or self.ended.get(index) or f"{self.names[index]} is gone."

    def all_ended(self) -> bool:
        """All scripts are over, and well."""
        return self.over and not self.lost and len(self.ended) == self.count - 1

    def overdue(self) -> str | None:
        """What is wrong, where the main thread was to notice long ago."""
        if self.told or self.failed or time.monotonic() < self._until:
            return None
        return self.gone_wrong()

    # ---- what the coordinator says

    def hear(self, kind: str, *rest: Any) -> None:
        """A message; its kinds are listed in `coordinator.py`."""
        with self.changed:
            handler = self._more.get(kind) or getattr(self, f"_on_{kind}")
            handler(*rest)
            self.changed.notify_all()

    def _on_beat(self) -> None: ...

    def _on_ready(self) -> None:
        self.ready = True

    def _on_got(self, key: str, values: list[Any]) -> None:
        self.got[key] = values

    def _on_broken(self, key: str, who: int) -> None:
        self.broken[key] = who

    def _on_left(self, who: int, call: int, why: str) -> None:
        if who != self.index:
            self._give_up(call, f"{self.names[who]} stopped with {why}.")

    def _on_gone(self, who: int, how: str, why: str) -> None:
        if who == self.index:
            return
        if how == "followed" and self.over:
            self._give_up(None, f"{self.names[who]} ended, as another had.")
        elif how in ("ended", "over", "followed"):
            self.ended[who] = f"{self.names[who]} has ended: its script is over."
            if self.within:
                self._give_up(self.call, self.ended[who])
        elif how == "failed":
            self._give_up(None, f"{self.names[who]} stopped with {why}.")
        else:
            self._give_up(None, f"{self.names[who]} {how}: {why}.")
            if not (self.over or self.failed):
                say(f"carnyx: {self.lost} Process {self.index} stops.")

    def _give_up(self, call: int | None, text: str) -> None:
        if call is None and self.lost is None:
            self.lost, self.told = text, False
        elif call is not None:
            self._left.setdefault(call, text)
        self._until = time.monotonic() + GRACE
