"""The way of a batch through stages, in microbatches: all forward, then all back.

Nothing here waits: every program is handed to its device as soon as its arguments are
promised, so stages that do not need each other run together. With one microbatch these
are device scopes, with more a pipeline (Huang et al. 2018, GPipe, arXiv:1811.06965).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding

from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable
from carnyx._training.stages.arrays import Values, device_puts, moved_to
from carnyx._training.stages.microbatches import added_losses, joined_rows
from carnyx._training.stages.stage import Stage
from carnyx._training.stages.stage_values import Cotangents, Given, Outcome
from carnyx.distribution.schedule import backward_order, forward_order


class Executor:
    """The stages of a graph, and what they hand to each other.

    Args:
        stages: in an order in which they can run.
        inputs, outputs: the tensors of the whole graph.
        model: how an input that is an output enters.

    Attributes:
        differentiated: for each stage whether a gradient goes through it.
        wanted: for each input of each stage whether its gradient is.
        entries: for each input of the graph the device that reads it first, or None.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        inputs: Sequence[KerasTensor],
        outputs: Sequence[KerasTensor],
        model: Any,
    ) -> None:
        self.stages, self.model = list(stages), model
        self.inputs, self.outputs = list(inputs), list(outputs)
        self.differentiated, self.wanted = self._gradient_ways()
        first = {t: s.device for s in reversed(self.stages) for t in s.inputs}
        self.entries = [first.get(t) for t in self.inputs]
        self.last_use = {t: i for i, s in enumerate(self.stages) for t in s.inputs}
        self.last_use |= {t: len(self.stages) for t in self.outputs}
        self.holders: dict[Variable, list[tuple[int, int]]] = {}
        for number, stage in enumerate(self.stages):
            for place, variable in enumerate(stage.buffers):
                self.holders.setdefault(variable, []).append((number, place))
        self.zero_programs = [_zeros_of(stage) for stage in self.stages]

    def _gradient_ways(self) -> tuple[list[bool], list[list[bool]]]:
        maker = {t: i for i, s in enumerate(self.stages) for t in s.outputs}
        through: list[bool] = []
        wanted: list[list[bool]] = []
        for stage in self.stages:
            makers = [maker.get(t) for t in stage.inputs]
            wanted.append([i is not None and through[i] for i in makers])
            through.append(bool(stage.trainable) or any(wanted[-1]))
        return through, wanted

    @property
    def variables(self) -> list[Variable]:
        """All that the stages read, each once."""
        every = (v for s in self.stages for v in (*s.trainable, *s.buffers))
        return list(dict.fromkeys(every))

    def zeros(self, number: int, microbatches: int) -> list[Any] | None:
        """To what the gradients of a stage's variables are added; one microbatch's are
        the sum already."""
        return self.zero_programs[number]() if microbatches > 1 else None

    def hold(self) -> bool:
        """Whether what was read from attributes is still what it was."""
        return all(stage.traces.hold() for stage in self.stages)


class Gradients(NamedTuple):
    """What the end of the stages gives for one microbatch.

    Attributes:
        outputs: for each output of the graph its cotangent, or None.
        losses, penalties: for each stage, in order, those of its losses and
            penalties.
    """

    outputs: list[Any]
    losses: list[list[Any]]
    penalties: list[list[Any]]


class Microbatch:
    """A part of a batch, under way.

    Attributes:
        tensors: value and mask by symbolic tensor, for as long as they are needed.
        outcomes: of each stage, without what is handed on.
        residuals: of each stage that has some, by its number.
        arrived: cotangents that later stages have sent, by symbolic tensor.
    """

    def __init__(self, tensors: dict[KerasTensor, tuple[Any, Any]]) -> None:
        self.tensors = tensors
        self.outcomes: list[Outcome] = []
        self.residuals: dict[int, Any] = {}
        self.arrived: dict[KerasTensor, list[Any]] = {}

    def receive(self, tensors: Sequence[KerasTensor], values: Sequence[Any]) -> None:
        """Keep gradients until the stage that made the tensors goes back."""
        for tensor, value in zip(tensors, values, strict=True):
            if value is not None:
                self.arrived.setdefault(tensor, []).append(value)


class Run:
    """One batch on its way through the stages.

    Args:
        variables: the value of each, wherever it is; moved to where it is used, once.
        inputs: of each microbatch.
        masks: of each microbatch's inputs; None is none at all.
        training: for the layers.
        gradient: whether `backward` will follow.
        fast: gradient rules that only reverse mode can use are allowed.

    Attributes:
        changed: new values of buffers, by variable.
    """

    def __init__(
        self,
        executor: Executor,
        variables: Values,
        inputs: Sequence[Sequence[Any]],
        masks: Sequence[Sequence[Any]] | None = None,
        *,
        training: bool | None = False,
        gradient: bool = False,
        fast: bool = False,
    ) -> None:
        self.executor, self.training, self.gradient = executor, training, gradient
        self.fast = fast or gradient
        self.changed: Values = {}
        self._trainable, self._buffers = [], []
        for stage in executor.stages:
            count = len(stage.trainable)
            given = [variables[v] for v in (*stage.trainable, *stage.buffers)]
            moved = device_puts(given, stage.device)
            self._trainable.append(moved[:count])
            self._buffers.append(moved[count:])
        none = [[None] * len(executor.inputs)] * len(inputs)
        rows = zip(inputs, none if masks is None else masks, strict=True)
        self.microbatches = [
            Microbatch(dict(zip(executor.inputs, zip(*row, strict=True), strict=True)))
            for row in rows
        ]

    # ---- forward -----------------------------------------------------------------

    def forward(self) -> Run:
        """All microbatches through all stages."""
        counts = len(self.executor.stages), len(self.microbatches)
        for number, microbatch in forward_order(*counts):
            self._forward(number, self.microbatches[microbatch])
        return self

    def _forward(self, number: int, microbatch: Microbatch) -> None:
        executor, tensors = self.executor, microbatch.tensors
        stage = executor.stages[number]
        values, masks = zip(*(tensors[t] for t in stage.inputs), strict=True)
        moved = device_puts([*values, *masks], stage.device)
        given = Given(
            self._trainable[number], list(self._buffers[number]),
            moved[: len(values)], moved[len(values) :],
        )  # fmt: skip
        if self.gradient and executor.differentiated[number]:
            outcome, residuals = stage.forward_with_residuals(
                given, self.training, executor.wanted[number]
            )
            microbatch.residuals[number] = residuals
        else:
            outcome = stage.forward(given, self.training, self.fast)
        for place, value in outcome.buffers.items():
            self._keep_buffer(stage.buffers[place], value)
        pairs = zip(outcome.outputs, outcome.masks, strict=True)
        tensors.update(zip(stage.outputs, pairs, strict=True))
        for tensor in (*stage.inputs, *stage.outputs):
            if executor.last_use.get(tensor, -1) <= number:
                tensors.pop(tensor, None)
        rest = outcome._replace(outputs=[], masks=[], buffers={})
        microbatch.outcomes.append(rest)

    def _keep_buffer(self, variable: Variable, value: Any) -> None:
        """A new value, for all stages whose layers share it."""
        self.changed[variable] = value
        for number, place in self.executor.holders[variable]:
            device = self.executor.stages[number].device
            (self._buffers[number][place],) = device_puts([value], device)

    def outputs(self, microbatch: int) -> tuple[list[Any], list[Any]]:
        """The outputs of a microbatch and their masks, each where it was made; an input
        that is an output as the model enters it."""
        executor, tensors = self.executor, self.microbatches[microbatch].tensors
        through = set(executor.inputs)
        values, masks = map(list, zip(*(tensors[t] for t in executor.outputs)))
        for place, tensor in enumerate(executor.outputs):
            if tensor in through:
                value = jnp.asarray(values[place])
                values[place] = executor.model._entered(value, tensor)
        return values, masks

    def joined(self, device: Any) -> tuple[list[Any], list[Any]]:
        """The outputs of the whole batch and their masks; there, if they had to be put
        together."""
        rows = [self.outputs(i) for i in range(len(self.microbatches))]
        if len(rows) == 1:
            return rows[0]
        return _joined(moved_to(rows, device))

    def added(self, sizes: Sequence[int], device: Any) -> list[tuple[Any, Any]]:
        """Pairs of layer and what it added to the loss of the whole batch, there."""
        rows = [
            [
                pair
                for outcome in microbatch.outcomes
                for pair in zip(
                    outcome.adders, device_puts(outcome.losses, device), strict=True
                )
            ]
            for microbatch in self.microbatches
        ]
        return added_losses(rows, sizes)

    # ---- backward ----------------------------------------------------------------

    def backward(self, ends: Sequence[Gradients]) -> dict[Variable, tuple[Any, ...]]:
        """Gradients by variable: one from each stage that uses it, on its device."""
        executor, count = self.executor, len(self.microbatches)
        for microbatch, end in zip(self.microbatches, ends, strict=True):
            microbatch.receive(executor.outputs, end.outputs)
        scalars = [
            self._scalars(number, ends) for number in range(len(executor.stages))
        ]
        sums: dict[int, Any] = {}
        for number, place in backward_order(len(executor.stages), count):
            microbatch = self.microbatches[place]
            residuals = microbatch.residuals.pop(number, None)
            if residuals is None:
                continue
            if number not in sums:
                sums[number] = executor.zeros(number, count)
            stage = executor.stages[number]
            parts = [microbatch.arrived.pop(t, []) for t in stage.outputs]
            moved = iter(device_puts([v for part in parts for v in part], stage.device))
            outputs = [tuple(next(moved) for _ in part) for part in parts]
            cotangents = Cotangents(outputs, *scalars[number][place])
            sums[number], back = stage.backward(residuals, cotangents, sums[number])
            microbatch.receive(stage.inputs, back)
        return self._by_variable(sums)

    def _scalars(self, number: int, ends: Sequence[Gradients]) -> list[Any]:
        """For each microbatch the cotangents of a stage's losses and penalties, moved
        in one go."""
        rows = [(end.losses[number], end.penalties[number]) for end in ends]
        return moved_to(rows, self.executor.stages[number].device)

    def _by_variable(self, sums: dict[int, Any]) -> dict[Variable, tuple[Any, ...]]:
        found: dict[Variable, tuple[Any, ...]] = {}
        for number in sorted(sums, reverse=True):
            stage = self.executor.stages[number]
            for variable, value in zip(stage.trainable, sums[number], strict=True):
                found[variable] = (*found.get(variable, ()), value)
        return found


@jax.jit
def _joined(rows: list[tuple[list[Any], list[Any]]]) -> tuple[list[Any], list[Any]]:
    outputs, masks = zip(*rows, strict=True)
    return joined_rows(outputs), joined_rows(masks)


def _zeros_of(stage: Stage) -> Callable[[], list[Any]]:
    """A program that makes zeros like the stage's trainable variables, there."""
    shapes = [(v.shape, v.dtype) for v in stage.trainable]
    return jax.jit(
        lambda: [jnp.zeros(shape, dtype) for shape, dtype in shapes],
        out_shardings=SingleDeviceSharding(stage.device),
    )
