"""The dispatches of an epoch: batches, stacks of them, and the steps they are for."""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from carnyx._data import Feed, described, prefetch
from carnyx._training.outputs import trimmed
from carnyx._training.protocols import Program
from carnyx.errors import add_note_once

_CHUNK_BYTES = 1 << 25  # of data in one program; a copy more is on its way beside it
_STACK = 32  # batches that go to several devices together


class Dispatch(NamedTuple):
    """What is handed over at once: the steps from one to another of an epoch.

    Attributes:
        run: hands it over; gives the last step's logs.
    """

    first: int
    last: int
    run: Callable[[], Any]


def steps_of(
    program: Program,
    feed: Feed,
    epoch: int,
    *,
    whole_chunks: bool,
    together: int = 1,
    start: int = 0,
    limit: int | None = None,
) -> Iterator[Dispatch]:
    """The dispatches of an epoch.

    Args:
        whole_chunks: nobody looks between steps, so that as many as pay may be run in
            one program; else none goes beyond a multiple of `together`.
        together: steps to run in one program if it can be (`steps_per_execution`).
    """
    done = start
    together = together if program.compiled else 1
    for dispatch in _chunks(program, feed, epoch, whole_chunks, together, start, limit):
        yield dispatch
        done = dispatch.last + 1
    left = None if limit is None else max(limit - done, 0)
    over = threading.Event()
    batches = ready_batches(feed.epoch(epoch, done), left, together, agreed(feed, over))
    ready = _ahead(batches, feed, program)
    with contextlib.closing(ready), contextlib.ExitStack() as stack:  # type: ignore[type-var]
        stack.callback(over.set)  # first, as another thread may wait for others
        for count, batch in ready:
            run = _named(program, feed, done, batch, count)
            yield Dispatch(done, done + count - 1, run)
            done += count


def agreed(feed: Feed, over: threading.Event) -> Callable[[Iterator], Iterator]:
    """Batches as all processes have them; `over` is set when no more are needed."""
    if feed.meeting is None:
        return lambda some: some
    name = feed.meeting.begin()
    return lambda some: feed.meeting.batches(some, name, over)


def _ahead(
    ready: Iterator[Any], feed: Feed, program: Program, stacked: bool = False
) -> Iterator[Any]:
    """What is ready, made ahead and on its way to the device, if it takes time."""

    def put(pair: Any) -> Any:
        count, batch = pair
        axis = 1 if stacked or count > 1 else 0
        batch = program.put(batch, axis)
        return count, jax.device_put(batch) if program.placement is None else batch

    if not feed.reads and program.placement is None:
        return ready
    waiting = feed.waiting if feed.reads else None
    return prefetch(ready, put, waiting=waiting, idle=program.is_idle)


def _named(program: Program, feed: Feed, step: int, batch: Any, count: int) -> Any:
    """The run of one step or of a stack; an error says with which data."""

    def run() -> Any:
        try:
            return program.start(batch, *((0, count) if count > 1 else ()))
        except Exception as error:
            x, y, weight = (*batch, None, None)[:3]
            parts = described((x, y, weight))
            add_note_once(
                error, f"in step {step} of the epoch, on {parts} of {feed.name}"
            )
            raise

    return run


def ready_batches(
    batches: Iterator[Any],
    left: int | None,
    together: int,
    agreed: Callable[[Iterator], Iterator],
) -> Iterator[tuple[int, Any]]:
    """Batches, or stacks of several, with their number."""
    with contextlib.closing(batches):  # type: ignore[type-var]
        some = (trimmed(batch) for batch in itertools.islice(batches, left))
        for group in _groups(agreed(some), together):
            yield len(group), _stacked(group) if len(group) > 1 else group[0]


def _groups(batches: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Neighbouring batches of equal shapes, in full groups of `size`, else alone."""
    if size == 1:
        yield from ([batch] for batch in batches)
    while waiting := list(itertools.islice(batches, size)):
        if len(waiting) == size and len({_sizes(b) for b in waiting}) == 1:
            yield waiting
        else:
            yield from ([batch] for batch in waiting)


def _sizes(batch: Any) -> Any:
    leaves, form = jax.tree_util.tree_flatten(batch)  # uneven parts differ in form
    return form, tuple(np.shape(leaf) for leaf in leaves)


def _stacked(batches: list[Any]) -> Any:
    return jax.tree_util.tree_map(lambda *leaves: np.stack(leaves), *batches)


def _chunks(
    program: Program,
    feed: Feed,
    epoch: int,
    whole_chunks: bool,
    together: int,
    start: int,
    limit: int | None,
) -> Iterator[Dispatch]:
    """Full batches of what is indexed, many in one program where a step is short."""
    full = feed.full_batches(epoch)
    full = full if limit is None else min(full, limit)
    if not full or start >= full:
        return
    example = trimmed(feed.chunk(epoch, 0, 1, 1))
    one = jax.tree_util.tree_map(
        lambda v: jax.ShapeDtypeStruct(v.shape[1:], v.dtype), example
    )
    size = sum(v.nbytes for v in jax.tree_util.tree_leaves(example))
    most = _power_of_two(max(_CHUNK_BYTES // size, 1) + 1) >> 1
    chunk = min(program.steps_in_chunk(one), most)
    chunk = max(chunk, together) // together * together
    fused = chunk > 1
    if not fused and _splits(program):
        chunk = min(most, _STACK)
    capacity = min(chunk, _power_of_two(full))
    if capacity == 1:
        return
    counts = ((n, min(capacity, full - n)) for n in range(start, full, capacity))
    stacks = (
        (count, trimmed(feed.chunk(epoch, first, count, capacity)))
        for first, count in counts
    )
    done, ready = start, _ahead(stacks, feed, program, stacked=True)
    with contextlib.closing(ready):  # type: ignore[type-var]
        for count, stack in ready:
            if fused and whole_chunks:
                run = functools.partial(program.start, stack, 0, count)
                yield Dispatch(done, done + count - 1, run)
            else:
                size = together if fused else 1
                yield from _taken_apart(program, fused, done, count, size, stack)
            done += count


def _taken_apart(
    program: Program, fused: bool, done: int, count: int, size: int, stack: Any
) -> Iterator[Dispatch]:
    """The steps of a stack, up to `size` of them at once, as somebody looks between."""
    if program.placement is None:
        stack = jax.device_put(stack)
    first = 0
    while first < count:
        end = min(first + size - (done + first) % size, count)
        # a loop even over one: the same numbers as where many steps run at once
        places = (first, end) if fused else (first,)
        run = functools.partial(program.start, stack, *places)
        yield Dispatch(done + first, done + end - 1, run)
        first = end


def _splits(program: Program) -> bool:
    """Whether batches go to several devices, a stack of them as fast as one."""
    return program.placement is not None and program.placement.shards > 1


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()
