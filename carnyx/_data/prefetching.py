"""Batches on their way to the device while the device works."""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from carnyx._data.feed import Waiting

_POLL = 0.002  # seconds; how finely the end of the device's work is seen


def prefetch(
    batches: Iterable[Any],
    put: Callable[[Any], Any],
    depth: int = 2,
    waiting: Waiting | None = None,
    idle: Callable[[], bool] = lambda: True,
) -> Iterator[Any]:
    """`put(batch)` for every batch, made by a thread up to `depth` ahead.

    An exception of the source comes out here with its own traceback. Closing the
    iterator waits for the batch that is being read, then closes the source.

    Args:
        waiting: keeps the time in which there was no batch, and nothing else to do;
            from the second batch on, as before the first one a source starts up.
        idle: whether the device has done what it was given.
    """
    room = threading.Semaphore(depth)
    ready: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    closing = threading.Event()

    def read() -> None:
        try:
            source = iter(batches)
            while True:
                room.acquire()
                if closing.is_set():
                    break
                ready.put(("batch", put(next(source))))
        except StopIteration:
            ready.put(("end", None))
        except BaseException as error:
            ready.put(("error", error))
        finally:
            close = getattr(batches, "close", None)
            if close is not None:
                close()

    context = contextvars.copy_context()
    thread = threading.Thread(
        target=context.run, args=(read,), name="carnyx-prefetch", daemon=True
    )
    thread.start()
    counted: Waiting | None = None
    try:
        while True:
            kind, value = _next(ready, counted, idle)
            counted = waiting
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
            room.release()
    finally:
        closing.set()
        room.release()
        thread.join()


def _next(
    ready: queue.SimpleQueue, waiting: Waiting | None, idle: Callable[[], bool]
) -> Any:
    if waiting is None or not ready.empty():
        return ready.get()
    while not idle():
        try:
            return ready.get(timeout=_POLL)
        except queue.Empty:
            continue
    since = time.perf_counter()
    try:
        return ready.get()
    finally:
        waiting.seconds += time.perf_counter() - since
