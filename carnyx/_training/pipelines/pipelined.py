"""Training through a pipeline of stages, and the plan of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnyx._core.devices import device_name
from carnyx._core.graph import Graph
from carnyx._core.node import Node
from carnyx._core.scope import is_tracer
from carnyx._training.on_devices.cutting import Flat, flattened
from carnyx._training.on_devices.device_placement import DevicePlacement, OnDevices
from carnyx._training.on_devices.flow import Values
from carnyx._training.on_devices.staged import _Staged
from carnyx._training.on_devices.stages import cut_at, device_puts
from carnyx._training.on_devices.updates import Updates
from carnyx._training.outputs import unpack
from carnyx._training.pipelines.head import PipelineHead
from carnyx._training.pipelines.microbatches import (
    Microbatches,
    shapes_of,
    sizes_of,
    split,
)
from carnyx._training.pipelines.node_costs import (
    Cost,
    estimated,
    input_shapes,
    measured,
)
from carnyx._training.pipelines.passage import Passage, Pipe
from carnyx._training.state import HeldState
from carnyx.distribution.pipeline import Pipeline, cut_by_cost
from carnyx.distribution.pipeline_report import PipelineReport, StageReport
from carnyx.distribution.schedule import Timeline, simulate
from carnyx.errors import ArgumentError

_SAMPLES = 8  # in a microbatch whose cost is counted or measured
_BATCH = 32  # that is reported before any training


class PipelinePlacement(DevicePlacement):
    """Stages of calls, one a device, as a pipeline cuts them.

    Args:
        groups: for each stage the device and its calls.
    """

    def __init__(
        self, model: Any, graph: Graph | Flat, groups: Sequence[tuple[Any, list[Node]]],
        plan: Plan,
    ) -> None:  # fmt: skip
        OnDevices.__init__(self)
        self.model, self.graph, self.groups = model, graph, groups
        self.plan = plan
        self.devices = {node: device for device, nodes in groups for node in nodes}
        self.last = groups[-1][0]
        self.several = len(groups) > 1
        self._flow = (-1, None, None)

    def in_use(self) -> bool:
        """Whether the weights are where the stages want them, on several devices."""
        found = [
            next(v.peek() for v in (*stage.trainable, *stage.buffers))
            for stage in self.flow().stages
            if stage.trainable or stage.buffers
        ]
        if any(map(is_tracer, found)):  # what some other program is made of
            return False
        places = [value.sharding.device_set for value in found]
        alone = all(len(place) == 1 for place in places)
        return alone and len(set().union(*places)) > 1

    def _made_flow(self) -> Pipe:
        stages = cut_at(self.graph, self.groups, self.model)
        ends = self.graph.inputs, self.graph.outputs
        return Pipe(stages, *ends, self.plan.microbatches)


class PipelinedProgram(_Staged):
    """A training step whose microbatches pass through the stages one behind another.

    The gradients of the microbatches are added up where the weights live; then the
    optimizer makes its step, as it does for stages without microbatches.

    Args:
        takes_x: whether the model's own metrics look at the inputs.

    Attributes:
        most: for each stage, of how many microbatches there were residuals at most.
    """

    def __init__(
        self, model: Any, held: HeldState, placement: PipelinePlacement, takes_x: bool
    ) -> None:
        super().__init__(model, held, placement)
        self.plan, self.takes_x = placement.plan, takes_x
        self.pipe = placement.flow()
        self.head = PipelineHead(model, self.pipe, held, takes_x)
        self.ids = [id(v) for v in held.store.variables]
        self.updates = Updates(
            model.optimizer, held.parts.trainable_variables,
            placement.home_of, placement.last,
        )  # fmt: skip
        self.most = [0] * len(self.pipe.stages)
        self.batch_size = 0  # the largest one

    def put(self, batch: Any, axis: int = 0) -> Any:
        """A batch in parts, each array on the device that reads it first; a stack of
        batches stays where it is."""
        if axis or isinstance(batch, Microbatches):
            return batch
        x, y, weights = unpack(batch)
        inputs = self._entered(self.model._flat_inputs(x))
        samples = next(v for v in inputs if v is not None).shape[0]
        self.plan.batch_size = self.batch_size = max(self.batch_size, samples)
        sizes = sizes_of(samples, self.plan.microbatches)
        last, pipe = self.placement.last, self.pipe
        columns = [
            device_puts(split(value, sizes), device or last)
            for value, device in zip(inputs, pipe.devices, strict=True)
        ]
        rest = split((y, weights, x if self.takes_x else None), sizes)
        leaves, form = jax.tree_util.tree_flatten(rest)
        rest = jax.tree_util.tree_unflatten(form, device_puts(leaves, last))
        y, weights, x = map(list, zip(*rest, strict=True))
        parts = [list(part) for part in zip(*columns, strict=True)]
        return Microbatches(parts, y, weights, x, shapes_of(unpack(batch)))

    def _entered(self, inputs: Sequence[Any]) -> list[Any]:
        """An input that is an output, too: as the model enters it."""
        ends = {id(t) for t in self.pipe.outputs}
        return [
            self.model._entered(jnp.asarray(value), t) if id(t) in ends else value
            for t, value in zip(self.pipe.inputs, inputs, strict=True)
        ]

    def start(self, batch: Any) -> dict[str, Any]:
        """Run one step on a batch that was put where the program wants it."""
        store = self.held.store
        values: Values = dict(zip(self.ids, store.ready(), strict=True))
        turn = self.head.turner(values, batch)
        passage = Passage(self.pipe, values, batch.inputs, turn)
        for task in self.plan.timeline(len(batch.inputs)).order:
            if task.backward:
                passage.backward(task.stage, task.microbatch)
            else:
                passage.forward(task.stage, task.microbatch, True)
        self.most = list(map(max, self.most, passage.most))
        values |= passage.changed
        logs, metrics = self.head.finish(passage, values, batch)
        values |= zip(map(id, self.head.metrics), metrics, strict=True)
        values |= self.updates(values, passage.gradients())
        rows = zip(self.ids, store.variables, strict=True)
        moved = {id(v) for v in self.head.metrics} | set(passage.changed)
        values |= {
            key: self.placement.place(v, values[key]) for key, v in rows if key in moved
        }
        store.take([values[key] for key in self.ids])
        self.updates.remember(values)
        return logs

    def compilations(self) -> int:
        """How many programs have been compiled; for tests."""
        programs = [*self.pipe.programs(), *self.head.programs()]
        for share in self.updates.shares:
            programs += [share.ask, share.update]
        return sum(p._cache_size() for p in programs)


def pipelined_step(
    model: Any, base: type, held: HeldState, placement: PipelinePlacement
) -> PipelinedProgram:
    """The program of a training step.

    Args:
        base: the class whose methods a model may override.

    Raises:
        ArgumentError: for what cannot be done a microbatch at a time.
    """
    for name in ("train_step", "compute_loss", "compute_loss_and_updates"):
        if getattr(type(model), name) is not getattr(base, name):
            raise ArgumentError(
                f"{type(model).__name__} has a {name} of its own, which takes whole "
                "batches: a Pipeline cannot cut what it computes into microbatches. "
                "Give the loss to compile(), or place the layers with device scopes."
            )
    if not model.jit_compile:
        raise ArgumentError(
            "run_eagerly=True does not go with a Pipeline, whose stages are programs; "
            "debug the model itself, on one device."
        )
    takes_x = type(model).compute_metrics is not base.compute_metrics  # type: ignore[attr-defined]
    return PipelinedProgram(model, held, placement, takes_x)


class Plan:
    """Which calls of a graph are in which stage, and when stages work.

    Args:
        graph: of the model.
        devices: one for each stage.
        costs: `"estimated"`, `"measured"`, or a number for each call.
    """

    def __init__(
        self,
        graph: Graph,
        model: Any,
        devices: Sequence[Any],
        microbatches: int,
        costs: Any,
    ) -> None:
        self.microbatches = microbatches
        whole = flattened(graph, _inside)
        nodes = [n for n in whole.nodes if not n.is_input]
        self.calls = [n.operation.name for n in nodes]
        self.costs = self._costs_of(whole, nodes, model, devices[0], costs)
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
        self.placement = PipelinePlacement(model, whole, self.groups, self)
        self.batch_size: int | None = None  # of the last training
        self._timelines: dict[int, Timeline] = {}

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

    def timeline(self, microbatches: int) -> Timeline:
        """The order of a step's tasks, and how long stages wait in it."""
        if microbatches not in self._timelines:
            self._timelines[microbatches] = simulate(
                self.forward, self.backward, microbatches
            )
        return self._timelines[microbatches]

    def check_batch(self, samples: int) -> None:
        """Raises an ArgumentError where there are more microbatches than samples."""
        if samples < self.microbatches:
            raise ArgumentError(
                f"A batch of {samples} samples cannot be cut into "
                f"microbatches={self.microbatches}, one sample at least in each; give "
                "larger batches, or make the Pipeline with fewer microbatches."
            )

    # ---- what it takes -----------------------------------------------------------

    def report(self, model: Any, batch_size: int | None) -> PipelineReport:
        """The stages of `model`, compiled or not."""
        if batch_size is None:
            batch_size = self.batch_size or max(_BATCH, self.microbatches)
        sizes = sizes_of(batch_size, self.microbatches)
        pipe = self.placement.flow()
        residuals = residual_bytes(pipe, input_shapes(self.placement.graph, sizes[0]))
        optimizer = model.optimizer
        slots = optimizer.variables if optimizer is not None and optimizer.built else []
        total = sum(c.total for c in self.costs)
        rows = []
        for number, (device, _) in enumerate(self.groups):
            alive = min(len(self.groups) - number, len(sizes))
            cost = self.forward[number] + self.backward[number]
            rows.append(
                StageReport(
                    layers=self.names[number],
                    device=device_name(device),
                    share=cost / total,
                    parameters=self._bytes_on(device, model.variables),
                    optimizer=self._bytes_on(device, slots),
                    residuals=residuals[number] * alive,
                    alive=alive,
                )
            )
        bubble = self.timeline(len(sizes)).bubble
        return PipelineReport(rows, batch_size, len(sizes), bubble)

    def _bytes_on(self, device: Any, variables: Sequence[Any]) -> int:
        home_of = self.placement.home_of
        return sum(v.nbytes for v in variables if home_of(v) == device)


def residual_bytes(pipe: Pipe, inputs: Sequence[Any]) -> list[int]:
    """What each stage keeps of one microbatch for its way back, weights apart.

    Args:
        inputs: shapes of the graph's inputs.
    """
    known = {id(t): (spec, None) for t, spec in zip(pipe.inputs, inputs, strict=True)}
    found = []
    for number, stage in enumerate(pipe.stages):
        pairs = [known[id(t)] for t in stage.inputs]
        given = [_spec(v) for v in stage.trainable], [_spec(v) for v in stage.buffers]
        arrays = *given, [x for x, _ in pairs], [mask for _, mask in pairs]
        if pipe.differentiated[number]:
            program = stage._program(
                "residuals", True, True, tuple(pipe.wanted[number])
            )
            outcome, residuals = jax.eval_shape(program, *arrays)
            _, places = residuals.form
            flat = [x for part in arrays for x in part]
            weights = len(given[0]) + len(given[1])
            kept = [flat[p] for p in places if p is not None and p >= weights]
            found.append(sum(map(_nbytes, [*residuals.leaves, *kept])))
        else:
            outcome = jax.eval_shape(stage._program("forward", True, True), *arrays)
            found.append(0)
        rows = zip(stage.outputs, outcome.outputs, outcome.masks, strict=True)
        known |= {id(t): (x, mask) for t, x, mask in rows}
    return found


def _spec(variable: Any) -> Any:
    return jax.ShapeDtypeStruct(variable.shape, variable.dtype)


def _nbytes(spec: Any) -> int:
    return int(np.prod(spec.shape, dtype=np.int64)) * spec.dtype.itemsize


def _inside(node: Node) -> tuple[Graph, Any] | None:
    """The graph of a model that a node calls, if it can be taken apart."""
    model: Any = node.operation
    plain = len(node.args) == 1 and not node.kwargs
    if not plain or not getattr(model, "_calls_graph", lambda: False)():
        return None
    if model.activity_regularizer is not None:
        return None
    body = model._graph_body() if hasattr(model, "_graph_body") else model
    return body._graph, model._entered


Pipeline._plan_of = Plan
