"""`fit`, `evaluate` and `predict` over feeds: epochs, steps or chunks, callbacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from carnyx import config, tree
from carnyx._data import ArrayFeed, Feed, prefetch
from carnyx._training.interrupts import BetweenSteps
from carnyx._training.programs import StepProgram
from carnyx.callbacks import CallbackList
from carnyx.errors import DataError


def trimmed(batch: tuple[Any, Any, Any]) -> tuple[Any, ...]:
    """`(x, y, sample_weight)` without the parts that were not given, as in Keras."""
    x, y, sample_weight = batch
    if sample_weight is not None:
        return x, y, sample_weight
    return (x,) if y is None else (x, y)


def steps_of(
    program: StepProgram,
    feed: Feed,
    epoch: int,
    interrupts: BetweenSteps,
    *,
    one_by_one: bool,
    at_least: int = 1,
    start: int = 0,
    limit: int | None = None,
) -> Iterator[tuple[int, int, Any]]:
    """Run an epoch; yields `(first step, last step, logs)` after every dispatch.

    Args:
        one_by_one: somebody wants to see every step.
        at_least: steps to run in one program if it can be (`steps_per_execution`).
    """
    done = start
    chunk = 1
    if isinstance(feed, ArrayFeed):
        full = feed.full_batches if limit is None else min(feed.full_batches, limit)
        if full:
            example = feed.chunk(epoch, 0, 1, 1)
            one = tree.map_structure(lambda v: v[0], trimmed(example), none_is_leaf=False)
            chunk = max(program.steps_in_chunk(one), at_least if program.compiled else 1)
        while chunk > 1 and done < full:
            count = 1 if one_by_one else min(chunk, full - done)
            capacity = 1 if one_by_one else min(chunk, _power_of_two(full))
            stacked = trimmed(feed.chunk(epoch, done, count, capacity))
            yield done, done + count - 1, (program.run_chunk, stacked, count)
            done += count
            interrupts.check()
    batches = feed.epoch(epoch, done)
    if not isinstance(feed, ArrayFeed):
        batches = prefetch(batches, jax.device_put)
    try:
        for batch in batches:
            if limit is not None and done >= limit:
                return
            yield done, done, (program, trimmed(batch))
            done += 1
            interrupts.check()
            if limit is not None and done >= limit:
                return
    finally:
        close = getattr(batches, "close", None)
        if close:
            close()


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()


def fit(
    model: Any,
    feed: Feed,
    *,
    epochs: int,
    initial_epoch: int,
    callbacks: CallbackList,
    steps_per_epoch: int | None,
    validate: Any = None,
    validation_freq: Any = 1,
) -> None:
    """Train; everything a user sees goes through `callbacks`."""
    epochs = _at_most(epochs, config.max_epochs())
    model.stop_training = False
    callbacks.on_train_begin()
    logs: dict[str, Any] = {}
    with BetweenSteps() as interrupts:
        for epoch in range(initial_epoch, epochs):
            model.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            logs = train_epoch(model, feed, epoch, callbacks, steps_per_epoch, interrupts)
            if validate is not None and _is_due(validation_freq, epoch):
                results = validate()
                logs |= {f"val_{name}": value for name, value in results.items()}
            callbacks.on_epoch_end(epoch, logs)
            interrupts.check()
            if model.stop_training:
                break
    model.finish_training(epochs > initial_epoch)
    callbacks.on_train_end(logs)


def train_epoch(
    model: Any,
    feed: Feed,
    epoch: int,
    callbacks: CallbackList,
    steps: int | None,
    interrupts: BetweenSteps,
) -> dict[str, Any]:
    """One pass over the feed; returns the last step's logs as floats."""
    program, logs = model.train_program(), None
    run = steps_of(
        program,
        feed,
        epoch,
        interrupts,
        one_by_one=callbacks.wants_batches,
        at_least=model.steps_per_execution,
        limit=_at_most(steps, config.max_steps_per_epoch()),
    )
    for first, last, (call, *arguments) in run:
        callbacks.on_train_batch_begin(first)
        logs = call(*arguments)
        callbacks.on_train_batch_end(last, logs)
        if model.stop_training:
            break
    if logs is None:
        raise DataError(
            f"The training data gave no batch in epoch {epoch + 1}. A generator may be "
            "exhausted (give steps_per_epoch times epochs batches, or a Sequence that "
            "can start again), or an array empty."
        )
    return as_floats(logs)


def evaluate(
    model: Any, feed: Feed, callbacks: CallbackList, steps: int | None
) -> dict[str, Any]:
    """Loss and metrics over a feed."""
    model.reset_metrics()
    callbacks.on_test_begin()
    logs: Any = None
    program = model.test_program()
    with BetweenSteps() as interrupts:
        run = steps_of(
            program,
            feed,
            0,
            interrupts,
            one_by_one=callbacks.wants_batches,
            at_least=model.steps_per_execution,
            limit=_at_most(steps, config.max_steps_per_epoch()),
        )
        for first, last, (call, *arguments) in run:
            callbacks.on_test_batch_begin(first)
            logs = call(*arguments)
            callbacks.on_test_batch_end(last, logs)
    if logs is None:
        raise DataError("The data to evaluate on gave no batch; it may be empty.")
    results = as_floats(logs)
    callbacks.on_test_end(results)
    return results


def predict(
    model: Any, feed: Feed, callbacks: CallbackList, steps: int | None
) -> Any:
    """The outputs for every batch, concatenated."""
    program = model.predict_program()
    callbacks.on_predict_begin()
    rows: list[Any] = []
    definition = None
    batches = feed.epoch(0, 0)
    for step, (x, _, _) in enumerate(batches):
        if steps is not None and step >= steps:
            break
        callbacks.on_predict_batch_begin(step)
        leaves, definition = jax.tree_util.tree_flatten(program((x,)))
        rows.append(leaves)
        callbacks.on_predict_batch_end(step, {"outputs": leaves})
        if len(rows) > 1:  # fetch behind, so that the device is always ahead
            rows[-2] = [np.asarray(v) for v in rows[-2]]
    if definition is None:
        raise DataError("The data to predict gave no batch; it may be empty.")
    callbacks.on_predict_end()
    columns = [_concatenate(column) for column in zip(*rows, strict=True)]
    return jax.tree_util.tree_unflatten(definition, columns)


def _concatenate(arrays: Any) -> np.ndarray:
    arrays = [np.asarray(a) for a in arrays]
    return np.array(arrays[0]) if len(arrays) == 1 else np.concatenate(arrays)


def as_floats(logs: dict[str, Any]) -> dict[str, Any]:
    """Logs on the host, in the order of their names, as Keras has them."""
    on_host = jax.device_get(dict(logs))
    return {name: _number(on_host[name]) for name in sorted(on_host)}


def _number(value: Any) -> Any:
    array = np.asarray(value)
    return array.item() if array.ndim == 0 else array


def _at_most(value: int | None, limit: int | None) -> Any:
    if value is None or limit is None:
        return limit if value is None else value
    return min(value, limit)


def _is_due(freq: Any, epoch: int) -> bool:
    if isinstance(freq, int):
        return (epoch + 1) % freq == 0
    return (epoch + 1) in freq
