"""This process's line to the others of its job.

Over it they compare notes (are the batches of one size? who wants to stop?) without
a program on their devices, and learn at once of one that died: waiting in a program
for its part they would hang.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

from carnyx.distribution.coordinator import BEAT, Coordinator
from carnyx.distribution.exit_hooks import ExitWatcher, code_of, end, is_failure, say
from carnyx.distribution.line import Line
from carnyx.distribution.news import GRACE, News
from carnyx.distribution.rank_zero import RankZero, described
from carnyx.distribution.stop_barrier import StopBarrier
from carnyx.errors import ProcessError

_PATIENCE = 30.0  # seconds until waiting for others is worth a word
_NEWS = 5.0  # seconds to wait for what made a program fail

_job: list[Job | None] = [None]


def current_job() -> Job | None:
    """The job of several processes that this one has joined, or None."""
    return _job[0]


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    if _job[0] is not None:
        return _job[0].index == 0
    return not jax.distributed.is_initialized() or jax.process_index() == 0


class Job:
    """A process among others.

    Args:
        index, count: which process this is, of how many.
        addresses: where the coordinator may be reached, each tried in turn.
        token: what the coordinator asks for.
        coordinator: in the first process.

    Attributes:
        word: one that is this job's own.
    """

    def __init__(
        self, index: int, count: int, addresses: list[tuple[str, int]], token: str,
        coordinator: Coordinator | None = None,
    ) -> None:  # fmt: skip
        self.index, self.count, self._coordinator = index, count, coordinator
        self.word = token[:8]
        self.stops = StopBarrier(
            ask=lambda number, reason: self._send("stop", number, reason),
            tell=lambda point: self._send("at", point),
            check=self.check,
        )
        self._rank_zero = RankZero(
            index, lambda key, value: self._send("post", key, value), self._await_first
        )
        stops, first = self.stops, self._rank_zero
        more = {"post": first.hear, "hold": stops.hold, "halt": stops.halt}
        self.news = News(index, count, more)
        self._leaving = False
        self._exit = ExitWatcher()
        self._made = 0
        self._code = ProcessError.exit_code  # unless it has one of its own
        self._line = Line(
            addresses, index, self.news.hear, self._end_if_stuck,
            self._without_coordinator,
        )  # fmt: skip
        self._send("hello", token, index)
        self._line.start()
        self._wait(lambda: self.news.ready, "initialize")
        facts = f"host {socket.gethostname()}, pid {os.getpid()}"
        said = self.exchange("facts", facts, "initialize")
        pairs = zip(self.news.names, said, strict=True)
        self.news.names = [f"{name} ({facts})" for name, facts in pairs]

    def exchange(
        self, key: str, value: object, what: str, over: threading.Event | None = None
    ) -> list[Any]:
        """What every process gives for `key`, in their order; waits for all.

        Args:
            value: plain JSON.
            what: what is being done, for messages.
            over: set by another thread when the answer is needed no more.
        """
        self._send("put", key, value)
        news = self.news
        self._wait(lambda: key in news.got or key in news.broken, what, over)
        if key in news.broken:
            raise self._error(news.why(news.broken[key]))
        return news.got.pop(key, [])

    def agree(self, value: object, what: str) -> list[Any]:
        """An exchange by the main thread, which all processes make in one order."""
        return self.exchange(self.next(what), value, what)

    def next(self, what: str) -> str:
        """A key that no exchange has had; by the main thread, as `agree`."""
        self._made += 1
        self._rank_zero.pass_by(self._made)
        within = "in" if self.news.within else "after"
        return f"{self._made}-{within}-{self.news.call} {what}"

    def done_by_first(self, do: Callable[[], None], what: str, name: str = "") -> None:
        """Something that the first process does while the others wait for it.

        Args:
            name: such as a file's; tells it from others that the first does alone.
        """
        self._rank_zero.take(do, what, name, self._made)

    def _wait(self, done: Any, what: str, over: threading.Event | None = None) -> None:
        since, told = time.monotonic(), False
        with self.news.changed:
            while not done() and not (over is not None and over.is_set()):
                self.check()
                self.news.changed.wait(0.2)
                if not told and time.monotonic() - since > _PATIENCE:
                    told = True
                    say(f"carnyx: process {self.index} waits for the others in {what}; "
                        "every process has to make the same calls.")  # fmt: skip

    def _await_first(self, done: Callable[[], bool], what: str) -> None:
        self._wait(lambda: done() or 0 in self.news.ended, what)
        if not done():
            raise self._error(self.news.ended[0])

    # ---- what goes wrong

    @contextlib.contextmanager
    def call(self, what: str) -> Iterator[None]:
        """Around what all processes do together.

        An error in one ends it in all; that another is gone is said by name.
        """
        news = self.news
        if news.within:  # part of a call, such as validation
            yield
            return
        news.call, news.within, news.told = news.call + 1, True, False
        self._made = 0
        self._rank_zero.begin([news.call, 0])
        try:
            if news.ended:
                raise self._error(next(iter(news.ended.values())))
            self.check()
            yield
        except ProcessError:
            news.told = True
            raise
        except BaseException as error:
            text = self._await_news(error)
            if text is not None:
                news.told = True
                raise self._error(text) from error
            self._exit.note(error)
            if not isinstance(error, SystemExit | KeyboardInterrupt):
                self._send("left", news.call, described(error))
            raise
        finally:
            news.within, self._made = False, 0  # equal again, whoever left where
            self._rank_zero.begin([news.call, 1])
            news.got.clear()

    def check(self) -> None:
        """Raise where the job, or the call in progress, cannot go on.

        Raises:
            ProcessError: names the process.
        """
        text = self.news.gone_wrong()
        if text is not None:
            raise self._error(text)

    def _await_news(self, error: BaseException) -> str | None:
        """A program fails a moment before it is known who is gone.

        What JAX raises then is an error of the runtime, or any other with the words of
        Gloo, through which CPUs talk; `test_dying_hosts.py` ends processes in the
        middle of programs, and fails where neither is so.
        """
        known = isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error)
        if not known:
            return None
        with self.news.changed:
            return self.news.changed.wait_for(self.news.gone_wrong, _NEWS)

    def _error(self, text: str) -> ProcessError:
        if not self.news.within:  # else perhaps in a thread beside the stuck one
            self.news.told = True
        return ProcessError(
            f"{text} Start the job again: with backups (fit(resume=folder)) it goes on "
            "where it was."
        )

    def _send(self, *message: Any) -> None:
        self._line.send(*message)

    # ---- the end of this process

    def _end_if_stuck(self) -> None:
        """End the process, if its main thread waits in a program for who is gone."""
        stuck = None if self._exit.is_begun else self.news.overdue()
        if stuck is not None:
            say(f"carnyx: {stuck} Process {self.index} ends, too.")
            end()

    def _without_coordinator(self, what: str) -> None:
        """JAX's own service is gone, too: it will not let this process live on."""
        if self._leaving or self.news.all_ended():
            return
        if self.news.lost is None:
            say(f"carnyx: {self.news.names[0]} {what} Process {self.index} ends, too.")
        end()

    def watch_exit(self) -> None:
        """Say goodbye when the script is over, and why, where it fails."""
        self._exit.watch(self._fail)
        atexit.register(self._leave)

    def close(self) -> None:
        """Leave the job; the others are told that this process has ended."""
        self._leaving = True
        self._send("bye")
        self._line.close()

    def _fail(self, error: BaseException) -> None:
        """An exception ends the script: tell the others, unless it is their doing."""
        self.news.failed, self._code = True, code_of(error)
        text = self._await_news(error)
        if text is not None:
            say(f"carnyx: {text} Process {self.index} ends, too.")
            self._code = ProcessError.exit_code
        if self._code == ProcessError.exit_code:
            self._send("followed")
        else:
            self._send("failed", described(error))

    def _leave(self) -> None:
        """The script is over; JAX would wait minutes for a process that is gone."""
        error = self._exit.error()
        if error is not None and is_failure(error) and not self.news.failed:
            self._fail(error)
        if not (self.news.failed or self.news.lost):
            self._await_end(0 if error is None else code_of(error))
            if self.news.all_ended():
                self._leaving = True
                return
        self._leaving = True
        if self._coordinator is not None:  # its end would cut the others short
            self._coordinator.await_alone(GRACE + BEAT)
        end(self._code)

    def _await_end(self, code: int) -> None:
        """Until the scripts of all are over, however long: JAX ends them together.

        Should another fail meanwhile, the job has failed; `code` is this one's own.
        """
        news = self.news
        news.over = news.told = True
        self._send("over")
        try:
            with news.changed:
                while not (news.lost or news.all_ended()):
                    news.changed.wait(0.2)
        except KeyboardInterrupt as error:
            return self._fail(error)
        if news.lost:
            self._code = code or self._code
            say(f"carnyx: {news.lost} Process {self.index} ends, too.")
            self._send("followed")


def join(
    index: int, count: int, where: list[tuple[str, int]], token: str,
    coordinator: Coordinator | None,
) -> None:  # fmt: skip
    """Connect this process with the others; see `Job`."""
    _job[0] = job = Job(index, count, where, token, coordinator)
    job.watch_exit()
