"""`Evaluation` and `Prediction`: a pass over a feed, for numbers or for outputs."""

from __future__ import annotations

import collections
import contextlib
import functools
import threading
from collections.abc import Generator
from typing import Any

import jax
import numpy as np

from carnyx import config
from carnyx._core.placement import Uneven
from carnyx._data import prefetch
from carnyx._training.interrupts import BetweenSteps
from carnyx._training.process_sync import own_rows
from carnyx._training.run import Run, as_floats, at_most
from carnyx._training.step_iterator import Dispatch, agreed, ready_batches
from carnyx.callbacks.logs import Logs
from carnyx.errors import DataError


class Evaluation(Run):
    """Loss and metrics over a feed: `evaluate`, or the validation of `fit`."""

    name = "evaluate"
    phase = "test"

    def run(self) -> dict[str, Any]:
        """As a call of its own."""
        with self.synchronized():
            return self.evaluate()

    def evaluate(self) -> dict[str, Any]:
        """Go over the feed once."""
        self.model.reset_metrics()
        self.model.stop_evaluating = False
        self.callbacks.on_test_begin()
        todo = self.dispatches(self.model.test_program())
        with BetweenSteps() as self.interrupts:
            last = collections.deque(self.done(todo), maxlen=1)
        if not last:
            raise DataError(
                f"{self.feed.name} gave no batch to evaluate on. It is empty, or a "
                "generator that is used up: it must have batches for every evaluation "
                "(give validation_steps, where it has no end), or be what can start "
                "again (arrays, PyDataset, DataLoader, tf.data)."
            )
        results = as_floats(last[0].out)
        self.callbacks.on_test_end(results)
        return results

    def stops(self) -> bool:
        self.interrupts.check()
        return self.model.stop_evaluating


class Prediction(Run):
    """The outputs for every batch: a call of `predict`."""

    name = phase = "predict"

    def run(self) -> Any:
        """All outputs, concatenated, as NumPy arrays."""
        with self.synchronized():
            return self._predicted()

    def _predicted(self) -> Any:
        self.model.stop_predicting = False
        self.callbacks.on_predict_begin()
        self.rows: list[tuple[list[Any], slice]] = []  # outputs, and which are ours
        self.form, self.told = None, 0
        with contextlib.closing(self._batches(self.model.predict_program())) as some:
            for _ in self.done(some):
                if len(self.rows) > 1:  # behind, so that the device is always ahead
                    self.rows[-2] = _fetched(*self.rows[-2]), slice(None)
        if self.form is None:
            raise DataError("The data to predict gave no batch; it may be empty.")
        self.callbacks.on_predict_end()
        fetched = [_fetched(*row) for row in self.rows]
        columns = [_concatenate(column) for column in zip(*fetched, strict=True)]
        return jax.tree_util.tree_unflatten(self.form, columns)

    def _batches(self, program: Any) -> Generator[Dispatch]:
        """The batches, each for itself: every one has outputs of its own."""
        over = threading.Event()
        limit = at_most(self.steps, config.max_steps_per_epoch())
        batches = ready_batches(
            self.feed.epoch(0, 0), limit, 1, agreed(self.feed, over)
        )
        shared = program.placement is not None and program.placement.shared
        if self.feed.reads:
            move = (lambda pair: pair) if shared else jax.device_put
            batches = prefetch(batches, move)
        with contextlib.closing(batches), contextlib.ExitStack() as stack:  # type: ignore[type-var]
            stack.callback(over.set)
            for step, (_, batch) in enumerate(batches):
                run = functools.partial(self._start, program, batch)
                yield Dispatch(step, step, run)

    def _start(self, program: Any, batch: Any) -> None:
        x: Any = tuple(batch)[:1]
        x = Uneven(x, batch.size) if isinstance(batch, Uneven) else x
        leaves, self.form = jax.tree_util.tree_flatten(program(x))
        self.rows.append((leaves, own_rows(program.placement, x)))

    def logs_of(self, out: None) -> Logs:
        """The outputs of the batches since callbacks heard of some."""
        rows, self.told = self.rows[self.told :], len(self.rows)
        leaves = rows[0][0]
        if len(rows) > 1:
            columns = zip(*(row[0] for row in rows), strict=True)
            leaves = [np.concatenate(column) for column in columns]
        logs = Logs()
        logs["outputs"] = jax.tree_util.tree_unflatten(self.form, leaves)  # a dict too
        return logs

    def stops(self) -> bool:
        return self.model.stop_predicting


def _fetched(leaves: list[Any], rows: slice) -> list[np.ndarray]:
    return [np.asarray(leaf)[rows] for leaf in leaves]


def _concatenate(arrays: Any) -> np.ndarray:
    return np.array(arrays[0]) if len(arrays) == 1 else np.concatenate(arrays)
