"""`fit`, `evaluate` and `predict` over feeds: epochs, steps or chunks, callbacks."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from carnyx import config
from carnyx._core.placement import Uneven
from carnyx._data import Feed, naming, prefetch, tell_of_waiting
from carnyx._training.backups import Backups
from carnyx._training.batch_hooks import BatchHooks
from carnyx._training.checks.not_finite import explain
from carnyx._training.interrupts import BetweenSteps, Terminated
from carnyx._training.process_sync import own_rows, stopping_of
from carnyx._training.run import Run, as_floats
from carnyx._training.step_iterator import agreed, ready_batches, steps_of
from carnyx.callbacks import CallbackList
from carnyx.callbacks.logs import Logs
from carnyx.errors import DataError

EXIT_TERMINATED = 143  # 128 + SIGTERM, what a shell reports of a process it ends


def fit(
    run: Run,
    backups: Backups,
    *,
    epochs: int,
    steps_per_epoch: int | None,
    validate: object = None,
    validation_freq: object = 1,
) -> None:
    """Train; everything a user sees goes through the callbacks."""
    model = run.model
    run.epochs = _at_most(epochs, config.max_epochs())
    asked = run.epochs > run.epoch
    model.stop_training = False
    run.callbacks.on_train_begin()
    _resume(run, backups)
    if run.finished:
        backups.remove()
        return
    interrupts = BetweenSteps(backups.on, stopping_of(model))

    def epochs_to_do() -> None:
        stopped = bool(model.stop_training)
        while run.epoch < run.epochs and not stopped:
            stopped = _epoch(
                run, backups, interrupts, steps_per_epoch, validate, validation_freq
            )
        model.finish_training(asked)

    try:
        with interrupts, contextlib.closing(backups):
            _to_the_end(run, backups, interrupts, epochs_to_do)
    except Terminated:
        raise SystemExit(EXIT_TERMINATED) from None


def _to_the_end(
    run: Run, backups: Backups, interrupts: BetweenSteps, train: Callable[[], None]
) -> None:
    """Train and end; an interrupt may come at any moment until this returns."""
    try:
        train()
        run.callbacks.on_train_end(run.logs)
        run.finished = True
        interrupts.end(run.model)
    except Terminated:
        backups.save(wait=True)
        raise
    backups.finish()
    interrupts.end(run.model)


def _resume(run: Run, backups: Backups) -> None:
    """Go on from the newest whole backup, if there is one."""
    saved = backups.find()
    if saved is None:
        return
    if saved.content["step"]:  # the middle of an epoch, which began long ago
        run.callbacks.on_epoch_begin(saved.content["epoch"])
    run.restore(saved)
    if run.finished:
        backups.tell(
            f"The run saved in {saved.folder} was finished after {run.epoch} epochs: "
            "nothing to do. More epochs would go on from there."
        )
        return
    backups.tell(
        f"Going on from epoch {run.epoch + 1}, step {run.step}, as saved in "
        f"{saved.folder}."
    )


def _epoch(
    run: Run,
    backups: Backups,
    interrupts: BetweenSteps,
    steps: int | None,
    validate: Any,
    validation_freq: Any,
) -> bool:
    """One epoch: its steps, validation, the callbacks, a backup; was it the last?"""
    before = run.logs
    if run.step == 0:
        run.model.reset_metrics()
        run.logs = {}
        run.callbacks.on_epoch_begin(run.epoch)
    run.kept.epoch_begins(run.epoch, run.step)
    _steps(run, backups, interrupts, _at_most(steps, config.max_steps_per_epoch()))
    logs = run.logs = as_floats(run.logs)
    run.feed.waiting.end()
    tell_of_waiting(run.feed)
    explain(run)
    if not logs:
        run.logs = before
        _ended_early(run)
        return True
    if validate is not None and _is_due(validation_freq, run.epoch):
        results = _validated(run, validate, logs)
        logs = logs | {f"val_{name}": value for name, value in results.items()}
    run.callbacks.on_epoch_end(run.epoch, logs)
    run.next_epoch(logs)
    backups.after_epoch()
    return interrupts.stops(run.model)


def _ended_early(run: Run) -> None:
    """Training ends with what there was, where the data has no more batches."""
    said = (
        f"The training data gave no batch in epoch {run.epoch + 1}. A generator has to "
        "give the batches of all epochs (steps_per_epoch times epochs); what can start "
        "again (arrays, PyDataset, a loader) is begun anew for each."
    )
    if not run.total:
        raise DataError(said)
    warnings.warn(
        f"{said} Training ends after {run.epoch} of {run.epochs} epochs.", stacklevel=2
    )


def _validated(
    run: Run, validate: Callable[[], dict[str, Any]], logs: dict[str, Any]
) -> dict[str, Any]:
    """Loss and metrics on the validation data; the epoch's own are never lost."""
    try:
        with naming("the validation data"):
            return validate()
    except BaseException:
        run.callbacks.keep(run.epoch, logs)
        raise


def _steps(
    run: Run, backups: Backups, interrupts: BetweenSteps, limit: int | None
) -> None:
    """The steps of an epoch that are still to do."""
    model, last = run.model, run.step - 1
    hooks = _hooks(run.callbacks, "train", model)
    run.feed.waiting.begin()
    for first, last, step in steps_of(
        model.train_program(),
        run.feed,
        run.epoch,
        whole_chunks=not run.callbacks.wants_batches,
        together=model.steps_per_execution,
        start=run.step,
        limit=limit,
    ):
        hooks.begin(first)
        run.logs = step()
        count = hooks.end(last, run.logs) if hooks.is_due(last) else 0
        run.advance(last)
        if count:  # all callbacks had their turn
            backups.after_steps(count)
        if interrupts.stops(model):
            break
    if hooks.open:
        backups.after_steps(hooks.end(last, run.logs))


def _hooks(callbacks: CallbackList, phase: str, model: Any) -> BatchHooks:
    """Whoever looks at batches is told of `steps_per_execution` at once."""
    begin = getattr(callbacks, f"on_{phase}_batch_begin")
    end = getattr(callbacks, f"on_{phase}_batch_end")
    every = model.steps_per_execution if callbacks.wants_batches else 1
    return BatchHooks(begin, end, every)


def evaluate(
    model: Any, feed: Feed, callbacks: CallbackList, steps: int | None
) -> dict[str, Any]:
    """Loss and metrics over a feed."""
    model.reset_metrics()
    model.stop_evaluating = False
    callbacks.on_test_begin()
    logs: Any = None
    program, last = model.test_program(), -1
    hooks = _hooks(callbacks, "test", model)
    with BetweenSteps() as interrupts:
        for first, last, step in steps_of(
            program,
            feed,
            0,
            whole_chunks=not callbacks.wants_batches,
            together=model.steps_per_execution,
            limit=_at_most(steps, config.max_steps_per_epoch()),
        ):
            hooks.begin(first)
            logs = step()
            if hooks.is_due(last):
                hooks.end(last, logs)
            interrupts.check()
            if model.stop_evaluating:
                break
    if hooks.open:
        hooks.end(last, logs)
    if logs is None:
        raise DataError(
            f"{feed.name} gave no batch to evaluate on. It is empty, or a generator "
            "that is used up: it must have batches for every evaluation (give "
            "validation_steps, where it has no end), or be what can start again "
            "(arrays, PyDataset, DataLoader, tf.data)."
        )
    results = as_floats(logs)
    callbacks.on_test_end(results)
    return results


def predict(model: Any, feed: Feed, callbacks: CallbackList, steps: int | None) -> Any:
    """The outputs for every batch, concatenated."""
    program = model.predict_program()
    model.stop_predicting = False
    callbacks.on_predict_begin()
    hooks = _hooks(callbacks, "predict", model)
    rows: list[tuple[list[Any], slice]] = []
    definition, step, since = None, -1, 0
    over = threading.Event()
    batches = ready_batches(feed.epoch(0, 0), steps, 1, agreed(feed, over))
    placement = program.placement
    shared = placement is not None and placement.shared
    if feed.reads:
        batches = prefetch(batches, (lambda pair: pair) if shared else jax.device_put)
    with contextlib.closing(batches), contextlib.ExitStack() as stack:  # type: ignore[type-var]
        stack.callback(over.set)
        for step, (_, batch) in enumerate(batches):
            hooks.begin(step)
            x: Any = tuple(batch)[:1]
            x = Uneven(x, batch.size) if isinstance(batch, Uneven) else x
            leaves, definition = jax.tree_util.tree_flatten(program(x))
            rows.append((leaves, own_rows(placement, x)))
            if hooks.is_due(step):
                since = _shown(hooks, step, definition, rows[since:])
            if len(rows) > 1:  # fetch behind, so that the device is always ahead
                rows[-2] = _fetched(*rows[-2]), slice(None)
            if model.stop_predicting:
                break
    if definition is None:
        raise DataError("The data to predict gave no batch; it may be empty.")
    if hooks.open:
        _shown(hooks, step, definition, rows[since:])
    callbacks.on_predict_end()
    fetched = [_fetched(*row) for row in rows]
    columns = [_concatenate(column) for column in zip(*fetched, strict=True)]
    return jax.tree_util.tree_unflatten(definition, columns)


def _shown(
    hooks: BatchHooks, step: int, form: Any, rows: list[tuple[list[Any], slice]]
) -> int:
    """Tell of the outputs of a group of batches; where the next group begins."""
    leaves = rows[0][0]
    if len(rows) > 1:
        columns = zip(*(row[0] for row in rows), strict=True)
        leaves = [np.concatenate(column) for column in columns]
    logs = Logs()
    logs["outputs"] = jax.tree_util.tree_unflatten(form, leaves)  # a dict stays one
    hooks.end(step, logs)
    return step + 1


def _fetched(leaves: list[Any], rows: slice) -> list[np.ndarray]:
    return [np.asarray(leaf)[rows] for leaf in leaves]


def _concatenate(arrays: Any) -> np.ndarray:
    return np.array(arrays[0]) if len(arrays) == 1 else np.concatenate(arrays)


def _at_most(value: int | None, limit: int | None) -> Any:
    if value is None or limit is None:
        return limit if value is None else value
    return min(value, limit)


def _is_due(freq: Any, epoch: int) -> bool:
    if isinstance(freq, int):
        return (epoch + 1) % freq == 0
    return (epoch + 1) in freq
