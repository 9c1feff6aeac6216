"""The connection of a process with its job's coordinator."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from carnyx.distribution.addresses import connected
from carnyx.distribution.coordinator import BEAT, SILENCE


class Line:
    """Messages to the coordinator and from it, and a beat that says one is alive.

    Args:
        addresses: where the coordinator may be reached, each tried in turn.
        index: which process this is.
        hear: is called with each message, in a thread of the line.
        beating: is called at every beat, in another.
        lost: is called with what happened to the coordinator, when nothing comes from
            it any more.
    """

    def __init__(
        self,
        addresses: list[tuple[str, int]],
        index: int,
        hear: Callable[..., None],
        beating: Callable[[], None],
        lost: Callable[[str], None],
    ) -> None:
        self._hear, self._beating, self._lost = hear, beating, lost
        self._heard = time.monotonic()
        self._sending = threading.Lock()
        self._socket = connected(addresses, index)

    def start(self) -> None:
        """Listen, and beat."""
        for target in (self._listen, self._beat):
            threading.Thread(target=target, name="carnyx-job", daemon=True).start()

    def send(self, *message: Any) -> None:
        """Send plain JSON values as one message."""
        line = json.dumps(message).encode() + b"\n"
        with self._sending, contextlib.suppress(OSError):  # reading will notice
            self._socket.sendall(line)

    def close(self) -> None:
        """Send nothing more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def _beat(self) -> None:
        while self._socket.fileno() >= 0:
            time.sleep(BEAT)
            self.send("beat")
            self._beating()
            silent = time.monotonic() - self._heard
            if silent > SILENCE:
                self._lost(f"was lost: it was silent for {silent:.0f} s.")

    def _listen(self) -> None:
        with (
            contextlib.suppress(OSError, ValueError),
            self._socket,
            self._socket.makefile("rb") as lines,
        ):
            for line in lines:
                self._heard = time.monotonic()
                self._hear(*json.loads(line))
        self._lost("died: its connection closed.")
