"""`Trainer`: what `Model` offers for training, over one pure step."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from carnyx import optimizers, registry, tree
from carnyx._core.tracebacks import show_user_lines
from carnyx._data import Feed, adapt, naming, three_parts, train_validation_split
from carnyx._data.adapters import holds_arrays
from carnyx._data.batches import one_batch
from carnyx._data.class_weights import weigh
from carnyx._data.mistakes import need_targets, refuse_plain
from carnyx._numbers import integer, integer_or_none
from carnyx._training import loop
from carnyx._training.arguments import backup_folder, frequency, share
from carnyx._training.backups import Backups
from carnyx._training.compile import Compiled
from carnyx._training.compiled_metrics import CompiledMetrics
from carnyx._training.model_programs import ModelPrograms
from carnyx._training.outputs import trimmed
from carnyx._training.process_sync import own_rows, single_batch, synchronized
from carnyx._training.profiling import profile
from carnyx._training.run import Run, as_floats
from carnyx.callbacks import BackupAndRestore, CallbackList, History
from carnyx.errors import DataError
from carnyx.optimizers import Optimizer
from carnyx.typing import ForOutputs, PathLike, Tensor


class Trainer(ModelPrograms):
    """Training, evaluation and prediction; mixed into `Model` beside `Layer`.

    It relies on the layer's `variables`, `call` and `stateless_call` alone.
    """

    stop_training = False
    stop_evaluating = False
    stop_predicting = False
    steps_per_execution = 1
    history: Any = None

    # ---- compile -----------------------------------------------------------------

    @show_user_lines
    def compile(
        self,
        optimizer: Optimizer | str = "rmsprop",
        loss: ForOutputs | None = None,
        loss_weights: float | Sequence[Any] | Mapping[Any, Any] | None = None,
        metrics: ForOutputs | None = None,
        weighted_metrics: ForOutputs | None = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Say how to train.

        Args:
            optimizer: a name, an optimizer, or an optax transformation.
            loss: a name, function or object; a list or dict for several outputs.
            loss_weights: a number for each output's loss.
            metrics: the same forms, in lists; `"accuracy"` finds the right kind.
            weighted_metrics: metrics that are given the sample weights.
            run_eagerly: run steps op by op, for debugging; slow.
            steps_per_execution: steps in one program, of which callbacks hear at once.
            jit_compile: False is as `run_eagerly=True`.
            auto_scale_loss: scale the loss under `mixed_float16`.
        """
        steps_per_execution = integer(
            steps_per_execution, "compile: steps_per_execution", 1
        )
        given = {
            "optimizer": optimizer,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
        }
        self.optimizer = optimizers.get(optimizer)
        half = getattr(self, "dtype_policy", None)
        if auto_scale_loss and half is not None and half.name == "mixed_float16":
            if not isinstance(self.optimizer, optimizers.LossScaleOptimizer):
                self.optimizer = optimizers.LossScaleOptimizer(self.optimizer)
        self._compiled = Compiled(given, getattr(self, "output_names", None))
        self._compiled.frozen.take(self)
        self.loss = loss
        self.run_eagerly, self.jit_compile = bool(run_eagerly), jit_compile
        self.steps_per_execution = steps_per_execution
        self.stop_training = False

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._compiled is not None

    def get_compile_config(self) -> dict[str, Any] | None:
        """What `compile` was given, as plain data."""
        if self._compiled is None:
            return None
        given = dict(self._compiled.given)
        given["optimizer"] = self.optimizer
        return registry.serialize_dict(given)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as saved; the optimizer gets its variables if the model has its."""
        families = {"optimizer": "optimizers", "loss": "losses"}
        families |= {"metrics": "metrics", "weighted_metrics": "metrics"}
        given: dict[str, Any] = {
            key: value  # a name stays one: it is the metric's in the history
            if isinstance(value, str)
            else registry.deserialize_keras_object(value, family=families.get(key, ""))
            for key, value in config.items()
        }
        try:
            inspect.signature(self.compile).bind(**given)
        except TypeError as error:
            name = type(self).__name__
            warnings.warn(
                f"{name} {self.name!r} is not compiled: {name}.compile() takes other "  # type: ignore[attr-defined]
                f"arguments than the ones that were saved ({error}). Compile it "
                "yourself, or write get_compile_config() and compile_from_config().",
                stacklevel=2,
            )
            return
        self.compile(**given)
        if self.built:  # type: ignore[attr-defined]
            self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]

    # ---- fit, evaluate, predict --------------------------------------------------

    @show_user_lines
    def fit(
        self,
        x: object = None,
        y: object = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: object = None,
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
        batch_size = integer_or_none(batch_size, "fit: batch_size", 1)
        epochs = integer(epochs, "fit: epochs", 0)
        initial_epoch = integer(initial_epoch, "fit: initial_epoch", 0)
        steps_per_epoch = integer_or_none(steps_per_epoch, "fit: steps_per_epoch", 1)
        validation_steps = integer_or_none(validation_steps, "fit: validation_steps", 1)
        validation_batch_size = integer_or_none(
            validation_batch_size, "fit: validation_batch_size", 1
        )
        validation_split = share("fit: validation_split", validation_split)
        validation_freq = frequency("fit: validation_freq", validation_freq)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = train_validation_split(
                (x, y, sample_weight), validation_split
            )
        feed = adapt(
            x, y, sample_weight, batch_size=batch_size, steps=steps_per_epoch,
            shuffle=shuffle, class_weight=class_weight,
        )  # fmt: skip
        self._prepare(feed.spec(), training=True, batch_size=feed.batch_size)
        self._look_at(feed)
        self._tell_of_trainable()
        validation_feed: Feed | None = None
        if validation_data is not None:
            validation_feed = self._validation_feed(
                validation_data, y, batch_size, validation_batch_size, validation_steps
            )
        self._held()
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(
                callbacks, add_history=True, add_progbar=verbose != 0, model=self,
                verbose=verbose, epochs=epochs,
                steps=steps_per_epoch or feed.length, batch_size=feed.batch_size,
                samples=None if steps_per_epoch else feed.num_samples,
            )  # fmt: skip
        validate = None
        if validation_feed is not None:
            validate = lambda: loop.evaluate(  # noqa: E731
                self, validation_feed, callbacks, validation_steps
            )
        run = Run(self, feed, callbacks)
        run.epoch = initial_epoch
        options = _backup_options(callbacks, resume, self.name)  # type: ignore[attr-defined]
        backups = Backups(run, options)
        if options is not None and resume is True:
            backups.tell(f"Backups of this run are in the folder {options.backup_dir}.")
        with synchronized(
            "fit", self._placed(), callbacks, [feed, validation_feed], epochs=epochs,
            initial_epoch=initial_epoch, steps=steps_per_epoch,
            validation_steps=validation_steps,
            validation_freq=validate and _plain(validation_freq),
            backups=options and _backup_facts(options),
        ):  # fmt: skip
            loop.fit(
                run, backups, epochs=epochs, steps_per_epoch=steps_per_epoch,
                validate=validate, validation_freq=validation_freq,
            )  # fmt: skip
        return self.history

    def _validation_feed(
        self,
        data: Any,
        y: object,
        batch_size: int | None,
        own_batch_size: int | None,
        steps: int | None,
    ) -> Feed:
        """A feed of `validation_data`, for which all that `evaluate` needs is built.

        Args:
            y: the targets of training, without which there need be none here.
            batch_size: that of training; arrays have it if they are given no own one.
        """
        with naming("validation_data"):
            vx, vy, vw = three_parts(data)
            need_targets(data, vx, vy, y)
            size = own_batch_size or (batch_size if holds_arrays(vx) else None)
            feed = adapt(vx, vy, vw, batch_size=size, steps=steps, shuffle=False)
        if not self._need_compiled("fit").ready:  # a step in the simple style
            self._prepare(feed.spec(), False, feed.batch_size)
        self._look_at(feed)
        return feed

    @show_user_lines
    def evaluate(
        self,
        x: object = None,
        y: object = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Tensor | None = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on data: a number, a list (loss first), or a dict."""
        self._need_compiled("evaluate")
        batch_size = integer_or_none(batch_size, "evaluate: batch_size", 1)
        steps = integer_or_none(steps, "evaluate: steps", 1)
        feed = adapt(
            x, y, sample_weight, batch_size=batch_size, steps=steps, shuffle=False
        )
        self._prepare(feed.spec(), training=False, batch_size=feed.batch_size)
        self._look_at(feed)
        self._held()
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(
                callbacks, add_progbar=verbose != 0, model=self, verbose=verbose,
                epochs=1, steps=steps or feed.length,
            )  # fmt: skip
        with synchronized("evaluate", self._placed(), callbacks, [feed], steps=steps):
            results = loop.evaluate(self, feed, callbacks, steps)
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
        x: object,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for data, as NumPy arrays, batch by batch."""
        batch_size = integer_or_none(batch_size, "predict: batch_size", 1)
        steps = integer_or_none(steps, "predict: steps", 1)
        if verbose == 0 and callbacks is None and steps is None and self.built:  # type: ignore[attr-defined]
            batch = one_batch(x, batch_size or 32)
            placement = self._placed()
            if placement is not None and placement.shared:  # all have to be alike
                batch = None
            if batch is not None:  # nothing to loop over, nobody to tell
                return tree.map_structure(np.array, self.predict_program()((batch,)))
        feed = adapt(x, None, None, batch_size=batch_size, steps=steps, shuffle=False)
        if not self.built:  # type: ignore[attr-defined]
            self._predicted_spec(feed.spec()[0])
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(
                callbacks, add_progbar=verbose != 0, model=self, verbose=verbose,
                epochs=1, steps=steps or feed.length,
            )  # fmt: skip
        with synchronized("predict", self._placed(), callbacks, [feed], steps=steps):
            return loop.predict(self, feed, callbacks, steps)

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
        x: object,
        y: object = None,
        sample_weight: Tensor | None = None,
        class_weight: Mapping[int, float] | str | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step of training; the loss and the metrics are this batch's."""
        with single_batch("train_on_batch", self) as settled:
            batch = self._one_batch(x, y, sample_weight, class_weight, training=True)
            self.reset_metrics()
            logs = as_floats(self.train_program()(settled(batch)))
        return logs if return_dict else self._as_list(logs)

    @show_user_lines
    def test_on_batch(
        self,
        x: object,
        y: object = None,
        sample_weight: Tensor | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step of evaluation; the loss and the metrics are this batch's."""
        with single_batch("test_on_batch", self) as settled:
            batch = self._one_batch(x, y, sample_weight, None, training=False)
            self.reset_metrics()
            logs = as_floats(self.test_program()(settled(batch)))
        return logs if return_dict else self._as_list(logs)

    @show_user_lines
    def predict_on_batch(self, x: object) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        with single_batch("predict_on_batch", self) as settled:
            feed = _whole(x, None, None, None)
            if not self.built:  # type: ignore[attr-defined]
                self._predicted_spec(feed.spec()[0])
            (x, _, _) = next(iter(feed.epoch(0)))
            batch = settled((x,))
            rows = own_rows(self._placed(), batch)
            outputs = jax.device_get(self.predict_program()(batch))
        return tree.map_structure(lambda v: v[rows], outputs)

    def _one_batch(
        self, x: Any, y: Any, sample_weight: Any, class_weight: Any, training: bool
    ) -> tuple:
        self._need_compiled("train_on_batch" if training else "test_on_batch")
        feed = _whole(x, y, sample_weight, class_weight)
        self._prepare(feed.spec(), training, feed.batch_size)
        self._look_at(feed, single=True)
        return trimmed(next(iter(feed.epoch(0))))


def _backup_facts(options: BackupAndRestore) -> dict[str, Any]:
    """What of them has to be the same in all processes."""
    names = "save_freq", "keep", "delete_checkpoint"
    return {name: getattr(options, name) for name in names}


def _backup_options(
    callbacks: CallbackList, resume: Any, model_name: str
) -> BackupAndRestore | None:
    folder = backup_folder(resume, model_name)
    for callback in callbacks.callbacks:
        if isinstance(callback, BackupAndRestore):
            return callback
    if folder is None:
        return None
    return BackupAndRestore(folder, delete_checkpoint=False)  # type: ignore[call-arg]


def _plain(freq: Any) -> Any:
    """`validation_freq` as processes compare it."""
    return freq if isinstance(freq, int) else [int(epoch) for epoch in sorted(freq)]


def _whole(x: Any, y: Any, sample_weight: Any, class_weight: Any) -> Any:
    """A feed of one batch with all samples."""
    refuse_plain("x", x)
    leaves = [v for v in tree.flatten(x) if v is not None]
    if not leaves:
        raise DataError("x is None, so there is no batch; expected an array.")
    first = leaves[0]  # a sparse matrix has no length, a list no shape
    shape = getattr(first, "shape", ()) or (len(first),)
    size = max(shape[0], 1)
    weights = weigh(y, sample_weight, class_weight)
    return adapt(x, y, weights, batch_size=size, shuffle=False)
