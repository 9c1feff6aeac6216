"""Steps of a model that runs as stages on several devices."""

from __future__ import annotations

from typing import Any

import jax

from carnyx import tree
from carnyx._core.placement import peek_settled
from carnyx._training.on_devices.device_placement import DevicePlacement, OnDevices
from carnyx._training.on_devices.flow import Passed, Values
from carnyx._training.on_devices.heads import Head
from carnyx._training.on_devices.placed_calls import pass_through
from carnyx._training.on_devices.stages import device_puts
from carnyx._training.on_devices.updates import Updates
from carnyx._training.on_devices.whole_step import (
    WholeStep,
    _Staged,
    moved_to,
    on_device,
    step_in_parts,
)
from carnyx._training.outputs import unpack
from carnyx._training.state import HeldState


class StagedProgram(_Staged):
    """A step of training or evaluation on several devices.

    Every stage is a program, and so are the loss with the metrics, and what the
    optimizer does on each device. They are handed over without waiting.

    Args:
        takes_x: whether the model's own loss or metrics look at the inputs.
    """

    def __init__(
        self, model: Any, held: HeldState, placement: DevicePlacement, training: bool,
        takes_x: bool,
    ) -> None:  # fmt: skip
        super().__init__(model, held, placement)
        self.training = training
        self.flow = placement.flow()
        self.head = Head(model, held, self.flow, placement.last, training, takes_x)
        self.ids = [id(v) for v in held.store.variables]
        self.places = {key: i for i, key in enumerate(self.ids)}
        self.updates: Updates | None = None

    def put(self, batch: Any, axis: int = 0) -> Any:
        """A batch on its way: inputs to the stages that take them first, the rest to
        where the loss is; a stack of batches stays where it is."""
        x, y, weights = unpack(batch)
        if axis:
            return batch
        last = self.placement.last
        if not isinstance(x, dict) and len(tree.flatten(x)) == len(self.flow.devices):
            leaves = zip(tree.flatten(x), self.flow.devices, strict=True)
            moved = [device_puts([v], last if d is None else d)[0] for v, d in leaves]
            x = tree.pack_sequence_as(x, moved)
        leaves, form = jax.tree_util.tree_flatten((y, weights))
        y, weights = jax.tree_util.tree_unflatten(form, device_puts(leaves, last))
        return (x, y, weights)[: len(batch)] if isinstance(batch, tuple) else x

    def start(self, batch: Any) -> dict[str, Any]:
        store, training = self.held.store, self.training
        values: Values = dict(zip(self.ids, store.ready(), strict=True))
        x, y, weights = unpack(batch)
        inputs = self.model._flat_inputs(x)
        if training and self.updates is None:  # before anything is donated
            self.updates = self._made_updates()
        passed = self.flow.forward(
            values, inputs, None, training, gradient=training, fast=False
        )
        values |= passed.changed
        pass_through(self.model, self.flow, passed)
        result = self.head(passed, values, x, y, weights)
        values |= zip(map(id, self.head.metrics), result.metrics)
        used = self.head.used or []
        values |= {id(used[i]): value for i, value in result.changed.items()}
        if training:
            self._learn(passed, values, result.gradients)
        for key in (*passed.changed, *(id(used[i]) for i in result.changed)):
            variable = store.variables[self.places[key]]
            values[key] = self.placement.place(variable, values[key])
        store.take([values[key] for key in self.ids])
        if self.updates is not None:
            self.updates.remember(dict(zip(self.ids, store.values, strict=True)))
        return result.logs

    def _learn(
        self, passed: Passed, values: Values, ends: tuple[list[Any], ...]
    ) -> None:
        outputs, losses, penalties, trained = ends
        gradients = self.flow.backward(passed, outputs, losses, penalties)
        for variable, gradient in zip(self.head.used or (), trained, strict=True):
            if gradient is not None:
                known = gradients.get(id(variable), ())
                gradients[id(variable)] = (*known, gradient)
        assert self.updates is not None
        values |= self.updates(values, gradients)

    def _made_updates(self) -> Updates:
        place, trainable = self.placement, self.held.parts.trainable_variables
        return Updates(self.model.optimizer, trainable, place.home_of, place.last)

    def compilations(self) -> int:
        """How many programs have been compiled; for tests."""
        programs = [p for s in self.flow.stages for p in s.programs()]
        programs.append(self.head.program)
        for share in self.updates.shares if self.updates is not None else ():
            programs += [share.ask, share.update]
        return sum(p._cache_size() for p in programs)


class StagedPrediction:
    """The outputs of a model on several devices.

    Args:
        step: a `predict_step` that a class writes itself, as
            `((trainable, non_trainable), batch) -> (outputs, non_trainable)`. It runs
            as a `WholeStep` does.
    """

    compiled = True

    def __init__(
        self, model: Any, placement: OnDevices, step: Any = None,
        op_by_op: bool = False,
    ) -> None:  # fmt: skip
        self.model, self.placement = model, placement
        self.step, self.op_by_op = step, op_by_op
        self.compiled = not op_by_op
        self.stages = placement.stages()
        every = {id(v): v for s in self.stages for v in (*s.trainable, *s.buffers)}
        self.variables = list(every.values())
        self.parts = model.trainable_variables, model.non_trainable_variables
        self.key: Any = None

    def __call__(self, batch: Any) -> Any:
        if self.step is not None or not isinstance(self.placement, DevicePlacement):
            return self._whole(batch)
        flow = self.placement.flow()
        values = peek_settled(self.placement, self.variables)
        known = dict(zip(map(id, self.variables), values, strict=True))
        inputs = self.model._flat_inputs(unpack(batch)[0])
        passed = flow.forward(known, inputs, None, False)
        pass_through(self.model, flow, passed)
        for variable in self.variables:
            if id(variable) in passed.changed:
                variable.assign(passed.changed[id(variable)])
        return self.model._packed([passed.tensors[id(t)] for t in flow.outputs])

    def _whole(self, batch: Any) -> Any:
        here, (trainable, buffers) = self.placement.last, self.parts
        flat = peek_settled(self.placement, [*trainable, *buffers])
        with on_device(here, self.op_by_op):
            flat, cut = device_puts(flat, here), len(trainable)
            outputs, new = self.step((flat[:cut], flat[cut:]), moved_to(batch, here))
        for variable, old, value in zip(buffers, flat[cut:], new, strict=True):
            if value is not old:
                variable.assign(value)
        return outputs

    def fits(self, variables: Any, eager: bool, placement: Any) -> bool:
        """Whether it is for these variables, on these devices."""
        return (
            eager is self.op_by_op
            and placement is self.placement
            and self.stages == self.placement.stages()
        )

    def compilations(self) -> int:
        """How many programs have been compiled; for tests."""
        programs = [p for s in self.stages for p in s.programs()]
        return sum(p._cache_size() for p in programs)


# ---- which program a model needs -------------------------------------------------


def staged_step(
    model: Any, base: type, name: str, step: Any, held: HeldState,
    placement: OnDevices,
) -> _Staged:  # fmt: skip
    """The program of `train_step` or `test_step`.

    Args:
        base: the class whose steps are known; a model may override them.
        step: `(state, batch) -> (logs, state)`.
    """
    op_by_op = not model.jit_compile
    usual = _same(model, base, name, "compute_loss_and_updates")
    plain = usual and _is_plain(model)
    if op_by_op or not plain or not isinstance(placement, DevicePlacement):
        if usual and name == "train_step" and not op_by_op:
            step = step_in_parts(model, held)
        return WholeStep(model, held, placement, step, op_by_op)
    takes_x = not _same(model, base, "compute_loss", "compute_metrics")
    training = name == "train_step"
    return StagedProgram(model, held, placement, training, takes_x)


def staged_prediction(
    model: Any, base: type, step: Any, placement: OnDevices, op_by_op: bool
) -> StagedPrediction:
    """The program of `predict_step`."""
    plain = not op_by_op and _is_plain(model) and _same(model, base, "predict_step")
    return StagedPrediction(model, placement, None if plain else step, op_by_op)


def _is_plain(model: Any) -> bool:
    """Whether a call of the model is that of its graph, and nothing else."""
    return model._calls_graph() and model.activity_regularizer is None


def _same(model: Any, base: type, *names: str) -> bool:
    return all(getattr(type(model), n) is getattr(base, n) for n in names)
