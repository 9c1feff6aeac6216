"""Steps that are only tried: afterwards everything is as it was."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import jax

from carnyx._core import global_arrays
from carnyx._core.seed import global_seed_generator
from carnyx._data import Feed, adapt
from carnyx._training.outputs import trimmed
from carnyx.typing import Data


def feed_of(data: Data, batch_size: int | None) -> Feed:
    """A feed of arrays `(x, y)`, `(x, y, sample_weight)`, or a source; seed 0."""
    parts = data if isinstance(data, tuple) else (data,)
    return adapt(*parts, batch_size=batch_size, shuffle=True, seed=0)


def prepared(model: Any, feed: Feed) -> Any:
    """The program of a training step, everything that it needs having been built."""
    model._prepare(feed.spec(), training=True, batch_size=feed.batch_size)
    return model.train_program()


def batches(feed: Feed, count: int) -> Iterator[Any]:
    """`count` batches of one size, beginning anew as often as it takes."""
    size, epoch = None, 0
    while count:
        before = count
        for batch in map(trimmed, feed.epoch(epoch)):
            shapes = [x.shape for x in jax.tree_util.tree_leaves(batch)]
            size = size or shapes
            if shapes == size:
                yield batch
                count -= 1
            if not count:
                return
        epoch += 1
        if count == before:  # an iterable that is used up
            return


@contextlib.contextmanager
def unchanged(model: Any) -> Iterator[None]:
    """Put weights, optimizers, metrics and seeds back where they were."""
    state, values = random.getstate(), copied(step_variables(model))
    try:
        yield
    finally:
        put_back(values)
        random.setstate(state)


def step_variables(model: Any) -> list[Any]:
    """All that a step may change, the global seed included."""
    held, seed = model._held().store.variables, global_seed_generator().state
    return [*held, *([] if any(v is seed for v in held) else [seed])]


def copied(variables: list[Any]) -> list[tuple[Any, Any]]:
    """Pairs of variable and value."""
    return [(v, global_arrays.copied(v.peek())) for v in variables]


def put_back(values: list[tuple[Any, Any]]) -> None:
    """Give variables the values that they had; may be done again."""
    for variable, value in values:
        variable.assign(global_arrays.copied(value))
