"""What comes after the last stage: loss, metrics and the gradients that go back.

One program on one device. Of the model's variables it is given those alone that a loss
or a metric reads, which is found by tracing it once on shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from carnyx import tree
from carnyx._core.masks import set_mask
from carnyx._core.scope import State, scoped
from carnyx._core.variable import Variable
from carnyx._training.on_devices.flow import Flow, Passed, Values
from carnyx._training.on_devices.stages import Static, device_puts, is_float
from carnyx._training.state import HeldState


class Reads(State):
    """A state that remembers the ids of the variables that were read or written."""

    def __init__(self, values: Any = ()) -> None:
        super().__init__(values)
        self.seen: set[int] = set()

    def look(self, key: int) -> Any:
        self.seen.add(key)
        return super().look(key)

    def write(self, variable: Variable, value: Any) -> None:
        self.seen.add(id(variable))
        super().write(variable, value)


class Result(NamedTuple):
    """What a head gives.

    Attributes:
        logs: by name.
        metrics: their new states.
        changed: other variables that were assigned, by their place in `Head.used`.
        gradients: of outputs, losses, penalties and trainable variables in
            `Head.used`; None where there is none. Empty in evaluation.
    """

    logs: dict[str, Any]
    metrics: list[Any]
    changed: dict[int, Any]
    gradients: tuple[list[Any], ...]


class Head:
    """Loss and metrics of a model as one program.

    Args:
        flow: the stages before it.
        takes_x: whether the model's own loss or metrics look at the inputs; else they
            need not be moved.
    """

    def __init__(
        self, model: Any, held: HeldState, flow: Flow, device: Any, training: bool,
        takes_x: bool,
    ) -> None:  # fmt: skip
        self.model, self.device, self.training = model, device, training
        self.takes_x, self.flow = takes_x, flow
        self.regularized = [v for s in flow.stages for v in s.regularized]
        self.metrics: list[Variable] = held.parts.metrics_variables
        self.others: list[Variable] = held.training_variables
        self.trains = {id(v) for v in held.parts.trainable_variables}
        self.used: list[Variable] | None = None
        step = self._train if training else self._test
        self.program = jax.jit(step, donate_argnums=1)

    def __call__(
        self, passed: Passed, variables: Values, x: Any, y: Any, weights: Any
    ) -> Result:
        """Run behind a pass; `variables` has the newest value of every one."""
        outputs = [passed.tensors[id(t)] for t in self.flow.outputs]
        masks = [passed.masks.get(id(t)) for t in self.flow.outputs]
        if not self.takes_x:
            x = Static((v.shape, v.dtype) for v in tree.flatten(x))
        metrics = [variables[id(v)] for v in self.metrics]
        data = (
            outputs, masks, passed.losses(), passed.penalties(), x, y, weights
        )  # fmt: skip
        if self.used is None:
            self.used = self._find_used(variables, metrics, data, passed.adders())
        used = [variables[id(v)] for v in self.used]
        leaves, form = jax.tree_util.tree_flatten((used, metrics, data))
        used, metrics, data = jax.tree_util.tree_unflatten(
            form, device_puts(leaves, self.device)
        )
        return self.program(used, metrics, data, passed.adders())

    def _find_used(
        self, variables: Values, metrics: list[Any], data: Any, adders: Static
    ) -> list[Variable]:
        """Which of the model's variables the loss reads, or a metric."""
        seen: set[int] = set()

        def run(values: list[Any], metrics: list[Any], data: Any) -> None:
            state = Reads(zip(self.others, values, strict=True))
            _, loss, predicted = self._loss(state, metrics, data, adders)
            self._after(state, [], loss, predicted, data)
            seen.update(state.seen)

        values = [variables[id(v)] for v in self.others]
        jax.eval_shape(run, values, metrics, data)
        return [v for v in self.others if id(v) in seen]

    # ---- what is compiled --------------------------------------------------------

    def _loss(
        self, state: State, metrics: list[Any], data: Any, adders: Static
    ) -> tuple[Any, Any, Any]:
        """The loss to differentiate, the loss, and the predictions."""
        outputs, masks, losses, penalties, x, y, weights = data
        for variable, value in zip(self.metrics, metrics, strict=True):
            state.values[id(variable)] = value
            state.variables[id(variable)] = variable
        state.losses = list(zip(adders, losses, strict=True))
        state.penalties = {
            id(v): p for v, p in zip(self.regularized, penalties, strict=True)
        }
        with scoped(
            state=state, fast_gradients=self.training, device=None,
            platform=self.device.platform,
        ):  # fmt: skip
            for output, mask in zip(outputs, masks, strict=True):
                if mask is not None:
                    set_mask(output, mask)
            predicted = self.model._packed(outputs)
            loss = self.model._loss(_structs(x), y, predicted, weights, self.training)
            scaled = self.model.optimizer.scale_loss(loss) if self.training else loss
        return scaled, loss, predicted

    def _test(
        self, used: list[Any], metrics: list[Any], data: Any, adders: Static
    ) -> Result:
        state = State(zip(self.used or (), used, strict=True))
        _, loss, predicted = self._loss(state, metrics, data, adders)
        logs, metrics, changed = self._after(state, used, loss, predicted, data)
        return Result(logs, metrics, changed, ())

    def _train(
        self, used: list[Any], metrics: list[Any], data: Any, adders: Static
    ) -> Result:
        outputs, masks, losses, penalties, *rest = data
        variables = self.used or []
        flags = [is_float(v) for v in outputs]
        trains = [id(v) in self.trains for v in variables]

        def objective(
            outs: list, losses: list, penalties: list, trained: list
        ) -> tuple[Any, Any]:
            given = _merged(outs, outputs), masks, losses, penalties, *rest
            state = State(zip(variables, _merged(trained, used), strict=True))
            scaled, loss, predicted = self._loss(state, metrics, given, adders)
            return scaled, (loss, predicted, dict(state.values))

        gradient = jax.value_and_grad(objective, (0, 1, 2, 3), has_aux=True)
        (_, (loss, predicted, values)), gradients = gradient(
            _only(outputs, flags), losses, penalties, _only(used, trains)
        )
        state = State()
        state.values = values
        logs, metrics, changed = self._after(state, used, loss, predicted, data)
        return Result(logs, metrics, changed, gradients)

    def _after(
        self, state: State, used: list[Any], loss: Any, predicted: Any, data: Any
    ) -> tuple[dict[str, Any], list[Any], dict[int, Any]]:
        """Logs, and the new values of metrics and of what else was assigned."""
        *_, x, y, weights = data
        metrics = [state.values[id(v)] for v in self.metrics]
        with scoped(state=state, fast_gradients=self.training, device=None):
            logs, metrics = self.model._update_metrics(
                metrics, loss, _structs(x), y, predicted, weights
            )
        rows = zip(self.metrics, metrics, strict=True)
        metrics = [_as(value, variable.dtype) for variable, value in rows]
        changed = {
            i: _as(state.values[id(v)], v.dtype)
            for i, (v, old) in enumerate(zip(self.used or (), used, strict=True))
            if state.values[id(v)] is not old and id(v) not in self.trains
        }
        return logs, metrics, changed


def _structs(x: Any) -> Any:
    """Inputs of which only the shapes are known, as specs."""
    if isinstance(x, Static):
        return [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in x]
    return x


def _only(values: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    return [v if f else None for v, f in zip(values, flags, strict=True)]


def _merged(some: Sequence[Any], every: Sequence[Any]) -> list[Any]:
    pairs = zip(some, every, strict=True)
    return [other if value is None else value for value, other in pairs]


def _as(value: Any, dtype: str) -> Any:
    value = jnp.asarray(value)
    weak = getattr(value, "weak_type", False)
    return value.astype(dtype) if value.dtype != dtype or weak else value
