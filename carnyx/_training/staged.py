"""Steps of a model that runs as stages on several devices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax

from carnyx import tree
from carnyx._core.placement import peek_settled
from carnyx._core.scope import scoped
from carnyx._training.device_placement import DevicePlacement, OnDevices
from carnyx._training.flow import Passed, Values
from carnyx._training.heads import Head
from carnyx._training.outputs import unpack
from carnyx._training.placed_calls import pass_through
from carnyx._training.stages import device_puts
from carnyx._training.state import HeldState
from carnyx._training.updates import Updates


class _Staged:
    """What the programs of stages share with those of one device.

    Args:
        model: a model whose graph is placed.
        held: whose variables the values belong to.
    """

    compiled = True

    def __init__(self, model: Any, held: HeldState, placement: OnDevices) -> None:
        self.model, self.held, self.placement = model, held, placement

    def put(self, batch: Any, axis: int = 0) -> Any:
        """A batch (or a stack) on its way to the devices; here it stays as it is."""
        return batch

    def is_idle(self) -> bool:
        """Whether the device of the loss has done the last step that it was given."""
        values = self.held.store.values
        return not values or values[-1].is_ready()

    def steps_in_chunk(self, batch: Any) -> int:
        """Steps are not fused: a step is more than one program."""
        return 1

    def run_chunk(self, batches: Any, count: int) -> dict[str, Any]:
        """Run `count` steps, one after the other, on a stack of batches."""
        return self.start_chunk(self.put(batches, axis=1), count)

    def start_chunk(self, batches: Any, count: int) -> dict[str, Any]:
        """`run_chunk` on a stack that was put where the program wants it."""
        logs: dict[str, Any] = {}
        for i in range(count):
            logs = self(jax.tree_util.tree_map(lambda v, i=i: v[i], batches))
        return logs

    def __call__(self, batch: Any) -> dict[str, Any]:
        """Run one step; the store has the new values afterwards."""
        return self.start(self.put(batch))

    def start(self, batch: Any) -> dict[str, Any]:
        """Run one step on a batch that was put where the program wants it."""
        raise NotImplementedError


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
        with _on(here, self.op_by_op):
            flat, cut = device_puts(flat, here), len(trainable)
            outputs, new = self.step((flat[:cut], flat[cut:]), _moved(batch, here))
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


class WholeStep(_Staged):
    """A step that a class writes itself (or one that runs op by op), on several
    devices.

    It computes on the device of the loss, to which all variables are copied for as long
    as it runs; layers compute on theirs, and gradients go through. Numbers are right
    whatever the step does; what it does beside calling the model is not compiled.

    Args:
        step: `(state, batch) -> (logs, state)`.
        op_by_op: stages are not compiled either, for debugging.
    """

    def __init__(
        self, model: Any, held: HeldState, placement: OnDevices, step: Any,
        op_by_op: bool,
    ) -> None:  # fmt: skip
        super().__init__(model, held, placement)
        self.step, self.op_by_op = step, op_by_op
        self.compiled = not op_by_op

    def start(self, batch: Any) -> dict[str, Any]:
        store, here = self.held.store, self.placement.last
        with _on(here, self.op_by_op):
            values = device_puts(store.ready(), here)
            logs, state = self.step(self.held.split(values), _moved(batch, here))
            new = self.held.join(state)
        rows = zip(store.variables, new, strict=True)
        store.take([self.placement.place(v, value) for v, value in rows])
        return logs

    def compilations(self) -> int:
        """How many programs have been compiled; for tests."""
        programs = [p for s in self.placement.stages() for p in s.programs()]
        return sum(p._cache_size() for p in programs)


@contextlib.contextmanager
def _on(device: Any, op_by_op: bool) -> Iterator[None]:
    """What is computed outside of stages is computed there."""
    with scoped(device=device), jax.default_device(device), jax.disable_jit(op_by_op):
        yield


def _moved(batch: Any, device: Any) -> Any:
    leaves, form = jax.tree_util.tree_flatten(batch)
    return jax.tree_util.tree_unflatten(form, device_puts(leaves, device))


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
    op_by_op = model.run_eagerly
    plain = _is_plain(model, base, name, "compute_loss_and_updates")
    if op_by_op or not plain or not isinstance(placement, DevicePlacement):
        return WholeStep(model, held, placement, step, op_by_op)
    takes_x = not _same(model, base, "compute_loss", "compute_metrics")
    training = name == "train_step"
    return StagedProgram(model, held, placement, training, takes_x)


def staged_prediction(
    model: Any, base: type, step: Any, placement: OnDevices, op_by_op: bool
) -> StagedPrediction:
    """The program of `predict_step`."""
    plain = not op_by_op and _is_plain(model, base, "predict_step")
    return StagedPrediction(model, placement, None if plain else step, op_by_op)


def _is_plain(model: Any, base: type, *names: str) -> bool:
    """Whether the model does nothing but what its graph and `compile` say."""
    calls = model._calls_graph() and model.activity_regularizer is None
    return calls and _same(model, base, *names)


def _same(model: Any, base: type, *names: str) -> bool:
    return all(getattr(type(model), n) is getattr(base, n) for n in names)
