"""The first process's end of the lines between the processes of a job.

A thread with a socket to which every process has a connection. It passes messages on
and notices who is gone: a connection that closes is a process that died, one that is
silent is a host that is down.

A message is a line of JSON, `[kind, ...]`:

    from a process                  from the coordinator, to all
    hello, token, id, facts         ready
    beat                            beat
    put, key, value                 got, key, values      once all have put theirs
                                    broken, key, who      one of them is gone
    post, key, value                post, key, value
    stop, round, reason             hold
    at, number                      halt, number, reason
    left, call, why                 left, who, call, why
    over | bye | followed           gone, who, how, why
    failed, why
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from typing import Any

BEAT = 2.0  # seconds between two signs of life
SILENCE = 30.0  # seconds without one until a process counts as lost
_LONGEST = 1 << 22  # bytes of a line


class Coordinator:
    """Listens in a thread of its own.

    Args:
        count: how many processes there are.
        token: what a connection has to know.
        port: to listen at, on every address of the host; 0 is any that is free.
    """

    def __init__(self, count: int, token: str, port: int = 0) -> None:
        self.count, self.token = count, token
        self._members: dict[int, asyncio.StreamWriter] = {}
        self._seen: dict[int, float] = {}
        self._gone: dict[int, str] = {}
        self._puts: dict[str, dict[int, Any]] = {}
        self._round, self._reason = 0, ""
        self._at: dict[int, int] | None = None  # where each is, while one is stopping
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        listening = socket.create_server(("", port), family=family, dualstack_ipv6=both)
        self.port = listening.getsockname()[1]
        threading.Thread(
            target=lambda: asyncio.run(self._serve(listening)),
            name="carnyx-coordinator",
            daemon=True,
        ).start()

    def await_alone(self, seconds: float) -> None:
        """Until no other process has its connection any more, but no longer."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            others = (w for index, w in self._members.items() if index)
            if all(writer.is_closing() for writer in others):
                return
            time.sleep(0.05)

    async def _serve(self, listening: socket.socket) -> None:
        server = await asyncio.start_server(self._talk, sock=listening, limit=_LONGEST)
        async with server:
            while not self._is_over():
                await asyncio.sleep(BEAT)
                self._tell("beat")
                now = time.monotonic()
                for index, seen in self._seen.items():
                    if now - seen > SILENCE:
                        why = f"it was silent for {now - seen:.0f} s"
                        self._leave(index, "was lost", why)

    def _is_over(self) -> bool:
        everyone = len(self._members) == self.count
        return everyone and all(w.is_closing() for w in self._members.values())

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        index: int | None = None
        try:
            while line := await reader.readline():
                kind, *rest = json.loads(line)
                if index is None:
                    if kind != "hello" or rest[0] != self.token:
                        return
                    index = int(rest[1])
                    self._join(index, writer)
                self._seen[index] = time.monotonic()
                getattr(self, f"_on_{kind}")(index, *rest)
        except (ConnectionError, ValueError, AttributeError):
            pass
        finally:
            writer.close()
            if index is not None:
                self._leave(index, "died", "its connection closed")

    def _join(self, index: int, writer: asyncio.StreamWriter) -> None:
        self._members[index] = writer
        if len(self._members) == self.count:
            self._tell("ready")

    def _tell(self, *message: Any) -> None:
        line = json.dumps(message).encode() + b"\n"
        for writer in self._members.values():
            if not writer.is_closing():
                writer.write(line)

    # ---- what processes say

    def _on_hello(self, index: int, *_: Any) -> None: ...

    def _on_beat(self, index: int) -> None: ...

    def _on_put(self, index: int, key: str, value: Any) -> None:
        values = self._puts.setdefault(key, {})
        values[index] = value
        self._settle(key)

    def _settle(self, key: str) -> None:
        values = self._puts[key]
        missing = [i for i in self._gone if i not in values]
        if len(values) == self.count:
            self._tell("got", key, [values[i] for i in range(self.count)])
        elif missing:
            self._tell("broken", key, missing[0])
        else:
            return
        del self._puts[key]

    def _on_post(self, index: int, key: str, value: Any) -> None:
        self._tell("post", key, value)

    def _on_stop(self, index: int, number: int, reason: str) -> None:
        if number == self._round and self._at is None:
            self._at, self._reason = {}, reason
            self._tell("hold")
            self._count()

    def _on_at(self, index: int, number: int) -> None:
        if self._at is not None:
            self._at[index] = number
            self._count()

    def _count(self) -> None:
        there = set(range(self.count)) - set(self._gone)
        if self._at is not None and there <= set(self._at):
            self._tell("halt", max(self._at.values()) + 1, self._reason)
            self._round, self._at = self._round + 1, None

    def _on_left(self, index: int, call: int, why: str) -> None:
        self._tell("left", index, call, why)

    def _on_over(self, index: int) -> None:
        """Its script is over; it stays until those of all are."""
        self._leave(index, "over", "")

    def _on_bye(self, index: int) -> None:
        self._leave(index, "ended", "")

    def _on_followed(self, index: int) -> None:
        self._leave(index, "followed", "")

    def _on_failed(self, index: int, why: str) -> None:
        self._leave(index, "failed", why)

    def _leave(self, index: int, how: str, why: str) -> None:
        before = self._gone.get(index)
        if before == "over" and len(self._gone) == self.count:
            return  # nobody needs it any more
        if before is not None and (before != "over" or how == "over"):
            return
        self._gone[index] = how
        self._tell("gone", index, how, why)
        for key in list(self._puts):
            self._settle(key)
        self._count()
