"""What comes after the last stage: loss and metrics of the whole batch, computed by the
model's own methods, and the gradients that go back.

One program on one device for each form of batch. Of the model's variables it is given
those that its loss or a metric reads, of the inputs likewise, which tracing it on
shapes shows; what was found belongs to that form, as another may read others.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from carnyx._core.masks import set_mask
from carnyx._core.scope import State, scoped
from carnyx._core.traces import assign_carried, carrying
from carnyx._core.variable import Variable
from carnyx._costs.flops import is_literal
from carnyx._training.stages.arrays import (
    Values,
    device_puts,
    is_float,
    moved_to,
    spec_of,
)
from carnyx._training.stages.executor import Gradients, Run
from carnyx._training.stages.loss_values import Arrivals, Form, Needs, Result
from carnyx._training.stages.microbatches import (
    StagedBatch,
    added_losses,
    joined_rows,
    mean_of_parts,
)
from carnyx._training.stages.traced import Traced
from carnyx._training.state import HeldState


class LossStage(Traced):
    """Loss and metrics of a model as programs.

    Args:
        device: where it runs.
        training: whether gradients are wanted.
    """

    def __init__(
        self, model: Any, held: HeldState, device: Any, training: bool
    ) -> None:
        super().__init__(device, "loss")
        self.model, self.training = model, training
        self.metrics: list[Variable] = held.parts.metrics_variables
        self.others: list[Variable] = held.training_variables
        self.trains = set(held.parts.trainable_variables)
        self._needs: dict[Any, Needs] = {}

    def __call__(self, run: Run, values: Values, batch: StagedBatch) -> Result:
        """Run behind the stages; `values` has the newest value of every variable."""
        arrivals, form = self._arrivals(run, batch)
        needs = self._needs_of(arrivals, form, values)
        leaves = jax.tree_util.tree_leaves(batch.x)
        x = [v if read else None for v, read in zip(leaves, needs.inputs, strict=True)]
        used = device_puts([values[v] for v in needs.variables], self.device)
        metrics = device_puts([values[v] for v in self.metrics], self.device)
        arrivals, x = moved_to((arrivals, x), self.device)
        logs, metrics, changed, ends, trained = self.run(
            self._train if self.training else self._test,
            used, metrics, arrivals, x, options=(needs.variables, form), donate=1,
        )  # fmt: skip
        new = dict(zip(self.metrics, metrics, strict=True))
        new |= {needs.variables[i]: value for i, value in changed.items()}
        pairs = zip(needs.variables, trained, strict=False)
        gradients = {v: value for v, value in pairs if value is not None}
        return Result(logs, new, ends, gradients)

    @staticmethod
    def _arrivals(run: Run, batch: StagedBatch) -> tuple[Arrivals, Form]:
        rows = [microbatch.outcomes for microbatch in run.microbatches]
        ends = [run.outputs(i) for i in range(len(rows))]
        arrivals = Arrivals(
            [values for values, _ in ends],
            [masks for _, masks in ends],
            [[outcome.losses for outcome in row] for row in rows],
            [[outcome.penalties for outcome in row] for row in rows],
            batch.y,
            batch.weights,
        )
        leaves, x_form = jax.tree_util.tree_flatten(batch.x)
        adders = tuple(tuple(o.adders for o in row) for row in rows)
        x = x_form, tuple((v.shape, v.dtype) for v in leaves)
        stages = run.executor.stages
        form = Form(adders, batch.sizes, x, tuple(s.regularized for s in stages))
        return arrivals, form

    def _needs_of(self, arrivals: Arrivals, form: Form, values: Values) -> Needs:
        leaves, definition = jax.tree_util.tree_flatten(arrivals)
        key = definition, form, tuple((v.shape, v.dtype) for v in leaves)
        if key not in self._needs:
            specs = jax.tree_util.tree_map(spec_of, arrivals)
            look = functools.partial(self._look, specs, form, values)
            self._needs[key] = self.traces.until_known(look)
        return self._needs[key]

    def _look(self, arrivals: Arrivals, form: Form, values: Values) -> Needs:
        """See what a batch of this form needs, on shapes."""

        def look(others: list, metrics: list, arrivals: Arrivals, x: list) -> Any:
            state = State(zip(self.others, others, strict=True))
            scaled, *rest = self._loss(state, metrics, arrivals, x, form)
            after = self._after(state, self.others, others, arrivals, x, form, *rest)
            return scaled, after

        x = [jax.ShapeDtypeStruct(*spec) for spec in form.x[1]]
        captured, others, metrics = (
            list(map(spec_of, values))
            for values in (
                self.traces.captured,
                [values[v] for v in self.others],
                [values[v] for v in self.metrics],
            )
        )
        trace = jax.make_jaxpr(self.traced(look), return_shape=True)
        closed, found = trace(captured, others, metrics, arrivals, x)
        (_, (_, _, changed)), _ = found
        reads = _read_inputs(closed.jaxpr)
        first = len(captured)
        used = [
            variable
            for i, variable in enumerate(self.others)
            if reads[first + i] or i in changed
        ]
        return Needs(tuple(used), reads[len(reads) - len(x) :])

    # ---- what is compiled --------------------------------------------------------

    def _loss(
        self, state: State, metrics: list[Any], arrivals: Arrivals, x: list, form: Form
    ) -> tuple[Any, Any, Any]:
        """The loss to differentiate, the loss, and the predictions."""
        for variable, value in zip(self.metrics, metrics, strict=True):
            state.values[variable] = value
            state.writable.add(variable)
        self._take_losses(state, arrivals, form)
        with scoped(
            state=state, fast_gradients=self.training, device=None,
            platform=self.device.platform,
        ):  # fmt: skip
            outputs = joined_rows(arrivals.outputs)
            masks = joined_rows(arrivals.masks)
            for output, mask in zip(outputs, masks, strict=True):
                if mask is not None:
                    set_mask(output, mask)
            predicted = self.model._packed(outputs)
            loss = self.model._loss(
                _filled(x, form), arrivals.y, predicted, arrivals.weights, self.training
            )
            scaled = self.model.optimizer.scale_loss(loss) if self.training else loss
        return scaled, loss, predicted

    def _take_losses(self, state: State, arrivals: Arrivals, form: Form) -> None:
        """What layers have added, and regularizers found, in the stages."""
        rows = [
            [
                pair
                for pairs in zip(adders, losses, strict=True)
                for pair in zip(*pairs, strict=True)
            ]
            for adders, losses in zip(form.adders, arrivals.losses, strict=True)
        ]
        state.losses = added_losses(rows, form.sizes)
        for number, variables in enumerate(form.regularized):
            columns = zip(*(row[number] for row in arrivals.penalties), strict=True)
            for variable, parts in zip(variables, columns, strict=True):
                state.penalties[variable] = mean_of_parts(parts, form.sizes)

    def _state(self, used: Sequence[Variable], values: Sequence[Any]) -> State:
        """The values of those that are used; nothing depends on the others'."""
        known = dict(zip(used, values, strict=True))
        return State(
            (v, known[v] if v in known else jnp.zeros(v.shape, v.dtype))
            for v in self.others
        )

    def _test(
        self, values: list, metrics: list, arrivals: Arrivals, x: list,
        used: tuple[Variable, ...], form: Form,
    ) -> tuple:  # fmt: skip
        state = self._state(used, values)
        _, *rest = self._loss(state, metrics, arrivals, x, form)
        found = self._after(state, used, values, arrivals, x, form, *rest)
        return *found, [], []

    def _train(
        self, values: list, metrics: list, arrivals: Arrivals, x: list,
        used: tuple[Variable, ...], form: Form,
    ) -> tuple:  # fmt: skip
        held: list[Any] = []

        def objective(outs: list, losses: list, penalties: list, trained: list) -> Any:
            given = arrivals._replace(
                outputs=list(map(_merged, outs, arrivals.outputs)),
                losses=losses, penalties=penalties,
            )  # fmt: skip
            state = self._state(used, _merged(trained, values))
            scaled, *rest = self._loss(state, metrics, given, x, form)
            held[:] = state.values
            return scaled, (rest, list(state.values.values()))

        floats = [[v if is_float(v) else None for v in row] for row in arrivals.outputs]
        pairs = zip(used, values, strict=True)
        trained = [value if v in self.trains else None for v, value in pairs]
        gradient = jax.value_and_grad(carrying(objective), (0, 1, 2, 3), has_aux=True)
        (_, aux), (*back, trained) = gradient(
            floats, arrivals.losses, arrivals.penalties, trained
        )
        rest, after = assign_carried(aux)
        state = State()
        state.values.update(zip(held, after, strict=True))
        found = self._after(state, used, values, arrivals, x, form, *rest)
        return *found, list(map(Gradients, *back)), trained

    def _after(
        self, state: State, used: Sequence[Variable], values: list,
        arrivals: Arrivals, x: list, form: Form, loss: Any, predicted: Any,
    ) -> tuple[dict[str, Any], list[Any], dict[int, Any]]:  # fmt: skip
        """Logs, and the new values of metrics and of what else was assigned."""
        metrics = [state.values[v] for v in self.metrics]
        y, weights = arrivals.y, arrivals.weights
        with scoped(state=state, fast_gradients=self.training, device=None):
            logs, metrics = self.model._update_metrics(
                metrics, loss, _filled(x, form), y, predicted, weights
            )
        rows = zip(self.metrics, metrics, strict=True)
        metrics = [_as(value, variable.dtype) for variable, value in rows]
        changed = {
            i: _as(state.values[v], v.dtype)
            for i, (v, old) in enumerate(zip(used, values, strict=True))
            if state.values[v] is not old and v not in self.trains
        }
        return logs, metrics, changed


def _filled(x: list[Any], form: Form) -> Any:
    """The inputs in their tree; those that nothing looks at need not be there."""
    definition, specs = form.x
    pairs = zip(x, specs, strict=True)
    leaves = [jnp.zeros(*spec) if v is None else v for v, spec in pairs]
    return jax.tree_util.tree_unflatten(definition, leaves)


def _read_inputs(jaxpr: Any) -> list[bool]:
    """Which inputs of a traced function its outputs (or its effects) depend on."""
    live = {v for v in jaxpr.outvars if not is_literal(v)}
    for equation in reversed(jaxpr.eqns):
        if equation.effects or any(v in live for v in equation.outvars):
            live |= {v for v in equation.invars if not is_literal(v)}
    return [v in live for v in jaxpr.invars]


def _merged(some: Sequence[Any], every: Sequence[Any]) -> list[Any]:
    pairs = zip(some, every, strict=True)
    return [other if value is None else value for value, other in pairs]


def _as(value: Any, dtype: str) -> Any:
    value = jnp.asarray(value)
    weak = getattr(value, "weak_type", False)
    return value.astype(dtype) if value.dtype != dtype or weak else value
