"""Many threads that make batches, which come out in order."""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def in_threads(
    get: Callable[[Any], Any], places: Iterable[Any], workers: int, ahead: int
) -> Iterator[tuple[Any, Any]]:
    """Pairs `(place, get(place))` in order, made at most `ahead` in advance.

    >>> [value for _, value in in_threads(abs, [-3, 2, -1], workers=2, ahead=4)]
    [3, 2, 1]
    """
    pool = ThreadPoolExecutor(workers, "carnyx-data")
    waiting: deque[tuple[Any, Any]] = deque()
    try:
        for place in places:
            context = contextvars.copy_context()
            waiting.append((place, pool.submit(context.run, get, place)))
            if len(waiting) >= ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        for place, future in waiting:
            yield place, future.result()
    finally:
        pool.shutdown(cancel_futures=True)
