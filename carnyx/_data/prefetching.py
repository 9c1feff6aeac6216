"""Batches on their way to the device while the device works."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def prefetch(
    batches: Iterable[Any], put: Callable[[Any], Any], depth: int = 2
) -> Iterator[Any]:
    """`put(batch)` for every batch, made by a thread up to `depth` ahead.

    An exception of the source comes out here with its own traceback. Closing the
    iterator waits for the batch that is being read, then closes the source.
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
    try:
        while True:
            kind, value = ready.get()
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
