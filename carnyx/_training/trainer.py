"""`Trainer`: what `Model` offers for training, over one pure step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnyx import config, optimizers, registry, tree
from carnyx._core import structure
from carnyx._core.infer import infer
from carnyx._core.placement import current_placement
from carnyx._core.scope import pure
from carnyx._core.tracebacks import show_user_lines
from carnyx._data import adapt, train_validation_split
from carnyx._data.batches import one_batch
from carnyx._training import loop, simple_steps
from carnyx._training.compile import Compiled, CompiledMetrics
from carnyx._training.device_placement import InnerPlacement, OnDevices
from carnyx._training.outputs import unpack
from carnyx._training.pipelined import PipelinePlacement, pipelined_step
from carnyx._training.predicting import PredictProgram
from carnyx._training.profiling import profile
from carnyx._training.programs import StepProgram
from carnyx._training.run import Backups, Run, as_floats
from carnyx._training.staged import staged_prediction, staged_step
from carnyx._training.state import HeldState, TrainState
from carnyx._training.together import evened, own_rows, together
from carnyx.callbacks import BackupAndRestore, CallbackList, History
from carnyx.errors import ArgumentError, NotCompiledError
from carnyx.layers._children import owned
from carnyx.metrics import Metric


class Trainer:
    """Training, evaluation and prediction; mixed into `Model` beside `Layer`.

    It relies on the layer's `variables`, `call` and `stateless_call` alone.
    """

    optimizer: Any = None
    stop_training = False
    history: Any = None
    _compiled: Compiled | None = None
    _predictor: Any = None
    _placement: Any = None  # of this model alone

    # ---- compile -----------------------------------------------------------------

    @show_user_lines
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
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
            steps_per_execution: the least number of steps in one program.
            jit_compile: False is as `run_eagerly=True`.
            auto_scale_loss: scale the loss under `mixed_float16`.
        """
        if steps_per_execution < 1:
            raise ArgumentError(
                f"steps_per_execution got {steps_per_execution}; expected 1 or more."
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
        self.loss = loss
        self.run_eagerly = bool(run_eagerly) or jit_compile is False
        self.steps_per_execution = steps_per_execution
        self.stop_training = False

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._compiled is not None

    @property
    def jit_compile(self) -> bool:
        """Whether steps are compiled."""
        return not getattr(self, "run_eagerly", False)

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
        self.compile(**given)
        if self.built:  # type: ignore[attr-defined]
            self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]

    def _need_compiled(self, what: str) -> Compiled:
        if self._compiled is None:
            raise NotCompiledError(
                f"{type(self).__name__} {self.name!r} is not compiled. Call "  # type: ignore[attr-defined]
                f"model.compile(optimizer, loss) before {what}()."
            )
        return self._compiled

    # ---- metrics -----------------------------------------------------------------

    @property
    def metrics(self) -> list[Any]:
        """The loss's running mean, the layers' metrics, those of `compile`."""
        found: list[Any] = []
        compiled = self._compiled
        if compiled is not None:
            found.append(compiled.loss_tracker)
        for layer in self._flatten_layers():  # type: ignore[attr-defined]
            found += owned(layer, (Metric,))
        if compiled is not None and compiled.metrics is not None:
            found.append(compiled.metrics)
        if compiled is not None and compiled.loss is not None:
            found += compiled.loss.metrics
        return found

    @property
    def metrics_names(self) -> list[str]:
        """The names of `metrics`."""
        return [m.name for m in self.metrics]

    @property
    def metrics_variables(self) -> list[Any]:
        """The states of `metrics`."""
        return [v for m in self.metrics for v in m.variables]

    def reset_metrics(self) -> None:
        """Start all metrics anew."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self) -> dict[str, Any]:
        """The values of all metrics by name."""
        results: dict[str, Any] = {}
        for metric in self.metrics:
            value = metric.result()
            results |= value if isinstance(value, dict) else {metric.name: value}
        return results

    # ---- what a step computes; users override these ------------------------------

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The scalar to minimise: the compiled loss and what layers added."""
        compiled = self._need_compiled("compute_loss")
        total: Any = None
        if compiled.loss is not None:
            total = compiled.loss(y, y_pred, sample_weight)
        for added in self.losses:  # type: ignore[attr-defined]
            added = jnp.sum(jnp.asarray(added, config.floatx()))
            total = added if total is None else total + added
        if total is None:
            raise ArgumentError(
                "There is nothing to minimise: compile() got no loss, and no layer "
                "called add_loss(). Pass loss=... to compile()."
            )
        return total

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Update the compiled metrics with a batch; returns all results."""
        compiled = self._need_compiled("compute_metrics")
        if compiled.metrics is not None:
            compiled.metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def compute_loss_and_updates(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        metrics_variables: Any,
        x: Any,
        y: Any,
        sample_weight: Any,
        training: bool = False,
        optimizer_variables: Any = None,
    ) -> tuple[Any, tuple]:
        """Loss, and `(unscaled loss, y_pred, non-trainable, metrics)` after it."""
        parts = [
            self.trainable_variables,  # type: ignore[attr-defined]
            self.non_trainable_variables,  # type: ignore[attr-defined]
            self.metrics_variables,
            self.optimizer.variables if optimizer_variables is not None else [],
        ]

        def forward() -> tuple[Any, Any, Any]:
            y_pred = self(x, training=training)  # type: ignore[operator]
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=training)
            scaled = loss
            if optimizer_variables is not None:
                scaled = self.optimizer.scale_loss(loss)
            return scaled, loss, y_pred

        values = [trainable_variables, non_trainable_variables, metrics_variables]
        values.append(optimizer_variables or [])
        run = pure(forward, [v for part in parts for v in part])
        (scaled, loss, y_pred), new = run([v for part in values for v in part])
        first = len(parts[0])
        second = first + len(parts[1])
        buffers, metrics = new[first:second], new[second : second + len(parts[2])]
        return scaled, (loss, y_pred, buffers, metrics)

    def train_step(self, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
        """One step of training as a pure function: `(logs, new state)`.

        `state` is `(trainable_variables, non_trainable_variables,
        optimizer_variables, metrics_variables)`, lists of arrays; `data` a batch.

        A class may write `train_step(self, data)` instead: it computes with layers,
        takes gradients with `value_and_grad`, applies optimizers (as many as it keeps
        in attributes), updates metrics and returns logs. `test_step` and
        `predict_step` may have that form, too.
        """
        x, y, sample_weight = unpack(data)
        trainable, buffers, slots, metrics = state
        gradient = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
        (_, (loss, y_pred, buffers, metrics)), gradients = gradient(
            trainable, buffers, metrics, x, y, sample_weight,
            training=True, optimizer_variables=slots,
        )  # fmt: skip
        trainable, slots = self.optimizer.stateless_apply(slots, gradients, trainable)
        logs, metrics = self._update_metrics(metrics, loss, x, y, y_pred, sample_weight)
        return logs, TrainState(trainable, buffers, slots, metrics)

    def test_step(self, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
        """One step of evaluation: `(logs, new state)`.

        `state` is `(trainable_variables, non_trainable_variables,
        metrics_variables)`.
        """
        x, y, sample_weight = unpack(data)
        trainable, buffers, metrics = state
        _, (loss, y_pred, buffers, metrics) = self.compute_loss_and_updates(
            trainable, buffers, metrics, x, y, sample_weight, training=False
        )
        logs, metrics = self._update_metrics(metrics, loss, x, y, y_pred, sample_weight)
        return logs, (trainable, buffers, metrics)

    def predict_step(self, state: Any, data: Any) -> tuple[Any, Any]:
        """The outputs for a batch: `(outputs, non_trainable_variables)`."""
        trainable, buffers = state
        x, _, _ = unpack(data)
        return self.stateless_call(trainable, buffers, x, training=False)  # type: ignore[attr-defined]

    def value_and_grad(
        self, fn: Any, variables: Any = None, has_aux: bool = False
    ) -> tuple[Any, list[Any]]:
        """What `fn()` computes with layers, and its gradient for each variable.

        What `fn` assigns (moving averages, seeds, metrics) stays assigned. Multiply
        the loss by `optimizer.scale_loss` where the optimizer scales losses.

        Args:
            fn: a function of nothing that returns a scalar.
            variables: the trainable variables of the model by default.
            has_aux: `fn` returns a pair, and only its first part is differentiated.

        >>> import carnyx as keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> x = keras.ops.ones((1, 2))
        >>> loss, (kernel, bias) = model.value_and_grad(lambda: model(x)[0, 0])
        >>> kernel.tolist(), bias.tolist()
        ([[1.0], [1.0]], [1.0])
        """
        return simple_steps.value_and_grad(self, fn, variables, has_aux)

    def _update_metrics(
        self, values: Any, loss: Any, x: Any, y: Any, y_pred: Any, sample_weight: Any
    ) -> tuple[dict[str, Any], list[Any]]:
        def update() -> dict[str, Any]:
            tracker = self._need_compiled("fit").loss_tracker
            tracker.update_state(loss, sample_weight=tree.flatten(x)[0].shape[0])
            return self.compute_metrics(x, y, y_pred, sample_weight)

        logs, values = pure(update, self.metrics_variables)(values)
        return logs, values

    # ---- programs ----------------------------------------------------------------

    def _placed(self) -> Any:
        """The model's own placement, the one in force, or that of `compile`."""
        own = self._placement or current_placement()
        own = own or (self._compiled and self._compiled.placement)
        scopes = self._device_placement()
        if own is None or scopes is None:
            return own or scopes
        raise ArgumentError(
            f"{self.name!r} has layers that were called inside device scopes, and "  # type: ignore[attr-defined]
            f"is to run under {type(own).__name__}. Each of them says where everything "
            "lies: build the model outside of the scopes, or leave the distribution."
        )

    def _calls_graph(self) -> bool:
        """Whether a call of the model is that of its graph, and nothing else."""
        return False

    def _device_placement(self) -> Any:
        """How layers lie on devices by the scopes in which they were called: here, of
        the models inside."""
        version, inner, known = self.__dict__.get("_inner_placement", (-1, [], None))
        if version == structure.version():
            return known
        layers = self._flatten_layers(include_self=False)  # type: ignore[attr-defined]
        found = [x._graph_placement() for x in layers if hasattr(x, "_graph_placement")]
        found = [p for p in found if p is not None]
        if found != inner:
            known = InnerPlacement(found) if found else None
        self.__dict__["_inner_placement"] = structure.version(), found, known
        return known

    def _prepare(
        self, spec: Any, training: bool, batch_size: int | None = None
    ) -> None:
        """Build model, losses, metrics and optimizer for batches like `spec`."""
        compiled = self._need_compiled("fit" if training else "evaluate")
        placed = self._placement
        if training and batch_size and isinstance(placed, PipelinePlacement):
            placed.plan.check_batch(batch_size)
        name = "train_step" if training else "test_step"
        if simple_steps.is_simple(self, name):
            if name not in compiled.tried:
                step = getattr(self, name)
                simple_steps.prepare(self, step, loop.trimmed(spec), batch_size)
                compiled.tried.add(name)
            return
        x, y, _ = spec
        if not compiled.ready:
            y_pred = self._predicted_spec(x)
            if compiled.loss is not None and not compiled.loss.built:
                compiled.loss.build(y_pred)
            if compiled.metrics is not None and not compiled.metrics.built:
                compiled.metrics.build(y, y_pred)
                # some metrics have their state from their first batch on
                infer(compiled.metrics.update_state, y, y_pred)
            compiled.ready = True
        if training and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]

    def _predicted_spec(self, x: Any) -> Any:
        """Symbolic outputs for symbolic inputs; builds the model on the way."""
        return infer(lambda x: self(x, training=False), x)  # type: ignore[operator]

    def _held(self) -> HeldState:
        """The state of all variables, as one store."""
        compiled = self._need_compiled("fit")
        simple = simple_steps.is_simple(self, "train_step")
        key: Any = structure.version(), compiled.ready, self.optimizer.built
        if simple:
            key += tuple(map(id, simple_steps.extra_variables(self)))
        placement = self._placed()
        if compiled.held is not None and compiled.held_key == key:
            if compiled.held.placement is placement:
                return compiled.held
        compiled.held_key = key
        if simple:
            slots = simple_steps.extra_variables(self)
        else:
            slots = self.optimizer.variables if self.optimizer.built else []
        parts = TrainState(
            self.trainable_variables,  # type: ignore[attr-defined]
            self.non_trainable_variables,  # type: ignore[attr-defined]
            list(slots),
            self.metrics_variables,
        )
        held, same = compiled.held, HeldState.key_of(parts)
        if held is None or held.key != same or held.placement is not placement:
            held = compiled.held = HeldState(parts, placement)
            compiled.programs.clear()
        return held

    def training_variables(self) -> list[Any]:
        """What a training step changes, metrics apart: weights, buffers, seeds, the
        states of optimizers."""
        parts = self._held().parts
        return [v for part in parts[:3] for v in part]

    def _program(self, name: str, step: Any) -> StepProgram:
        held = self._held()
        programs = self._need_compiled("fit").programs
        key = name, self.run_eagerly
        if key not in programs:
            if simple_steps.is_simple(self, name):
                step = simple_steps.checked_logs(getattr(self, name))
                step = simple_steps.pure_step(step, held.store.variables, held.cuts)
            placed = held.placement
            if isinstance(placed, PipelinePlacement) and name == "train_step":
                programs[key] = pipelined_step(self, Trainer, held, placed)
            elif isinstance(placed, OnDevices) and placed.several:
                program = staged_step(self, Trainer, name, step, held, placed)
                programs[key] = program
            else:
                programs[key] = StepProgram(step, held, compiled=not self.run_eagerly)
        return programs[key]

    def train_program(self) -> StepProgram:
        """The program of a training step; compiled once, reused by every call."""
        return self._program("train_step", self.train_step)

    def test_program(self) -> StepProgram:
        """The program of an evaluation step."""
        return self._program("test_step", self._whole_test_step)

    def _whole_test_step(self, state: TrainState, data: Any) -> tuple[Any, TrainState]:
        trainable, buffers, slots, metrics = state
        logs, (trainable, buffers, metrics) = self.test_step(
            (trainable, buffers, metrics), data
        )
        return logs, TrainState(trainable, buffers, slots, metrics)

    def predict_program(self) -> PredictProgram:
        """The program of prediction; needs no `compile`."""
        eager = getattr(self, "run_eagerly", False)
        placement = self._placed()
        key = structure.version(), eager, placement
        program: Any = self._predictor
        if program is not None and program.key == key:
            return program
        variables = self.trainable_variables, self.non_trainable_variables  # type: ignore[attr-defined]
        if program is None or not program.fits(variables, eager, placement):
            step = self.predict_step
            if simple_steps.is_simple(self, "predict_step"):
                step = simple_steps.pure_prediction(step, variables)
            if isinstance(placement, OnDevices) and placement.several:
                program = staged_prediction(self, Trainer, step, placement, eager)
            else:
                program = PredictProgram(step, variables, not eager, placement)
            self._predictor = program
        program.key = structure.version(), eager, placement
        return program

    def finish_training(self, trained: bool) -> None:
        """After the last epoch: averaged weights take their place, if so chosen."""
        if trained and simple_steps.is_simple(self, "train_step"):
            simple_steps.finish(self)
        elif trained:
            self.optimizer.finalize_variable_values(self.trainable_variables)  # type: ignore[attr-defined]

    # ---- fit, evaluate, predict --------------------------------------------------

    @show_user_lines
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: Any = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        *,
        resume: Any = None,
    ) -> History:
        """Train for a number of epochs; returns the history of losses and metrics.

        Args:
            x: arrays (nested as the model's inputs), or a source of batches.
            y: targets, unless `x` is a source.
            verbose: 0 nothing, 1 a bar, 2 a line an epoch; `"auto"` chooses.
            validation_split: the last part of the arrays, kept from training.
            class_weight: from class to weight, for one output.
            validation_freq: every how many epochs to validate, or in which ones.
            resume: a folder for backups; started again after it was killed, the same
                call goes on exactly where it was (`BackupAndRestore` has options).
        """
        self._need_compiled("fit")
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = train_validation_split(
                (x, y, sample_weight), validation_split
            )
        feed = adapt(
            x, y, sample_weight, batch_size=batch_size, steps=steps_per_epoch,
            shuffle=shuffle, class_weight=class_weight,
        )  # fmt: skip
        self._prepare(feed.spec(), training=True, batch_size=feed.batch_size)
        validation_feed: Any = None
        if validation_data is not None:
            vx, vy, vw = unpack(validation_data)
            validation_feed = adapt(
                vx, vy, vw, batch_size=validation_batch_size or batch_size,
                steps=validation_steps, shuffle=False,
            )  # fmt: skip
            if not self._need_compiled("fit").ready:  # a step in the simple style
                self._prepare(validation_feed.spec(), False, validation_feed.batch_size)
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
        options = _backup_options(callbacks, resume)
        backups = Backups(run, options)
        with together(
            "fit", self._placed(), callbacks, [feed, validation_feed], epochs=epochs,
            initial_epoch=initial_epoch, steps=steps_per_epoch,
            validation_steps=validation_steps, backups=options and options.save_freq,
        ):  # fmt: skip
            loop.fit(
                run, backups, epochs=epochs, steps_per_epoch=steps_per_epoch,
                validate=validate, validation_freq=validation_freq,
            )  # fmt: skip
        return self.history

    @show_user_lines
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **_keras: Any,
    ) -> Any:
        """Loss and metrics on data: a number, a list (loss first), or a dict."""
        self._need_compiled("evaluate")
        feed = adapt(
            x, y, sample_weight, batch_size=batch_size, steps=steps, shuffle=False
        )
        self._prepare(feed.spec(), training=False, batch_size=feed.batch_size)
        self._held()
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(
                callbacks, add_progbar=verbose != 0, model=self, verbose=verbose,
                epochs=1, steps=steps or feed.length,
            )  # fmt: skip
        with together("evaluate", self._placed(), callbacks, [feed], steps=steps):
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
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for data, as NumPy arrays, batch by batch."""
        if verbose == 0 and callbacks is None and steps is None and self.built:  # type: ignore[attr-defined]
            batch = one_batch(x, batch_size or 32)
            placement = self._placed()
            if placement is not None and placement.takes_parts:
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
        with together("predict", self._placed(), callbacks, [feed], steps=steps):
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
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """One step of training; metrics go on from the last call."""
        batch = self._one_batch(x, y, sample_weight, class_weight, training=True)
        logs = as_floats(self.train_program()(batch))
        return logs if return_dict else self._as_list(logs)

    @show_user_lines
    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """One step of evaluation; metrics go on from the last call."""
        batch = self._one_batch(x, y, sample_weight, None, training=False)
        logs = as_floats(self.test_program()(batch))
        return logs if return_dict else self._as_list(logs)

    @show_user_lines
    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        feed = _whole(x, None, None, None)
        if not self.built:  # type: ignore[attr-defined]
            self._predicted_spec(feed.spec()[0])
        (x, _, _) = next(iter(feed.epoch(0)))
        placement = self._placed()
        batch = evened(placement, (x,))
        outputs, rows = self.predict_program()(batch), own_rows(placement, batch)
        return tree.map_structure(lambda v: v[rows], jax.device_get(outputs))

    def _one_batch(
        self, x: Any, y: Any, sample_weight: Any, class_weight: Any, training: bool
    ) -> tuple:
        self._need_compiled("train_on_batch" if training else "test_on_batch")
        feed = _whole(x, y, sample_weight, class_weight)
        self._prepare(feed.spec(), training, feed.batch_size)
        return evened(self._placed(), loop.trimmed(next(iter(feed.epoch(0)))))


def _backup_options(callbacks: CallbackList, resume: Any) -> BackupAndRestore | None:
    for callback in callbacks.callbacks:
        if isinstance(callback, BackupAndRestore):
            return callback
    if resume is None:
        return None
    return BackupAndRestore(resume, delete_checkpoint=False)


def _whole(x: Any, y: Any, sample_weight: Any, class_weight: Any) -> Any:
    """A feed of one batch with all samples."""
    leaves = [v for v in tree.flatten(x) if v is not None]
    first = leaves[0]  # a sparse matrix has no length, a list no shape
    shape = getattr(first, "shape", ()) or (len(first),)
    size = max(shape[0], 1)
    return adapt(
        x, y, sample_weight, batch_size=size, shuffle=False, class_weight=class_weight
    )
