"""Output of several processes on one terminal, a line at a time."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import IO, Any

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
        self.is_cut = False  # who read what is written has gone

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
        if not lines:
            return
        try:
            self._target.write(b"".join(self._prefix + n + b"\n" for n in lines))
            self._target.flush()
        except OSError as error:  # the process is to go on, and to save what it has
            self.is_cut = error.errno == errno.EPIPE
            if error.errno in (errno.EPIPE, errno.EIO):
                silence(self._target)


def silence(target: IO[Any]) -> None:
    """Nobody is there to read: what is written from now on goes nowhere."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, target.fileno())
        os.close(nowhere)
