"""One process that was started, what it prints, and how it ends."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from carnyx.cli.plan import Process
from carnyx.cli.relay import Relay, silence
from carnyx.errors import ProcessError

# Has the kernel send a signal when the parent dies, then becomes the command.
_FOLLOW = """
import ctypes, os, sys
parent, end = int(sys.argv[1]), int(sys.argv[2])
ctypes.CDLL(None).prctl(1, end)
if os.getppid() != parent:
    os.kill(os.getpid(), end)
os.execvp(sys.argv[3], sys.argv[3:])
"""


def following(command: Sequence[str], end: signal.Signals) -> list[str]:
    """The command, such that its process gets the signal `end` when this one dies."""
    if sys.platform != "linux":
        return list(command)
    start = [sys.executable, "-SEc", _FOLLOW, str(os.getpid()), str(int(end))]
    return [*start, *command]


def exit_code(code: int) -> int:
    """As a shell has it.

    >>> exit_code(3), exit_code(-9)
    (3, 137)
    """
    return 128 - code if code < 0 else code


def how_it_ended(code: int, others: bool = True) -> str:
    """A return code in words.

    Args:
        others: whether processes that end are not all seen: some are on other hosts.

    >>> how_it_ended(3), how_it_ended(-15)
    ('ended with exit code 3', 'was killed by SIGTERM')
    """
    if code == ProcessError.exit_code and others:
        return "ended because another process of the job had"
    if code >= 0:
        return f"ended with exit code {code}"
    known = {int(s): s.name for s in signal.Signals}
    reason = " (as the system does when memory runs out)" if code == -9 else ""
    return f"was killed by {known.get(-code, f'signal {-code}')}{reason}"


def say(line: str) -> None:
    """A line of the launcher's own."""
    if sys.stderr is None:
        return
    try:
        print(f"carnyx launch: {line}", file=sys.stderr, flush=True)
    except OSError:
        silence(sys.stderr)


class Child:
    """A process of a job that runs.

    The first of the job (rank 0) has the terminal, so that a progress bar works there.
    Other output comes a line at a time, with the number of the process in front if it
    is not the first.

    Args:
        selector: gets a callback, without arguments, for all that is to be read.
        folder: that it works in; by default where this process does.
        end: the signal that it gets when this process dies (on Linux).
    """

    def __init__(
        self,
        process: Process,
        selector: selectors.BaseSelector,
        folder: str | None = None,
        end: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.rank = process.rank
        first = process.rank == 0
        # Ctrl-C reaches what shares the terminal; all others get it from the launcher.
        self.at_terminal = first and _is_terminal(sys.stdin)
        outputs = [sys.stdout, sys.stderr]
        pipes = [not (first and _is_terminal(stream)) for stream in outputs]
        unbuffered = {"PYTHONUNBUFFERED": "1"} if pipes[0] else {}
        self._process = subprocess.Popen(
            following(process.command, end),
            cwd=folder,
            env=os.environ | unbuffered | process.variables,
            stdin=None if first else subprocess.DEVNULL,
            stdout=_output(sys.stdout, pipes[0]),
            stderr=_output(sys.stderr, pipes[1]),
            process_group=None if self.at_terminal else 0,
        )
        self.pid = self._process.pid
        self._selector = selector
        self._relays: list[Relay] = []
        prefix = "" if first else f"[{self.rank}] "
        for pipe, target in zip((self._process.stdout, self._process.stderr), outputs):
            if pipe is not None:
                self._listen(Relay(pipe, prefix, target.buffer))

    @property
    def is_cut(self) -> bool:
        """Whether nobody reads any more what it prints."""
        return any(relay.is_cut for relay in self._relays)

    def _listen(self, relay: Relay) -> None:
        read = partial(self._read, relay)
        self._selector.register(relay.pipe, selectors.EVENT_READ, read)
        self._relays.append(relay)

    def _read(self, relay: Relay) -> None:
        relay.copy()
        if relay.at_end:
            self._selector.unregister(relay.pipe)

    def ended(self) -> int | None:
        """The return code, or None; what a failed one started is ended, too."""
        if self._process.returncode is None:
            look = os.WEXITED | os.WNOHANG | os.WNOWAIT
            with contextlib.suppress(ChildProcessError):  # `send` saw the end first
                end = os.waitid(os.P_PID, self.pid, look)
                if end is not None and end.si_status:  # its number is not free yet
                    self._kill_group()
        return self._process.poll()

    def send(self, number: int) -> None:
        """Send it a signal, if it runs."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it and what it started, at once."""
        if self._process.poll() is None:
            self._kill_group()
        self._process.kill()
        self._process.wait()

    def _kill_group(self) -> None:
        if not self.at_terminal:  # there, the group is the launcher's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """After its end: print what it still had to say."""
        for relay in self._relays:
            if not relay.at_end:
                self._selector.unregister(relay.pipe)
            relay.finish()
        self._relays = []


def _output(stream: Any, piped: bool) -> int | None:
    if stream is None:  # closed, as by >&-
        return subprocess.DEVNULL
    return subprocess.PIPE if piped else None


def _is_terminal(stream: Any) -> bool:
    return stream is not None and stream.isatty()
