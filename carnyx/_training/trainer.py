"""`Trainer`: what `Model` offers for training, over one pure step."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np

from carnyx import tree
from carnyx._checks.class_weights import judge_class_weight
from carnyx._checks.first_batches import look_at
from carnyx._core.tracebacks import show_user_lines
from carnyx._data import (
    Feed,
    train_validation_split,
    with_text_rows,
)
from carnyx._data.batches import one_batch
from carnyx._training.arguments import FitOptions, counts
from carnyx._training.compiled_metrics import CompiledMetrics
from carnyx._training.evaluation import Evaluation, Prediction
from carnyx._training.feeding import Feeding
from carnyx._training.fitting import Fit
from carnyx._training.outputs import trimmed
from carnyx._training.process_sync import own_rows, single_batch
from carnyx._training.profiling import profile
from carnyx._training.run import as_floats
from carnyx.callbacks import History
from carnyx.typing import Data, PathLike, Tensor


class Trainer(Feeding):
    """Training, evaluation and prediction; mixed into `Model` beside `Layer`.

    It relies on the layer's `variables`, `call` and `stateless_call` alone.
    """

    stop_evaluating = False
    stop_predicting = False
    history: Any = None

    # ---- fit, evaluate, predict --------------------------------------------------

    @show_user_lines
    def fit(
        self,
        x: Data = None,
        y: Data = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Data = None,
        shuffle: Any = True,
        class_weight: Any = None,
        sample_weight: Tensor | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Collection[int] = 1,
        *,
        resume: PathLike | bool | None = None,
    ) -> History:
        """Train for a number of epochs; returns the history of losses and metrics.

        Args:
            x: arrays (nested as the model's inputs), or a source of batches.
            y: targets, unless `x` is a source.
            verbose: 0 nothing, 1 a bar, 2 a line an epoch; `"auto"` chooses.
            validation_split: the last part of the arrays, kept from training.
            class_weight: from class to weight, for one output.
            validation_freq: every how many epochs to validate, or in which ones.
            resume: a folder for backups, or True for one that is named after the
                script and the model; started again after it was killed, the same
                call goes on exactly where it was (`BackupAndRestore` has options). One
                that was finished does nothing, unless more epochs are asked for.
        """
        self._need_compiled("fit")
        options = FitOptions(
            callbacks, verbose, epochs, initial_epoch, batch_size, steps_per_epoch,
            validation_split, validation_steps, validation_batch_size, validation_freq,
            resume,
        )  # fmt: skip
        if options.validation_split and validation_data is None:
            if self._host_part(x) is not None:
                x = with_text_rows(x)
            (x, y, sample_weight), validation_data = train_validation_split(
                (x, y, sample_weight), options.validation_split
            )
        feed = self._feed(
            x, y, sample_weight, batch_size=options.batch_size,
            steps=options.steps_per_epoch, shuffle=shuffle, class_weight=class_weight,
        )  # fmt: skip
        self._prepare(feed.spec(), training=True, batch_size=feed.batch_size)
        self._look_at(feed)
        judge_class_weight(class_weight, y, self._need_compiled("fit").expectations)
        self._tell_of_trainable()
        validation: Feed | None = None
        if validation_data is not None:
            validation = self._validation_feed(validation_data, y, options)
        self._held()
        Fit(self, feed, validation, options).run()
        return self.history

    @show_user_lines
    def evaluate(
        self,
        x: Data = None,
        y: Data = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Tensor | None = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on data: a number, a list (loss first), or a dict."""
        self._need_compiled("evaluate")
        batch_size, steps = counts("evaluate", batch_size=batch_size, steps=steps)
        feed = self._feed(
            x, y, sample_weight, batch_size=batch_size, steps=steps, shuffle=False
        )
        self._prepare(feed.spec(), training=False, batch_size=feed.batch_size)
        self._look_at(feed)
        self._held()
        results = Evaluation(self, feed, callbacks, verbose, steps).run()
        return results if return_dict else self._as_list(results)

    def _as_list(self, results: dict[str, Any]) -> Any:
        """Results in Keras's order: of `metrics`, then by name; one is bare."""
        names: list[str] = []
        for metric in self.metrics:
            inside = isinstance(metric, CompiledMetrics)
            names += [m.name for m in metric.metrics] if inside else [metric.name]
        first = [n for n in dict.fromkeys(names) if n in results]
        ordered = [results[n] for n in [*first, *sorted(set(results) - set(first))]]
        return ordered[0] if len(ordered) == 1 else ordered

    @show_user_lines
    def predict(
        self,
        x: Data,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for data, as NumPy arrays, batch by batch."""
        batch_size, steps = counts("predict", batch_size=batch_size, steps=steps)
        fast = verbose == 0 and callbacks is None and steps is None
        if fast and self.built and self._host_part(x) is None:  # type: ignore[attr-defined]
            batch = one_batch(x, batch_size or 32)
            placement = self._placed()
            if placement is not None and placement.shared:  # all have to be alike
                batch = None
            if batch is not None:  # nothing to loop over, nobody to tell
                self._look_at_inputs(batch)
                return tree.map_structure(np.array, self.predict_program()((batch,)))
        feed = self._feed(
            x, None, None, batch_size=batch_size, steps=steps, shuffle=False
        )
        if not self.built:  # type: ignore[attr-defined]
            x, _, _ = self._spec_to_build(feed.spec(), feed.batch_size)
            self._predicted_spec(x)
        look_at(feed, self._expected_inputs(lambda: feed.spec()[0]), self.run_eagerly)
        return Prediction(self, feed, callbacks, verbose, steps).run()

    @show_user_lines
    def profile(
        self,
        data: Any,
        batch_size: int | None = None,
        steps: int = 20,
        print_fn: Any = None,
    ) -> dict[str, Any]:
        """Show where a training step's time and memory go, in a table and a dict.

        Some steps are made and undone again. Seconds are in `trace`, `compile`, `data`,
        `host`, `device` and `step`; bytes in `memory`, as the compiler tells them.

        Args:
            data: `(x, y)`, `(x, y, sample_weight)`, or a source of batches.
            print_fn: called with the table as text, in place of printing.
        """
        self._need_compiled("profile")
        return profile(self, data, batch_size, steps, print_fn)

    # ---- single batches ----------------------------------------------------------

    @show_user_lines
    def train_on_batch(
        self,
        x: Data,
        y: Data = None,
        sample_weight: Tensor | None = None,
        class_weight: Mapping[int, float] | str | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step of training; the loss and the metrics are this batch's."""
        data = x, y, sample_weight, class_weight
        return self._on_batch("train_on_batch", data, return_dict)

    @show_user_lines
    def test_on_batch(
        self,
        x: Data,
        y: Data = None,
        sample_weight: Tensor | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step of evaluation; the loss and the metrics are this batch's."""
        data = x, y, sample_weight, None
        return self._on_batch("test_on_batch", data, return_dict)

    @show_user_lines
    def predict_on_batch(self, x: Data) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        with single_batch("predict_on_batch", self) as settled:
            feed = self._whole(x)
            if not self.built:  # type: ignore[attr-defined]
                x, _, _ = self._spec_to_build(feed.spec(), feed.batch_size)
                self._predicted_spec(x)
            (x, _, _) = next(iter(feed.epoch(0)))
            self._look_at_inputs(x)
            batch = settled((x,))
            rows = own_rows(self._placed(), batch)
            outputs = jax.device_get(self.predict_program()(batch))
        return tree.map_structure(lambda v: v[rows], outputs)

    def _on_batch(self, what: str, data: tuple, return_dict: bool) -> Any:
        """One step, the metrics having been reset."""
        self._need_compiled(what)
        training = what == "train_on_batch"
        with single_batch(what, self) as settled:
            feed = self._whole(*data)
            self._prepare(feed.spec(), training, feed.batch_size)
            self._look_at(feed, single=True)
            batch = settled(trimmed(next(iter(feed.epoch(0)))))
            self.reset_metrics()
            program = self.train_program() if training else self.test_program()
            logs = as_floats(program(batch))
        return logs if return_dict else self._as_list(logs)
