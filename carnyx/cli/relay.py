"""Output of several processes on one terminal, a line at a time."""

from __future__ import annotations

import os
from typing import IO

_LONGEST = 1 << 16  # without an end of line, so much is printed as it is


class Relay:
    """Copies what comes through a pipe to a stream, each line behind a prefix.

    Args:
        pipe: of the process; it is read without waiting.
        target: where the lines go, whole ones only.
    """

    def __init__(self, pipe: IO[bytes], prefix: str, target: IO[bytes]) -> None:
        os.set_blocking(pipe.fileno(), False)
        self.pipe, self._target = pipe, target
        self._prefix = prefix.encode()
        self._rest = b""  # a line that has no end yet
        self.at_end = False

    def copy(self) -> bool:
        """Copy what is there; False where nothing was."""
        try:
            read = os.read(self.pipe.fileno(), _LONGEST)
        except BlockingIOError:
            return False
        self.at_end = not read
        *lines, self._rest = (self._rest + read).split(b"\n")
        if len(self._rest) >= _LONGEST:
            lines, self._rest = [*lines, self._rest], b""
        self._write(lines)
        return bool(read)

    def finish(self) -> None:
        """Copy what is left and close.

        The end of the pipe is not waited for: a process that was started by the one
        that has ended may hold it open.
        """
        while self.copy():
            pass
        self._write([self._rest] if self._rest else [])
        self.pipe.close()

    def _write(self, lines: list[bytes]) -> None:
        if lines:
            self._target.write(b"".join(self._prefix + n + b"\n" for n in lines))
            self._target.flush()
