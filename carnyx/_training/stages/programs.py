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


class Engine:
    """What a step is made of, for attributes as they are.

    Attributes:
        executor: of the stages.
        loss_stage: behind them.
        optimizer_step: None in evaluation.
    """

    def __init__(
        self, model: Any, held: HeldState, placement: GraphPlacement, training: bool
    ) -> None:
        self.executor = placement.executor()
        ends = self.executor, placement.last, training
        self.loss_stage = LossStage(model, held, *ends)
        self.optimizer_step: OptimizerStep | None = None
        if training:
            self.optimizer_step = OptimizerStep(
                model.optimizer, held.parts.trainable_variables,
                placement.home_of, placement.last,
            )  # fmt: skip

    @property
    def traces(self) -> Engine:
        """What its programs have read; see `Variants`."""
        return self

    def hold(self) -> bool:
        """Whether what was read from attributes is still what it was."""
        step = self.optimizer_step
        holds = self.executor.hold() and self.loss_stage.traces.hold()
        return holds and (step is None or step.traces.hold())

    def captured(self) -> list[Variable]:
        """Variables of nobody that it reads or assigns."""
        step = self.optimizer_step
        traces = [stage.traces for stage in self.executor.stages]
        traces += [self.loss_stage.traces, *([] if step is None else [step.traces])]
        return [v for one in traces for v in one.captured]

    def programs(self) -> list[Any]:
        """The compiled functions, so far."""
        step = self.optimizer_step
        found = [*self.executor.programs(), *self.loss_stage.programs()]
        return found + ([] if step is None else step.programs())


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
        with scoped(frozen=self.frozen):
            self._engines = Variants(lambda: Engine(model, held, placement, training))

    @property
    def executor(self) -> Executor:
        """Of the stages, as they were first."""
        return self._engines.all[0].executor

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
            for column, device in zip(rows, self.executor.entries, strict=True)
        ]
        parts = [list(row) for row in zip(*columns, strict=True)]
        y, weights = moved_to((y, weights), last)
        shapes = shapes_of((x, y, weights))
        return StagedBatch(parts, x, y, weights, tuple(sizes or (1,)), shapes)

    def step_on(self, batch: StagedBatch) -> dict[str, Any]:
        with scoped(frozen=self.frozen):
            return self._start(self._engines.now(), batch)

    def _start(self, engine: Engine, batch: StagedBatch) -> dict[str, Any]:
        store, placement = self.held.store, self.placement
        values: Values = dict(zip(store.variables, store.ready(), strict=True))
        run = Run(
            engine.executor, values, batch.inputs, training=self.training,
            gradient=self.training,
        ).forward()  # fmt: skip
        values |= run.changed
        result = engine.loss_stage(run, values, batch)
        moved = run.changed | result.values
        values |= {v: placement.place(v, value) for v, value in moved.items()}
        if engine.optimizer_step is not None:
            gradients = run.backward(result.ends)
            for variable, gradient in result.gradients.items():
                gradients[variable] = (*gradients.get(variable, ()), gradient)
            new = engine.optimizer_step(values, gradients)
            for variable in new.keys() - values.keys():  # of nobody
                variable.assign(new[variable])
            values |= new
        store.take([values[v] for v in store.variables])
        return result.logs

    def captured(self) -> list[Variable]:
        return [v for engine in self._engines.all for v in engine.captured()]

    def programs(self) -> list[Any]:
        return [p for engine in self._engines.all for p in engine.programs()]


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


def through_stages(model: Any, placement: GraphPlacement) -> Callable[[Any], Any]:
    """Prediction as a chain of stages."""
    variables = placement.executor().variables

    def run(batch: Any) -> Any:
        executor = placement.executor()
        values = peek_settled(placement, variables)
        known = dict(zip(variables, values, strict=True))
        inputs = model._flat_inputs(three_parts(batch)[0])
        rows = split_columns(inputs, placement.sizes_of(inputs, False))
        passed = Run(executor, known, rows).forward()
        for variable, value in passed.changed.items():
            variable.assign(value)
        return model._packed(passed.joined(placement.last)[0])

    return run


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
    else:
        run = through_stages(model, graph_placement)
    return StagedPrediction(run, placement, op_by_op)


def _usual(model: Any, *names: str) -> bool:
    """Whether the model's class computes these as every model does."""
    return all(getattr(type(model), n) is getattr(Steps, n) for n in names)
