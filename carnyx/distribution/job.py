"""This process's line to the others of its job.

Over it they compare notes (are the batches of one size? who wants to stop?) without
a program on their devices, and learn at once of one that died: waiting in a program
for its part they would hang.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

from carnyx.distribution.hub import BEAT, SILENCE, Hub
from carnyx.distribution.reaching import addresses_of, connected
from carnyx.distribution.stops import Stops
from carnyx.errors import FileError, ProcessError

GRACE = 8.0  # seconds for the main thread to leave, before the process is ended
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
        addresses: where the hub may be reached, each tried in turn.
        token: what the hub asks for.
        hub: in the first process.

    Attributes:
        word: one that is this job's own.
    """

    def __init__(
        self,
        index: int,
        count: int,
        addresses: list[tuple[str, int]],
        token: str,
        hub: Hub | None = None,
    ) -> None:
        self.index, self.count, self._hub = index, count, hub
        self.word = token[:8]
        self.stops = Stops(
            ask=lambda number, reason: self._send("stop", number, reason),
            tell=lambda point: self._send("at", point),
            check=self.check,
        )
        self._news = threading.Condition()
        self._got: dict[str, list[Any]] = {}
        self._broken: dict[str, int] = {}
        self._posts: dict[str, Any] = {}
        self._lost: str | None = None  # why the job is over
        self._left: dict[int, str] = {}  # calls that another process has left
        self._ended: dict[int, str] = {}  # processes whose script is over
        self._told = self._failed = self._leaving = self._ready = False
        self._call = self._depth = self._made = self._done = 0
        self._code = ProcessError.exit_code  # unless it fails by itself
        self._heard = self._until = time.monotonic()
        self._names = [f"Process {i} of {count}" for i in range(count)]
        self._sending = threading.Lock()
        self._socket = connected(addresses, index)
        self._send("hello", token, index)
        for target in (self._listen, self._beat):
            threading.Thread(target=target, name="carnyx-job", daemon=True).start()
        self._wait(lambda: self._ready, "initialize")
        facts = f"host {socket.gethostname()}, pid {os.getpid()}"
        said = self.exchange("facts", facts, "initialize")
        self._names = [f"{n} ({f})" for n, f in zip(self._names, said, strict=True)]

    def name(self, index: int) -> str:
        """`Process 2 of 4 (host a, pid 71)`."""
        return self._names[index]

    # ---- compare notes

    def exchange(
        self, key: str, value: Any, what: str, over: threading.Event | None = None
    ) -> list[Any]:
        """What every process gives for `key`, in their order; waits for all.

        Args:
            value: plain JSON.
            what: what is being done, for messages.
            over: set by another thread when the answer is needed no more.
        """
        self._send("put", key, value)
        self._wait(lambda: key in self._got or key in self._broken, what, over)
        if key in self._broken:
            raise self._error(self._why(self._broken[key]))
        return self._got.pop(key, [])

    def agree(self, value: Any, what: str) -> list[Any]:
        """An exchange by the main thread, which all processes make in one order."""
        return self.exchange(self.next(what), value, what)

    def next(self, what: str) -> str:
        """A key that no exchange has had; by the main thread, as `agree`."""
        self._made += 1
        within = "in" if self._depth else "after"
        return f"{self._made}-{within}-{self._call} {what}"

    def post(self, key: str, value: Any = None) -> None:
        """Tell the others something that they may wait for."""
        self._send("post", key, value)

    def posted(self, key: str, what: str) -> Any:
        """What was told under `key`; waits for it."""
        self._wait(lambda: key in self._posts, what)
        return self._posts[key]

    def done_by_first(self, do: Callable[[], None], what: str) -> None:
        """Something that the first process does while the others wait for it."""
        self._done += 1
        if self.index:
            error = self.posted(f"done {self._done}", what)
            if error is not None:
                raise FileError(f"Process 0 could not {what}: {error}")
            return
        said: str | None = "it was stopped"
        try:
            do()
            said = None
        except Exception as error:
            said = _described(error)
            raise
        finally:
            self.post(f"done {self._done}", said)

    def _wait(self, done: Any, what: str, over: threading.Event | None = None) -> None:
        since, told = time.monotonic(), False
        with self._news:
            while not done() and not (over is not None and over.is_set()):
                self.check()
                self._news.wait(0.2)
                if not told and time.monotonic() - since > _PATIENCE:
                    told = True
                    _say(
                        f"carnyx: process {self.index} waits for the others in {what}; "
                        "every process has to make the same calls."
                    )

    # ---- what goes wrong

    @contextlib.contextmanager
    def call(self, what: str) -> Iterator[None]:
        """Around what all processes do together.

        An error in one ends it in all; that another is gone is said by name.
        """
        if self._depth:  # part of a call, such as validation
            yield
            return
        self._call, self._depth, self._told = self._call + 1, 1, False
        self._made = 0
        try:
            if self._ended:
                raise self._error(next(iter(self._ended.values())))
            self.check()
            yield
        except ProcessError:
            self._told = True
            raise
        except BaseException as error:
            if isinstance(error, jax.errors.JaxRuntimeError):
                text = self._await_news()
                if text is not None:
                    self._told = True
                    raise self._error(text) from error
            if not isinstance(error, SystemExit | KeyboardInterrupt):
                self._send("left", self._call, _described(error))
            raise
        finally:
            self._depth = self._made = 0  # equal again, whoever left where
            self._got.clear()

    def check(self) -> None:
        """Raise where the job, or the call in progress, cannot go on.

        Raises:
            ProcessError: names the process.
        """
        text = self._gone_wrong()
        if text is not None:
            raise self._error(text)

    def _gone_wrong(self) -> str | None:
        return self._lost or (self._left.get(self._call) if self._depth else None)

    def _await_news(self) -> str | None:
        """A program fails a moment before it is known who is gone."""
        with self._news:
            return self._news.wait_for(self._gone_wrong, _NEWS)

    def _error(self, text: str) -> ProcessError:
        if not self._depth:  # else it may be in a thread beside the one that is stuck
            self._told = True
        return ProcessError(
            f"{text} Start the job again: with backups (fit(resume=folder)) it goes on "
            "where it was."
        )

    def _why(self, index: int) -> str:
        return self._lost or self._ended.get(index) or f"{self._names[index]} is gone."

    def _end_if_stuck(self) -> None:
        """End the process, if its main thread waits in a program for who is gone."""
        if self._told or time.monotonic() < self._until or self._failed:
            return
        stuck = self._gone_wrong()
        if stuck is not None:
            _say(f"carnyx: {stuck} Process {self.index} ends, too.")
            _end()

    # ---- the line

    def _send(self, *message: Any) -> None:
        line = json.dumps(message).encode() + b"\n"
        with self._sending, contextlib.suppress(OSError):  # reading will notice
            self._socket.sendall(line)

    def _beat(self) -> None:
        while self._socket.fileno() >= 0:
            time.sleep(BEAT)
            self._send("beat")
            self._end_if_stuck()
            silent = time.monotonic() - self._heard
            if silent > SILENCE and not self._leaving:
                self._without_hub(f"was lost: it was silent for {silent:.0f} s.")

    def _listen(self) -> None:
        with (
            contextlib.suppress(OSError, ValueError),
            self._socket,
            self._socket.makefile("rb") as lines,
        ):
            for line in lines:
                self._heard = time.monotonic()
                kind, *rest = json.loads(line)
                with self._news:
                    getattr(self, f"_on_{kind}")(*rest)
                    self._news.notify_all()
        if not self._leaving:
            self._without_hub("died: its connection closed.")

    def _without_hub(self, what: str) -> None:
        """JAX's own service is gone, too: it will not let this process live on."""
        if self._lost is None:
            _say(f"carnyx: {self._names[0]} {what} Process {self.index} ends, too.")
        _end()

    def _on_beat(self) -> None: ...

    def _on_ready(self) -> None:
        self._ready = True

    def _on_got(self, key: str, values: list[Any]) -> None:
        self._got[key] = values

    def _on_broken(self, key: str, who: int) -> None:
        self._broken[key] = who

    def _on_post(self, key: str, value: Any) -> None:
        self._posts[key] = value

    def _on_hold(self) -> None:
        self.stops.hold()

    def _on_halt(self, point: int, reason: str) -> None:
        self.stops.halt(point, reason)

    def _on_left(self, who: int, call: int, why: str) -> None:
        if who != self.index:
            self._give_up(call, f"{self._names[who]} stopped with {why}.")

    def _on_gone(self, who: int, how: str, why: str) -> None:
        if who == self.index:
            return
        if how == "ended":
            self._ended[who] = f"{self._names[who]} has ended: its script is over."
            if self._depth:
                self._give_up(self._call, self._ended[who])
            return
        if how == "failed":
            self._give_up(None, f"{self._names[who]} stopped with {why}.")
        else:
            self._give_up(None, f"{self._names[who]} {how}: {why}.")
            _say(f"carnyx: {self._lost} Process {self.index} stops.")

    def _give_up(self, call: int | None, text: str) -> None:
        if call is None and self._lost is None:
            self._lost, self._told = text, False
        elif call is not None:
            self._left.setdefault(call, text)
        self._until = time.monotonic() + GRACE

    # ---- the end of this process

    def watch_exit(self) -> None:
        """Say goodbye when the script is over, and why, where it fails."""
        before = sys.excepthook

        def failing(kind: Any, error: Any, trace: Any) -> None:
            self._failed = True
            if isinstance(error, ProcessError):  # another's doing, of which all hear
                self._send("bye")
            else:
                self._code = 1
                self._send("failed", _described(error))
            before(kind, error, trace)

        sys.excepthook = failing
        atexit.register(self._leave)

    def close(self) -> None:
        """Leave the job; the others are told that this process has ended."""
        self._leaving = True
        self._send("bye")
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def _leave(self) -> None:
        """JAX would wait minutes for a process that is gone."""
        self._leaving = True
        if not (self._failed or self._lost):
            self._send("bye")
            return
        if self._hub is not None:  # its end would end the others in mid-sentence
            until = time.monotonic() + GRACE + BEAT
            while not self._hub.is_alone() and time.monotonic() < until:
                time.sleep(0.05)
        _end(self._code)


def join(count: int, index: int, host: str | None, port: int, spread: Any) -> None:
    """Connect this process with the others.

    Args:
        host: where others reach the first process, if known.
        port: of the hub; 0 is any that is free.
        spread: gives the first process's bytes to all.
    """
    hub, said = None, b""
    if index == 0:
        token = os.urandom(16).hex()
        hub = Hub(count, token, port)
        where = [(a, hub.port) for a in addresses_of(host)]
        said = json.dumps([where, token]).encode()
    where, token = json.loads(spread(said))
    addresses = [("localhost", hub.port)] if hub else [tuple(a) for a in where]
    job = Job(index, count, addresses, token, hub)
    job.watch_exit()
    _job[0] = job


def _described(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}".strip().rstrip(":.")
    return text if len(text) <= 500 else text[:500] + "…"


def _say(text: str) -> None:
    """To stderr at once, also where the process is about to be aborted."""
    os.write(2, (text + "\n").encode())


def _end(code: int = ProcessError.exit_code) -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)
