"""What the first process does alone, while the others wait until it is done."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from carnyx.errors import FileError

_COUNTED = 3  # numbers that begin a key: the phase, and which deed of that name it is


class RankZero:
    """Which of the first process's deeds another one waits for.

    The first process may do more of them than the others wait for: the same one is
    that of the same name and count since all came out of a call together.

    Args:
        index: which process this is.
        tell: sends the others a key and a value.
        wait: until there is what a function asks for; raises where it cannot come.
    """

    def __init__(
        self,
        index: int,
        tell: Callable[[str, Any], None],
        wait: Callable[[Callable[[], bool], str], None],
    ) -> None:
        self._index, self._tell, self._wait = index, tell, wait
        self._done: dict[str, Any] = {}  # errors of the first process, or None
        self._first_at: list[int] = []
        self._counts: dict[str, int] = {}
        self._phase = [0, 1]  # after a call before the first

    def begin(self, phase: list[int]) -> None:
        """All processes enter a call, or leave it, and count anew."""
        self._counts, self._phase = {}, phase
        for key in list(self._done):
            if [int(n) for n in key.split()[:2]] < phase:
                self._done.pop(key, None)

    def pass_by(self, made: int) -> None:
        """The process comes to a point where all meet: its deeds so far are done."""
        if self._index == 0:
            self._tell("at", [*self._phase, made])

    def take(self, do: Callable[[], None], what: str, name: str, made: int) -> None:
        """Do it, or wait until the first process has.

        Args:
            name: such as that of a file; a process's own number in it may differ.
            made: how many points were passed since the call began.
        """
        key = self._key(name)
        if self._index:
            return self._await(key, what, [*self._phase, made])
        said: str | None = "it was stopped"
        try:
            do()
            said = None
        except Exception as error:
            said = described(error)
            raise
        finally:
            self._tell(key, said)

    def hear(self, key: str, value: Any) -> None:
        """What the first process has told."""
        if key == "at":
            self._first_at = value
        else:
            self._done[key] = value

    def _await(self, key: str, what: str, mine: list[int]) -> None:
        self._wait(lambda: bool(self._heard(key)) or self._first_at > mine, what)
        heard = self._heard(key)
        said = self._done.pop(heard) if heard else None
        if said is not None:
            raise FileError(f"Process 0 could not {what}: {said}")

    def _heard(self, key: str) -> str | None:
        """What the first process told of a deed: by its name, else by one that differs
        in nothing but the number of the process."""
        if key in self._done:
            return key
        return next(
            (k for k in list(self._done) if _are_same(k, key, self._index)), None
        )

    def _key(self, name: str) -> str:
        self._counts[name] = count = self._counts.get(name, 0) + 1
        return f"{self._phase[0]} {self._phase[1]} {count} {name}"


def _are_same(first: str, own: str, index: int) -> bool:
    """Whether two keys are of one deed, of the first process and of another: their
    numbers are the same, or 0 here and the process's there (`log-0.csv`, `log-3.csv`).
    """
    names, own_names = (re.split(r"\d+", key) for key in (first, own))
    numbers, own_numbers = (list(map(int, re.findall(r"\d+", k))) for k in (first, own))
    pairs = zip(numbers, own_numbers)
    return (
        names == own_names
        and numbers[:_COUNTED] == own_numbers[:_COUNTED]
        and all(a == b or (a, b) == (0, index) for a, b in pairs)
    )


def described(error: BaseException) -> str:
    """An error in a line that is not too long."""
    text = f"{type(error).__name__}: {error}".strip().rstrip(":.")
    return text if len(text) <= 500 else text[:500] + "…"
