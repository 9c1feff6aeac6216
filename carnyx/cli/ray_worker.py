"""What runs inside each worker of a Ray Train job: the script, as a process of its own.

So it has its main thread (signals, and with them `fit`'s backup at SIGTERM), its argv
and exit code, and `distribution.initialize()` starts JAX there, not in Ray's worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import signal
import socket
import sys
import threading
from typing import Any

from carnyx.cli.child import Child, how_it_ended
from carnyx.cli.gpus import Gpu
from carnyx.cli.plan import (
    Process,
    Script,
    device_variables,
    free_port,
    process_variables,
)
from carnyx.errors import FileError, ProcessError

_TICK = 0.1
_CAUSE = 10.0  # seconds to wait for the cause of a failure


class ScriptFailed(Exception):
    """The script ended with another exit code than 0: Ray Train starts all again."""


def _is_cause(failure: tuple[int, str]) -> bool:
    return failure[0] != ProcessError.exit_code


class Board:
    """What launcher and workers tell each other; an actor of Ray."""

    def __init__(self) -> None:
        self._news = asyncio.Condition()
        self._signals: list[int] = []
        self._failures: list[list[tuple[int, str]]] = []  # of every start

    async def start(self) -> None:
        """All processes are started, for the first time or again."""
        self._failures.append([])

    async def failed(self, code: int, text: str) -> bool:
        """A process ended so; True if the job was asked to end.

        Ray ends all when this returns, so one that only followed waits for the cause.
        """
        async with self._news:
            failures = self._failures[-1]
            failures.append((code, text))
            self._news.notify_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CAUSE):
                    await self._news.wait_for(lambda: any(map(_is_cause, failures)))
        return bool(self._signals)

    async def failures(self) -> list[tuple[int, str]]:
        """Return codes of those of the last start that failed, in words; the cause
        first."""
        failures = self._failures[-1] if self._failures else []
        return sorted(failures, key=lambda failure: not _is_cause(failure))

    async def send(self, number: int) -> None:
        """A signal for all processes."""
        async with self._news:
            self._signals.append(number)
            self._news.notify_all()

    async def signals(self, seen: int) -> list[int]:
        """Those after the first `seen`, as soon as there are any."""
        async with self._news:
            await self._news.wait_for(lambda: len(self._signals) > seen)
            return self._signals[seen:]


def run_script(config: dict[str, Any]) -> None:
    """Run the script to its end, as the process that Ray Train's rank says.

    Args:
        config: `script`, `folder`, `variables`, and the `board`.
    """
    import ray  # type: ignore

    board, folder = config["board"], config["folder"]
    if not os.path.isdir(folder):
        raise FileError(
            f"The folder {folder!r} that the job was launched in is not on the host "
            f"{socket.gethostname()}; launch it from one that all hosts share."
        )
    process = _process(config["script"], config["variables"], board)
    with selectors.DefaultSelector() as selector:
        child = Child(process, selector, folder, end=signal.SIGKILL)
        _pass_on_signals(board, child)
        while (code := child.ended()) is None:
            for key, _ in selector.select(_TICK):
                key.data()
        child.close()
    if code == 0:
        return
    text = f"process {child.rank} (pid {child.pid}, host {socket.gethostname()}) "
    text += how_it_ended(code)
    if not ray.get(board.failed.remote(code, text)):
        raise ScriptFailed(text)


def _process(script: Script, variables: dict[str, str], board: Any) -> Process:
    import ray  # type: ignore
    from ray import train  # type: ignore
    from ray.train.collective import broadcast_from_rank_zero  # type: ignore

    context = train.get_context()
    rank, count = context.get_world_rank(), context.get_world_size()
    address = None
    if rank == 0:
        ray.get(board.start.remote())
        address = f"{ray.util.get_node_ip_address()}:{free_port()}"
    address = broadcast_from_rank_zero(address)
    given = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    variables = variables | device_variables([Gpu(str(id)) for id in given])
    variables |= process_variables(str(address), count, rank)
    return Process(rank, script.command(sys.executable), variables)


def _pass_on_signals(board: Any, child: Child) -> None:
    import ray  # type: ignore

    def listen() -> None:
        seen = 0
        while True:
            for number in ray.get(board.signals.remote(seen)):
                child.send(number)
                seen += 1

    threading.Thread(target=listen, daemon=True).start()
