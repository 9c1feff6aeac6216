"""Microbatches: a batch in parts, and their way through the stages of a pipeline."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from carnyx._training.flow import Flow, Values
from carnyx._training.stages import (
    Cotangents,
    Outcome,
    Residuals,
    Static,
    _backward,
    device_puts,
)
from carnyx.errors import ArgumentError


def sizes_of(samples: int, parts: int) -> list[int]:
    """As even as can be, the larger ones first; no part is empty.

    >>> sizes_of(10, 4)
    [3, 3, 2, 2]
    """
    parts = max(1, min(samples, parts))
    return [samples // parts + (i < samples % parts) for i in range(parts)]


@jax.tree_util.register_pytree_node_class
class Microbatches:
    """A batch in parts, each array on the device that reads it.

    Attributes:
        inputs: for each microbatch a list, in the order of the graph's inputs.
        y, weights: for each microbatch; None without any.
        x: the whole, where a method of the model wants to see it.
        shapes: of the whole batch, for messages.
    """

    def __init__(
        self, inputs: list[Any], y: list[Any], weights: list[Any], x: Any, shapes: Any
    ) -> None:
        self.inputs, self.y, self.weights, self.x = inputs, y, weights, x
        self.shapes = shapes

    @property
    def sizes(self) -> list[int]:
        """How many samples each has."""
        return [next(v for v in part if v is not None).shape[0] for part in self.inputs]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.shapes)

    def tree_flatten(self) -> tuple[tuple, Any]:
        return (self.inputs, self.y, self.weights, self.x), self.shapes

    @classmethod
    def tree_unflatten(cls, shapes: Any, children: tuple) -> Microbatches:
        inputs, y, weights, x = children
        return cls(inputs, y, weights, x, shapes)


def split(value: Any, sizes: Sequence[int]) -> list[Any]:
    """A tree of arrays in parts, along the samples."""
    stops = list(accumulate(sizes))
    bounds = list(zip([0, *stops], stops, strict=False))
    return [jax.tree_util.tree_map(lambda v: v[a:b], value) for a, b in bounds]  # noqa: B023


def shapes_of(batch: Any) -> Static:
    """The parts of a batch with shapes in place of arrays."""
    return Static(
        jax.tree_util.tree_map(
            lambda v: jax.ShapeDtypeStruct(np.shape(v), v.dtype), part
        )
        for part in batch
    )


class Turn(NamedTuple):
    """What the end of the pipeline gives for one microbatch.

    Attributes:
        cotangents: for each output of the graph, or None.
        unit: the gradient for a loss that a layer added; a scalar.
    """

    cotangents: Sequence[Any]
    unit: Any


class Pipe(Flow):
    """Stages that are each run many times in a step."""

    def __init__(self, *stages_and_ends: Any) -> None:
        super().__init__(*stages_and_ends)
        self.device = self.stages[-1].device
        self.last_use = {
            id(t): i for i, stage in enumerate(self.stages) for t in stage.inputs
        }
        self.last_use |= {id(t): len(self.stages) for t in self.outputs}
        self.zeros = [_zeros_of(stage) for stage in self.stages]


def _zeros_of(stage: Any) -> Callable[[], list[Any]]:
    """A program that makes zeros like the stage's trainable variables, there."""
    shapes = [(v.shape, v.dtype) for v in stage.trainable]
    return jax.jit(
        lambda: [jnp.zeros(shape, dtype) for shape, dtype in shapes],
        out_shardings=SingleDeviceSharding(stage.device),
    )


class Passage:
    """The microbatches of one step on their way through the stages.

    Args:
        variables: the value of each, by id; moved to where it is used, once.
        inputs: of each microbatch.
        turn: what happens to a microbatch behind the last stage: given its number, its
            outputs and their masks there, it gives a `Turn`. None: nothing comes back.

    Attributes:
        outputs, masks: of each microbatch, on the last stage's device.
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
        self._sums[number], back = _accumulated(
            self._sums[number], residuals, self._cotangents(number, microbatch)
        )
        for tensor, value in zip(stage.inputs, back, strict=True):
            if value is not None:
                arrived.setdefault(id(tensor), []).append(value)

    def _turn_round(self, microbatch: int) -> None:
        assert self.turn is not None
        end = self.turn(microbatch, self.outputs[microbatch], self.masks[microbatch])
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


@functools.partial(jax.jit, donate_argnums=0)
def _accumulated(
    sums: list[Any], residuals: Residuals, cotangents: Cotangents
) -> tuple[list[Any], list[Any]]:
    gradients, back = _backward(residuals, cotangents)
    return [s + g for s, g in zip(sums, gradients, strict=True)], back


def _as(unit: Any, like: Any) -> Any:
    return unit if unit.dtype == like.dtype else unit.astype(like.dtype)
