"""The way of microbatches through the stages of a pipeline.

Nothing here waits: every program is handed to its device as soon as its arguments are
promised.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding

from carnyx._training.on_devices.flow import Flow, Passed, Values
from carnyx._training.on_devices.stages import (
    Cotangents,
    Outcome,
    Residuals,
    Stage,
    _backward,
    device_puts,
)
from carnyx._training.pipelines.microbatches import sizes_of, split
from carnyx.errors import ArgumentError


class Turn(NamedTuple):
    """What the end of the pipeline gives for one microbatch.

    Attributes:
        cotangents: for each output of the graph, or None.
        unit: the gradient for a loss that a layer added; a scalar.
    """

    cotangents: Sequence[Any]
    unit: Any


class Passage:
    """The microbatches of one step on their way through the stages.

    Args:
        variables: the value of each, by id; moved to where it is used, once.
        inputs: of each microbatch.
        turn: what happens to a microbatch behind the last stage: given its number, its
            outputs and their masks there, it gives a `Turn`. None: nothing comes back.

    Attributes:
        outputs, masks: of each microbatch, on the last stage's device, until it turns.
        outcomes: for each microbatch, of each stage, without what is handed on.
        changed: new values of buffers, by the variable's id.
        most: how many microbatches' residuals there were at most, for each stage.
    """

    def __init__(
        self,
        pipe: Pipe,
        variables: Values,
        inputs: Sequence[Sequence[Any]],
        turn: Callable[[int, list[Any], list[Any]], Turn] | None = None,
    ) -> None:
        self.pipe, self.turn = pipe, turn
        self.weights, self.buffers = [], []
        for stage in pipe.stages:
            given = [variables[id(v)] for v in (*stage.trainable, *stage.buffers)]
            moved = device_puts(given, stage.device)
            self.weights.append(moved[: len(stage.trainable)])
            self.buffers.append(moved[len(stage.trainable) :])
        self.known = [
            {id(t): (v, None) for t, v in zip(pipe.inputs, part, strict=True)}
            for part in inputs
        ]
        count = len(inputs)
        self.outcomes: list[list[Outcome]] = [[] for _ in range(count)]
        self.outputs: list[list[Any]] = [[]] * count
        self.masks: list[list[Any]] = [[]] * count
        self.changed: Values = {}
        self.most = [0] * len(pipe.stages)
        self._changers: dict[int, int] = {}
        self._arrived: list[dict[int, list[Any]]] = [{} for _ in range(count)]
        self._units: list[Any] = [None] * count
        self._residuals: list[dict[int, Residuals]] = [{} for _ in pipe.stages]
        self._sums: list[Any] = [None] * len(pipe.stages)

    # ---- forward -----------------------------------------------------------------

    def forward(self, number: int, microbatch: int, training: bool) -> None:
        """One microbatch through one stage."""
        stage, known = self.pipe.stages[number], self.known[microbatch]
        inputs, masks = self._moved(stage.inputs, known, stage.device)
        given = self.weights[number], self.buffers[number], inputs, masks, training
        if self.turn is not None and self.pipe.differentiated[number]:
            outcome, residuals = stage.forward_with_residuals(
                *given, self.pipe.wanted[number]
            )
            self._residuals[number][microbatch] = residuals
            alive = len(self._residuals[number])
            self.most[number] = max(self.most[number], alive)
        else:
            outcome = stage.forward(*given, self.turn is not None)
        self._keep_buffers(number, outcome.buffers)
        rows = zip(stage.outputs, outcome.outputs, outcome.masks, strict=True)
        known |= {id(t): (value, mask) for t, value, mask in rows}
        rest = outcome._replace(outputs=[], masks=[], buffers={})
        self.outcomes[microbatch].append(rest)
        uses = self.pipe.last_use
        for key in [key for key in known if uses.get(key, -1) <= number]:
            del known[key]  # no later stage reads it
        if number == len(self.pipe.stages) - 1:
            self.outputs[microbatch], self.masks[microbatch] = self._moved(
                self.pipe.outputs, known, self.pipe.device
            )
            known.clear()

    @staticmethod
    def _moved(tensors: Sequence[Any], known: Values, device: Any) -> tuple:
        """Values and masks of tensors, on a device."""
        pairs = [known[id(t)] for t in tensors]
        flat = [*(value for value, _ in pairs), *(mask for _, mask in pairs)]
        flat = device_puts(flat, device)
        return flat[: len(pairs)], flat[len(pairs) :]

    def _keep_buffers(self, number: int, changed: dict[int, Any]) -> None:
        for index, value in changed.items():
            variable = self.pipe.stages[number].buffers[index]
            if self._changers.setdefault(id(variable), number) != number:
                raise ArgumentError(
                    f"Stages {self._changers[id(variable)]} and {number} of a Pipeline "
                    f"share a layer and both change its state {variable.path!r}, at "
                    "different times. Give each call a layer of its own, or choose "
                    "costs or stages that keep the calls together."
                )
            self.buffers[number][index] = self.changed[id(variable)] = value

    # ---- backward ----------------------------------------------------------------

    def backward(self, number: int, microbatch: int) -> None:
        """One microbatch back through one stage."""
        if number == len(self.pipe.stages) - 1:
            self._turn_round(microbatch)
        residuals = self._residuals[number].pop(microbatch, None)
        if residuals is None:
            return
        if self._sums[number] is None:
            self._sums[number] = self.pipe.zeros[number]()
        stage, arrived = self.pipe.stages[number], self._arrived[microbatch]
        self._sums[number], back = self.pipe.accumulated(
            self._sums[number], residuals, self._cotangents(number, microbatch)
        )
        for tensor, value in zip(stage.inputs, back, strict=True):
            if value is not None:
                arrived.setdefault(id(tensor), []).append(value)

    def _turn_round(self, microbatch: int) -> None:
        assert self.turn is not None
        end = self.turn(microbatch, self.outputs[microbatch], self.masks[microbatch])
        self.outputs[microbatch] = self.masks[microbatch] = []  # their memory is free
        self._units[microbatch] = end.unit
        arrived = self._arrived[microbatch]
        for tensor, value in zip(self.pipe.outputs, end.cotangents, strict=True):
            if value is not None:
                arrived.setdefault(id(tensor), []).append(value)

    def _cotangents(self, number: int, microbatch: int) -> Cotangents:
        stage, outcome = self.pipe.stages[number], self.outcomes[microbatch][number]
        arrived = self._arrived[microbatch]
        parts = [arrived.pop(id(t), []) for t in stage.outputs]
        flat = [*(v for part in parts for v in part), self._units[microbatch]]
        *moved, unit = device_puts(flat, stage.device)
        values = iter(moved)
        return Cotangents(
            [tuple(next(values) for _ in part) for part in parts],
            [_as(unit, loss) for loss in outcome.losses],
            [_as(unit, penalty) for penalty in outcome.penalties],
        )

    def gradients(self) -> dict[int, tuple[Any, ...]]:
        """By the variable's id: one from each stage that uses it, on its device."""
        found: dict[int, tuple[Any, ...]] = {}
        for stage, sums in zip(self.pipe.stages, self._sums, strict=True):
            if sums is not None:
                for variable, value in zip(stage.trainable, sums, strict=True):
                    found[id(variable)] = (*found.get(id(variable), ()), value)
        return found


def _accumulated(
    sums: list[Any], residuals: Residuals, cotangents: Cotangents
) -> tuple[list[Any], list[Any]]:
    gradients, back = _backward(residuals, cotangents)
    return [s + g for s, g in zip(sums, gradients, strict=True)], back


def _as(unit: Any, like: Any) -> Any:
    return unit if unit.dtype == like.dtype else unit.astype(like.dtype)


class Pipe(Flow):
    """Stages through which a batch goes in parts.

    Args:
        microbatches: how many, where there are as many samples.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        microbatches: int,
    ) -> None:
        super().__init__(stages, inputs, outputs)
        self.microbatches = microbatches
        self.device = self.stages[-1].device
        self.last_use = {
            id(t): i for i, stage in enumerate(self.stages) for t in stage.inputs
        }
        self.last_use |= {id(t): len(self.stages) for t in self.outputs}
        self.zeros = [_zeros_of(stage) for stage in self.stages]
        # its own function, so that its programs go when the stages do
        run = functools.partial(_accumulated)
        self.accumulated = jax.jit(run, donate_argnums=0)

    def programs(self) -> list[Any]:
        """The compiled functions, so far."""
        own = [*self.zeros, self.accumulated]
        return [*own, *(p for stage in self.stages for p in stage.programs())]

    def forward(
        self,
        variables: Values,
        inputs: Sequence[Any],
        masks: Sequence[Any] | None = None,
        training: bool | None = False,
        gradient: bool = False,
        fast: bool = False,
    ) -> Passed:
        """As of stages without microbatches, and in evaluation through these; what
        layers add to the loss is then the mean over the samples."""
        first = next(v for v in inputs if v is not None)
        if training is not False or gradient or masks is not None or first.shape == ():
            return super().forward(variables, inputs, masks, training, gradient, fast)
        sizes = sizes_of(first.shape[0], self.microbatches)
        columns = [split(value, sizes) for value in inputs]
        parts = [list(part) for part in zip(*columns, strict=True)]
        passage = Passage(self, variables, parts)
        for number in range(len(self.stages) + len(sizes) - 1):
            for stage in range(len(self.stages)):
                if 0 <= number - stage < len(sizes):
                    passage.forward(stage, number - stage, False)
        return self._whole(passage, inputs, sizes)

    def _whole(
        self, passage: Passage, inputs: Sequence[Any], sizes: Sequence[int]
    ) -> Passed:
        """What the microbatches gave, put together on the last device."""
        added = [[o.losses for o in outcomes] for outcomes in passage.outcomes]
        shares = [size / sum(sizes) for size in sizes]
        given = passage.outputs, passage.masks, added
        leaves, form = jax.tree_util.tree_flatten(given)
        leaves = device_puts(leaves, self.device)
        outputs, masks, losses = _joined(
            *jax.tree_util.tree_unflatten(form, leaves), shares
        )
        tensors = {id(t): v for t, v in zip(self.inputs, inputs, strict=True)}
        tensors |= {id(t): v for t, v in zip(self.outputs, outputs, strict=True)}
        known = {id(t): mask for t, mask in zip(self.outputs, masks, strict=True)}
        outcomes = [
            outcome._replace(losses=values)
            for outcome, values in zip(passage.outcomes[0], losses, strict=True)
        ]
        none: list[Residuals | None] = [None] * len(self.stages)
        return Passed(tensors, known, passage.changed, outcomes, none)


@jax.jit
def _joined(
    outputs: list, masks: list, added: list, shares: list
) -> tuple[list[Any], list[Any], list[Any]]:
    """Outputs and masks of all samples, and the mean of each loss of each stage."""
    losses = [
        [
            sum(value * share for value, share in zip(values, shares, strict=True))
            for values in zip(*stage, strict=True)
        ]
        for stage in zip(*added, strict=True)
    ]
    return joined_columns(outputs), joined_columns(masks), losses


def joined_columns(rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Of each microbatch's arrays (or None) those of the batch."""
    return [
        None if column[0] is None else jnp.concatenate(column)
        for column in zip(*rows, strict=True)
    ]


def _zeros_of(stage: Stage) -> Callable[[], list[Any]]:
    """A program that makes zeros like the stage's trainable variables, there."""
    shapes = [(v.shape, v.dtype) for v in stage.trainable]
    return jax.jit(
        lambda: [jnp.zeros(shape, dtype) for shape, dtype in shapes],
        out_shardings=SingleDeviceSharding(stage.device),
    )
