"""How this process's script ends, seen before the interpreter does."""

from __future__ import annotations

import builtins
import contextlib
import dis
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from carnyx.errors import ProcessError

STOPPED = 128 + signal.SIGTERM  # of a training that was asked to stop, in all of them


class ExitWatcher:
    """What ends the script; a `SystemExit` leaves no trace of itself by the end.

    One that is raised by `sys.exit` or within a call of the job is seen, and counts
    unless the script catches it. `sys.exit` is replaced for that: no hook of Python's
    is told of a `SystemExit` (`sys.excepthook` is not), and to trace every exception
    would slow the whole script.
    """

    def __init__(self) -> None:
        self._exit: SystemExit | None = None

    def watch(self, failing: Callable[[BaseException], None]) -> None:
        """Call `failing` with an exception that nobody catches, and see exits."""
        before = sys.excepthook

        def hook(kind: Any, error: Any, trace: Any) -> None:
            failing(error)
            before(kind, error, trace)

        sys.excepthook = hook
        for place, name in ((sys, "exit"), (builtins, "exit"), (builtins, "quit")):
            if hasattr(place, name):
                setattr(place, name, self._seeing(getattr(place, name)))

    def _seeing(self, leave: Any) -> Any:
        @functools.wraps(leave, updated=())
        def exit(*args: Any, **kwargs: Any) -> Any:
            try:
                leave(*args, **kwargs)
            except SystemExit as error:
                self.note(error)
                raise

        return exit

    def note(self, error: BaseException) -> None:
        """An exception on its way, perhaps out of the script."""
        on_main = threading.current_thread() is threading.main_thread()
        if on_main and isinstance(error, SystemExit):
            self._exit = error

    @property
    def is_begun(self) -> bool:
        """Whether an exit with a code other than 0 was asked for."""
        return self._exit is not None and code_of(self._exit) != 0

    def error(self) -> BaseException | None:
        """When the script is over: what ended it, or None where it came to its end."""
        last = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
        for error in (last, self._exit):
            if error is not None and _went_out(error):
                return error
        return None


def is_failure(error: BaseException | None) -> bool:
    """Whether the others cannot go on after it."""
    return error is not None and code_of(error) not in (0, STOPPED)


def code_of(error: BaseException) -> int:
    """The exit code of a script that an exception ended."""
    if isinstance(error, ProcessError):
        return ProcessError.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    if not isinstance(error, SystemExit):
        return 1
    if error.code is None:
        return 0
    return error.code & 0xFF if isinstance(error.code, int) else 1


def _went_out(error: BaseException) -> bool:
    """Whether nobody caught it: where the script began did not come to a return.

    By the time that exit handlers run Python has forgotten a `SystemExit`, and no hook
    is told of one. What it left is its traceback: the script's own frame stands at the
    call that raised, or, where the exception was caught, at the end. The test is
    `tests/distribution/test_exits.py`.
    """
    frame = error.__traceback__ and error.__traceback__.tb_frame
    if frame is None:
        return False
    while frame.f_back is not None:
        frame = frame.f_back
    last = frame.f_code.co_code[frame.f_lasti]
    return not dis.opname[last].startswith("RETURN_")


def say(text: str) -> None:
    """To stderr at once, also where the process is about to be aborted."""
    os.write(2, (text + "\n").encode())


def end(code: int = ProcessError.exit_code) -> None:
    """At once, without JAX's own farewell, which waits for the others."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)
