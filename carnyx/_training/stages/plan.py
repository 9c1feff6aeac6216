"""Which calls of a graph are in which stage of a pipeline, and what that takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from carnyx._core.devices import device_name
from carnyx._core.graph import Graph
from carnyx._core.node import Node
from carnyx._training.stages.arrays import spec_of
from carnyx._training.stages.executor import Executor
from carnyx._training.stages.graph_stages import walk
from carnyx._training.stages.microbatches import sizes_of
from carnyx._training.stages.node_costs import (
    Cost,
    estimated,
    input_shapes,
    measured,
)
from carnyx._training.stages.partition import Flat, flattened
from carnyx._training.stages.placements import PipelinePlacement
from carnyx._training.stages.stage import Stage
from carnyx._training.stages.stage_values import Given, Outcome
from carnyx.distribution.pipeline import cut_by_cost
from carnyx.distribution.pipeline_report import PipelineReport, StageReport
from carnyx.distribution.schedule import bubble
from carnyx.errors import ArgumentError

_SAMPLES = 8  # in a microbatch whose cost is counted or measured
_BATCH = 32  # that is reported before any training


class Plan:
    """A graph in stages of equal cost.

    Args:
        graph: of the model.
        devices: one for each stage.
        costs: `"estimated"`, `"measured"`, or a number for each call.
        remat: see `Stage`.
    """

    def __init__(
        self,
        graph: Graph,
        model: Any,
        devices: Sequence[Any],
        microbatches: int,
        costs: Any,
        remat: bool,
    ) -> None:
        self.microbatches = microbatches
        whole = flattened(graph, tagged=False)
        nodes = [n for n in whole.nodes if not n.is_input]
        self.calls = [n.operation.name for n in nodes]
        self.costs = self._costs_of(whole, nodes, model, devices[0], costs)
        if remat:  # the way back begins with the way there
            self.costs = [Cost(c.forward, c.total) for c in self.costs]
        stages = cut_by_cost([c.total for c in self.costs], len(devices))
        self.groups = [
            (device, [n for n, s in zip(nodes, stages, strict=True) if s == number])
            for number, device in enumerate(devices)
        ]
        self.names = [[n.operation.name for n in part] for _, part in self.groups]
        pairs = list(zip(self.costs, stages, strict=True))
        self.forward = [
            sum(c.forward for c, s in pairs if s == i) for i in range(len(devices))
        ]
        self.backward = [
            sum(c.backward for c, s in pairs if s == i) for i in range(len(devices))
        ]
        self.placement = PipelinePlacement(
            model, whole, self.groups, microbatches, remat
        )
        graph.pipeline = self.placement

    @staticmethod
    def _costs_of(
        graph: Graph | Flat, nodes: list[Node], model: Any, device: Any, costs: Any
    ) -> list[Cost]:
        if isinstance(costs, str):
            known = (estimated if costs == "estimated" else measured)(
                graph, model, device, _SAMPLES
            )
            return [known[n] for n in nodes]
        if len(costs) != len(nodes):
            names = [n.operation.name for n in nodes]
            raise ArgumentError(
                f"Pipeline got {len(costs)} costs for {len(nodes)} calls: {names}."
            )
        return [Cost(c / 3, 2 * c / 3) for c in costs]

    # ---- what it takes -----------------------------------------------------------

    def report(self, model: Any, batch_size: int | None) -> PipelineReport:
        """The stages of `model`, compiled or not."""
        if batch_size is None:
            batch_size = self.placement.batch_size or max(_BATCH, self.microbatches)
        sizes = sizes_of(batch_size, self.microbatches)
        shapes = input_shapes(self.placement.graph, sizes[0])
        kept = residual_bytes(self.placement.executor(), shapes)
        optimizer = model.optimizer
        slots = optimizer.variables if optimizer is not None and optimizer.built else []
        total = sum(c.total for c in self.costs)
        rows = []
        for number, (device, _) in enumerate(self.groups):
            cost = self.forward[number] + self.backward[number]
            rows.append(
                StageReport(
                    layers=self.names[number],
                    device=device_name(device),
                    share=cost / total,
                    parameters=self._bytes_on(device, model.variables),
                    optimizer=self._bytes_on(device, slots),
                    residuals=kept[number].of(len(sizes)),
                    alive=len(sizes),
                )
            )
        waiting = bubble(self.forward, self.backward, len(sizes))
        return PipelineReport(rows, batch_size, len(sizes), waiting)

    def _bytes_on(self, device: Any, variables: Sequence[Any]) -> int:
        home_of = self.placement.home_of
        return sum(v.nbytes for v in variables if home_of(v) == device)


class Kept(NamedTuple):
    """Bytes that a stage keeps for the way back, weights apart.

    Attributes:
        each: of every microbatch.
        inside: of the one that is on its way back, where that is computed again.
    """

    each: int
    inside: int

    def of(self, microbatches: int) -> int:
        """Of so many, at the worst moment."""
        return self.each * microbatches + self.inside


def residual_bytes(executor: Executor, inputs: Sequence[Any]) -> list[Kept]:
    """What each stage keeps.

    Args:
        inputs: shapes of the graph's inputs, for one microbatch.
    """
    through = dict(zip(executor.stages, executor.differentiated, strict=True))
    wanted = dict(zip(executor.stages, executor.wanted, strict=True))

    def visit(stage: Stage, given: Given) -> tuple[Outcome, Kept]:
        if not through[stage]:
            return stage.specs(given), Kept(0, 0)
        outcome, inside = stage.residual_specs(given, wanted[stage])
        if not stage.remat:
            return outcome, Kept(_nbytes(inside), 0)
        return outcome, Kept(_nbytes([*given.inputs, *given.masks]), _nbytes(inside))

    tensors = dict(zip(executor.inputs, inputs, strict=True))
    return walk(executor.stages, tensors, spec_of, visit)


def _nbytes(specs: Sequence[Any]) -> int:
    sizes = (
        int(np.prod(s.shape, dtype=np.int64)) * s.dtype.itemsize
        for s in specs
        if s is not None
    )
    return sum(sizes)
