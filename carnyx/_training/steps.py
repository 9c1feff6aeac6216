"""`Steps`: what a step computes, and the metrics that it updates."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from carnyx import config, tree
from carnyx._checks.watched import watched_step
from carnyx._core.scope import pure
from carnyx._core.traces import assign_carried, carrying
from carnyx._data import three_parts
from carnyx._training import stateful_steps
from carnyx._training.compile import Compiled
from carnyx._training.overrides import call_override
from carnyx._training.state import TrainState
from carnyx.errors import ArgumentError, NotCompiledError, ShapeError
from carnyx.layers._children import owned
from carnyx.metrics import Metric
from carnyx.typing import Tensor, Tensors


class Steps:
    """What a step of training or evaluation computes; models may override it."""

    optimizer: Any = None
    _compiled: Compiled | None = None

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
        """The loss's running mean, the metrics of `compile`, each output's loss, then
        the layers' metrics."""
        found: list[Any] = []
        compiled = self._compiled
        if compiled is not None:
            found.append(compiled.loss_tracker)
            if compiled.metrics is not None:
                found.append(compiled.metrics)
            if compiled.loss is not None:
                found += compiled.loss.metrics
        return found + self._layers_metrics()

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
        self,
        x: Tensors,
        y: Tensors,
        y_pred: Tensor,
        sample_weight: Tensor | None = None,
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
            with watched_step(self, self._compiled):
                y_pred = self._predictions(x, training)
                loss = self._loss(x, y, y_pred, sample_weight, training)
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

    def _predictions(self, x: Any, training: bool) -> Any:
        """What the model gives for a batch."""
        y_pred = self(x, training=training)  # type: ignore[operator]
        if y_pred is None:
            raise ArgumentError(
                f"call() of {type(self).__name__} {self.name!r} returned None. End it "  # type: ignore[attr-defined]
                "with `return outputs`."
            )
        return y_pred

    def _loss(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool
    ) -> Any:
        """`compute_loss`, also one that was written before it took `training`."""
        loss = call_override(
            self.compute_loss,
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training,
        )  # fmt: skip
        if loss is None:
            raise ArgumentError(
                f"compute_loss() of {type(self).__name__} {self.name!r} returned "  # type: ignore[attr-defined]
                "None. End it with `return loss`."
            )
        if training and jnp.ndim(loss):
            raise ShapeError(
                f"The loss of {type(self).__name__} {self.name!r} has shape "  # type: ignore[attr-defined]
                f"{jnp.shape(loss)}; training minimises one number. Take its mean, or "
                "give the loss a reduction such as 'sum_over_batch_size'."
            )
        return loss

    def train_step(self, state: Tensors, data: Tensors) -> tuple[dict[str, Any], Any]:
        """One step of training as a pure function: `(logs, new state)`.

        `state` is `(trainable_variables, non_trainable_variables,
        optimizer_variables, metrics_variables)`, lists of arrays; `data` a batch.

        A class may write `train_step(self, data)` instead: it computes with layers,
        takes gradients with `value_and_grad`, applies optimizers (as many as it keeps
        in attributes), updates metrics and returns logs. `test_step` and
        `predict_step` may have that form, too.
        """
        return self._usual_step(
            state, data, self.optimizer.stateless_apply, self._update_metrics
        )

    def _usual_step(
        self, state: Any, data: Any, apply: Any, update: Any
    ) -> tuple[dict[str, Any], Any]:
        """`train_step` by these two: how gradients are applied, metrics updated."""
        x, y, sample_weight = three_parts(data)
        trainable, buffers, slots, metrics = state
        objective = carrying(self.compute_loss_and_updates)
        (_, aux), gradients = jax.value_and_grad(objective, has_aux=True)(
            trainable, buffers, metrics, x, y, sample_weight,
            training=True, optimizer_variables=slots,
        )  # fmt: skip
        loss, y_pred, buffers, metrics = assign_carried(aux)
        trainable, slots = apply(slots, gradients, trainable)
        logs, metrics = update(metrics, loss, x, y, y_pred, sample_weight)
        return logs, TrainState(trainable, buffers, slots, metrics)

    def test_step(self, state: Any, data: Tensors) -> tuple[dict[str, Any], Any]:
        """One step of evaluation: `(logs, new state)`.

        `state` is `(trainable_variables, non_trainable_variables,
        metrics_variables)`.
        """
        x, y, sample_weight = three_parts(data)
        trainable, buffers, metrics = state
        _, (loss, y_pred, buffers, metrics) = self.compute_loss_and_updates(
            trainable, buffers, metrics, x, y, sample_weight, training=False
        )
        logs, metrics = self._update_metrics(metrics, loss, x, y, y_pred, sample_weight)
        return logs, (trainable, buffers, metrics)

    def predict_step(self, state: Any, data: Tensors) -> tuple[Any, Any]:
        """The outputs for a batch: `(outputs, non_trainable_variables)`."""
        x, _, _ = three_parts(data)
        parts = self.trainable_variables, self.non_trainable_variables  # type: ignore[attr-defined]
        # what layers add to metrics of their own is forgotten, as in Keras
        states = [v for metric in self._layers_metrics() for v in metric.variables]
        run = pure(
            lambda: self._predictions(x, training=False),
            [*parts[0], *parts[1], *states],
        )
        outputs, new = run([*state[0], *state[1], *(v.peek() for v in states)])
        return outputs, new[len(parts[0]) : len(parts[0]) + len(parts[1])]

    def _layers_metrics(self) -> list[Any]:
        layers = self._flatten_layers()  # type: ignore[attr-defined]
        return [metric for layer in layers for metric in owned(layer, (Metric,))]

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
        return stateful_steps.value_and_grad(self, fn, variables, has_aux)

    def _update_metrics(
        self, values: Any, loss: Any, x: Any, y: Any, y_pred: Any, sample_weight: Any
    ) -> tuple[dict[str, Any], list[Any]]:
        def update() -> dict[str, Any]:
            tracker = self._need_compiled("fit").loss_tracker
            # an optional input may be None
            first = next(leaf for leaf in tree.flatten(x) if leaf is not None)
            tracker.update_state(loss, sample_weight=first.shape[0])
            return self.compute_metrics(x, y, y_pred, sample_weight)

        logs, values = pure(update, self.metrics_variables)(values)
        return logs, values
