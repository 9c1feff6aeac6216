"""When callbacks hear of batches: of each, or of `steps_per_execution` at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from carnyx.typing import Logs

Hook = Callable[..., Any]


class BatchHooks:
    """Calls the hooks around groups of `every` steps, numbered as Keras does.

    A group ends with the number that a whole one has, also where the data end within
    it: of seven steps in groups of three, the last begins at 6 and ends with 8.

    Args:
        begin, end: `begin(first step)` and `end(last step, logs)`.
        every: steps in a group; they may be run in several dispatches.
    """

    def __init__(self, begin: Hook, end: Hook, every: int = 1) -> None:
        self._begin, self._end, self.every = begin, end, every
        self._first: int | None = None

    @property
    def open(self) -> bool:
        """Whether a group has begun and has not ended."""
        return self._first is not None

    def begin(self, first: int) -> None:
        """Before a dispatch that begins with a step."""
        if self._first is None:
            self._first = first
            self._begin(first)

    def is_due(self, last: int) -> bool:
        """Whether a group is whole after this step."""
        return (last + 1) // self.every > (self._first or 0) // self.every

    def end(self, last: int, logs: Logs) -> int:
        """The group ends with this step; how many it had."""
        assert self._first is not None
        count, self._first = last + 1 - self._first, None
        self._end(last + -(last + 1) % self.every, logs)
        return count
