"""Stages run one after the other, forward and backward, values moved between.

Nothing here waits: every program is handed to its device as soon as its arguments are
promised, so that stages that do not need each other run at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from carnyx._core.symbol import KerasTensor
from carnyx._training.on_devices.stages import (
    Cotangents,
    Outcome,
    Residuals,
    Stage,
    Static,
    device_puts,
)

Values = dict[int, Any]  # by the id of a variable, or of a tensor


class Passed(NamedTuple):
    """What a pass through all stages gave.

    Attributes:
        tensors, masks: by the tensor's id.
        changed: by the variable's id, new values of buffers.
        outcomes, residuals: of each stage; None where no gradient goes through.
    """

    tensors: Values
    masks: Values
    changed: Values
    outcomes: list[Outcome]
    residuals: list[Residuals | None]

    def losses(self) -> list[Any]:
        """What layers added, on the devices of their stages."""
        return [loss for outcome in self.outcomes for loss in outcome.losses]

    def penalties(self) -> list[Any]:
        """Of the regularizers."""
        return [value for outcome in self.outcomes for value in outcome.penalties]

    def adders(self) -> Static:
        """The layers that added `losses`."""
        return Static(layer for outcome in self.outcomes for layer in outcome.adders)


class Flow:
    """The stages of a graph and how values go through them.

    Args:
        stages: in an order in which they can run.
        inputs, outputs: the tensors of the whole graph.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        inputs: Sequence[KerasTensor],
        outputs: Sequence[KerasTensor],
    ) -> None:
        self.stages = list(stages)
        self.inputs, self.outputs = list(inputs), list(outputs)
        maker = {id(t): i for i, s in enumerate(self.stages) for t in s.outputs}
        self.makers = [[maker.get(id(t)) for t in s.inputs] for s in self.stages]
        self.differentiated: list[bool] = []  # stages that a gradient goes through
        for stage, makers in zip(self.stages, self.makers, strict=True):
            upstream = any(self.differentiated[i] for i in makers if i is not None)
            self.differentiated.append(bool(stage.trainable) or upstream)
        self.wanted = [
            [i is not None and self.differentiated[i] for i in makers]
            for makers in self.makers
        ]
        first = {id(t): s.device for s in reversed(self.stages) for t in s.inputs}
        self.devices = [first.get(id(t)) for t in self.inputs]
        made = {id(t): s.device for s in self.stages for t in s.outputs}
        self.output_devices = [made.get(id(t)) for t in self.outputs]

    def forward(
        self,
        variables: Values,
        inputs: Sequence[Any],
        masks: Sequence[Any] | None = None,
        training: bool | None = False,
        gradient: bool = False,
        fast: bool = False,
    ) -> Passed:
        """Run all stages on the variables' values, wherever those are."""
        tensors = {id(t): v for t, v in zip(self.inputs, inputs, strict=True)}
        known = [None] * len(inputs) if masks is None else masks
        passed = Passed(
            tensors,
            {id(t): m for t, m in zip(self.inputs, known, strict=True)},
            {}, [], [],
        )  # fmt: skip
        for number, stage in enumerate(self.stages):
            own, buffers, inputs, known = _arguments(stage, variables, passed)
            if gradient and self.differentiated[number]:
                outcome, residuals = stage.forward_with_residuals(
                    own, buffers, inputs, known, training, self.wanted[number]
                )
            else:
                quick, residuals = fast or gradient, None
                outcome = stage.forward(own, buffers, inputs, known, training, quick)
            passed.outcomes.append(outcome)
            passed.residuals.append(residuals)
            _take(stage, outcome, passed)
        return passed

    def backward(
        self,
        passed: Passed,
        outputs: Sequence[Any],
        losses: Sequence[Any],
        penalties: Sequence[Any],
    ) -> dict[int, tuple[Any, ...]]:
        """Gradients by the variable's id: one from each stage that uses it, there.

        Args:
            outputs: for each output of the graph, its cotangent, or None.
            losses, penalties: cotangents of all stages', in order.
        """
        arrived: dict[int, list[Any]] = {}
        for tensor, value in zip(self.outputs, outputs, strict=True):
            if value is not None:
                arrived.setdefault(id(tensor), []).append(value)
        gradients: dict[int, tuple[Any, ...]] = {}
        ends = len(losses), len(penalties)
        for number in reversed(range(len(self.stages))):
            stage, outcome = self.stages[number], passed.outcomes[number]
            starts = ends[0] - len(outcome.losses), ends[1] - len(outcome.penalties)
            residuals = passed.residuals[number]
            if residuals is not None:
                cotangents = _cotangents(
                    stage, arrived, losses[starts[0] : ends[0]],
                    penalties[starts[1] : ends[1]],
                )  # fmt: skip
                own, back = stage.backward(residuals, cotangents)
                passed.residuals[number] = None  # its memory is free from now on
                for variable, value in zip(stage.trainable, own, strict=True):
                    gradients[id(variable)] = (
                        *gradients.get(id(variable), ()), value,
                    )  # fmt: skip
                for tensor, value in zip(stage.inputs, back, strict=True):
                    if value is not None:
                        arrived.setdefault(id(tensor), []).append(value)
            ends = starts
        return gradients


def _arguments(stage: Stage, variables: Values, passed: Passed) -> tuple:
    """The values that a stage runs on, moved to its device in one go."""
    first, second, third = len(stage.trainable), len(stage.buffers), len(stage.inputs)
    masks = [passed.masks.get(id(t)) for t in stage.inputs]
    changed = passed.changed  # by stages before, with which this one shares a layer
    flat = [
        *(variables[id(v)] for v in stage.trainable),
        *(changed.get(id(v), variables[id(v)]) for v in stage.buffers),
        *(passed.tensors[id(t)] for t in stage.inputs),
        *masks,
    ]
    flat = device_puts(flat, stage.device)
    second += first
    third += second
    return flat[:first], flat[first:second], flat[second:third], flat[third:]


def _take(stage: Stage, outcome: Outcome, passed: Passed) -> None:
    rows = zip(stage.outputs, outcome.outputs, outcome.masks, strict=True)
    for tensor, value, mask in rows:
        passed.tensors[id(tensor)] = value
        passed.masks[id(tensor)] = mask
    for index, value in outcome.buffers.items():
        passed.changed[id(stage.buffers[index])] = value


def _cotangents(
    stage: Stage,
    arrived: dict[int, list[Any]],
    losses: Sequence[Any],
    penalties: Sequence[Any],
) -> Cotangents:
    """The gradient of what a stage gave, moved to its device."""
    parts = [arrived.get(id(t), []) for t in stage.outputs]
    flat = [*(v for part in parts for v in part), *losses, *penalties]
    moved = iter(device_puts(flat, stage.device))
    return Cotangents(
        [tuple(next(moved) for _ in part) for part in parts],
        [next(moved) for _ in losses],
        [next(moved) for _ in penalties],
    )
