"""Steps of a model that runs as stages on several devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from carnyx._core.compilations import compilations
from carnyx._core.placement import peek_settled
from carnyx._core.scope import scoped
from carnyx._core.traces import Variants
from carnyx._core.variable import Variable
from carnyx._data import three_parts
from carnyx._training.stages.arrays import Values, device_puts, moved_to
from carnyx._training.stages.calls import through_stages
from carnyx._training.stages.executor import Executor, Run
from carnyx._training.stages.loss_stage import LossStage
from carnyx._training.stages.microbatches import (
    StagedBatch,
    shapes_of,
    split_columns,
)
from carnyx._training.stages.optimizer_step import OptimizerStep
from carnyx._training.stages.whole_step import (
    OnDevicesProgram,
    WholeStep,
    on_device,
    step_in_parts,
)
from carnyx._training.state import HeldState
from carnyx._training.steps import Steps

if TYPE_CHECKING:
    from carnyx._training.stages.placements import GraphPlacement, OnDevices


class StagedProgram(OnDevicesProgram):
    """A step of training or evaluation through stages.

    Every stage is a program, and so are the loss with the metrics, and what the
    optimizer does on each device. They are handed over without waiting.
    """

    def __init__(
        self, model: Any, held: HeldState, placement: GraphPlacement, training: bool
    ) -> None:
        super().__init__(model, held, placement)
        self.training, self.graph_placement = training, placement
        self.frozen = model._compiled.frozen
        self._entries = self.executor.entries
        self._loss_stages = Variants(
            lambda: LossStage(model, held, placement.last, training)
        )
        self._updates = Variants(
            lambda: OptimizerStep(
                model.optimizer,
                held.parts.trainable_variables,
                placement.home_of,
                placement.last,
            )  # fmt: skip
        )

    @property
    def executor(self) -> Executor:
        """Of the stages, for attributes as they are."""
        with scoped(frozen=self.frozen):
            return self.graph_placement.executor()

    def put(self, batch: Any, axis: int = 0) -> Any:
        """A batch in microbatches, each array on the device that reads it first, the
        rest where the loss is; a stack of batches stays where it is."""
        if axis or isinstance(batch, StagedBatch):
            return batch
        x, y, weights = three_parts(batch)
        inputs, last = self.model._flat_inputs(x), self.placement.last
        sizes = self.graph_placement.sizes_of(inputs, self.training)
        rows = zip(*split_columns(inputs, sizes), strict=True)
        columns = [
            device_puts(column, device or last)
            for column, device in zip(rows, self._entries, strict=True)
        ]
        parts = [list(row) for row in zip(*columns, strict=True)]
        y, weights = moved_to((y, weights), last)
        shapes = shapes_of((x, y, weights))
        return StagedBatch(parts, x, y, weights, tuple(sizes or (1,)), shapes)

    def step_on(self, batch: StagedBatch) -> dict[str, Any]:
        with scoped(frozen=self.frozen):
            return self._step_on(batch)

    def _step_on(self, batch: StagedBatch) -> dict[str, Any]:
        store, placement = self.held.store, self.graph_placement
        values: Values = dict(zip(store.variables, store.ready(), strict=True))
        run = Run(
            placement.executor(), values, batch.inputs, training=self.training,
            gradient=self.training,
        ).forward()  # fmt: skip
        values |= run.changed
        result = self._loss_stages.now()(run, values, batch)
        moved = run.changed | result.values
        values |= {v: placement.place(v, value) for v, value in moved.items()}
        if self.training:
            gradients = run.backward(result.ends)
            for variable, gradient in result.gradients.items():
                gradients[variable] = (*gradients.get(variable, ()), gradient)
            new = self._updates.now()(values, gradients)
            for variable in new.keys() - values.keys():  # of nobody
                variable.assign(new[variable])
            values |= new
        store.take([values[v] for v in store.variables])
        return result.logs

    def _parts(self) -> list[Any]:
        """All that has programs, and traces of its own."""
        stages = [s for e in self.graph_placement.executors for s in e.stages]
        updates = self._updates.all if self.training else []
        return [*stages, *self._loss_stages.all, *updates]

    def captured(self) -> list[Variable]:
        return [v for part in self._parts() for v in part.traces.captured]

    def programs(self) -> list[Any]:
        zeros = [z for e in self.graph_placement.executors for z in e.zero_programs]
        return [*zeros, *(p for part in self._parts() for p in part.programs())]


class StagedPrediction:
    """The outputs of a model on several devices.

    Args:
        run: from a batch to the outputs.
        key: of what it is made: whether it runs op by op, the placement, its stages.
    """

    def __init__(
        self, run: Callable[[Any], Any], placement: OnDevices, op_by_op: bool
    ) -> None:
        self.run, self.placement = run, placement
        self.compiled = not op_by_op
        self.stages = placement.stages()
        self.key: Any = None  # under which it is known to fit

    def __call__(self, batch: Any) -> Any:
        return self.run(batch)

    def fits(self, variables: Any, eager: bool, placement: Any) -> bool:
        """Whether it is for these variables, on these devices."""
        same = eager is not self.compiled and placement is self.placement
        return same and self.stages == self.placement.stages()

    def compilations(self) -> int:
        """How many programs have been compiled; for tests."""
        return compilations(p for s in self.stages for p in s.programs())


def on_one_device(
    model: Any, placement: OnDevices, step: Any, op_by_op: bool
) -> Callable[[Any], Any]:
    """Prediction by a step that computes on one device, with layers on theirs.

    Args:
        step: `((trainable, non_trainable), batch) -> (outputs, non_trainable)`.
    """
    trainable, buffers = model.trainable_variables, model.non_trainable_variables

    def run(batch: Any) -> Any:
        here, cut = placement.last, len(trainable)
        flat = peek_settled(placement, [*trainable, *buffers])
        with on_device(here, op_by_op):
            flat = device_puts(flat, here)
            outputs, new = step((flat[:cut], flat[cut:]), moved_to(batch, here))
        for variable, old, value in zip(buffers, flat[cut:], new, strict=True):
            if value is not old:
                variable.assign(value)
        return outputs

    return run


# ---- which program a model needs -------------------------------------------------


def staged_step(
    model: Any, name: str, step: Any, held: HeldState, placement: OnDevices
) -> OnDevicesProgram:
    """The program of `train_step` or `test_step`.

    Args:
        step: `(state, batch) -> (logs, state)`.
    """
    op_by_op = not model.jit_compile
    usual = _usual(model, name, "compute_loss_and_updates")
    graph_placement = placement.of_graph()
    plain = usual and model._plain_graph() is not None
    if op_by_op or graph_placement is None or not plain:
        if usual and name == "train_step" and not op_by_op:
            step = step_in_parts(model, held)
        return WholeStep(model, held, placement, step, op_by_op)
    return StagedProgram(model, held, graph_placement, name == "train_step")


def staged_prediction(
    model: Any, step: Any, placement: OnDevices, op_by_op: bool
) -> StagedPrediction:
    """The program of `predict_step`."""
    graph_placement = placement.of_graph()
    usual = _usual(model, "predict_step") and model._plain_graph() is not None
    if op_by_op or graph_placement is None or not usual:
        run = on_one_device(model, placement, step, op_by_op)
        return StagedPrediction(run, placement, op_by_op)

    def through(batch: Any) -> Any:
        inputs = model._flat_inputs(three_parts(batch)[0])
        passed = through_stages(graph_placement, inputs)
        return model._packed(passed.joined(placement.last)[0])

    return StagedPrediction(through, placement, op_by_op)


def _usual(model: Any, *names: str) -> bool:
    """Whether the model's class computes these as every model does."""
    return all(getattr(type(model), n) is getattr(Steps, n) for n in names)
