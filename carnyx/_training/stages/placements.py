"""Placements of models that run as stages on several devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import SingleDeviceSharding

from carnyx import _reads
from carnyx._core import structure
from carnyx._core.devices import default_device
from carnyx._core.graph import Graph
from carnyx._core.node import Node
from carnyx._core.placement import Placement, expect_placements
from carnyx._core.scope import current, is_tracer
from carnyx._core.variable import Variable
from carnyx._training.protocols import Program
from carnyx._training.stages.executor import Executor
from carnyx._training.stages.graph_stages import stages_by_device, stages_of_nodes
from carnyx._training.stages.microbatches import sizes_for
from carnyx._training.stages.partition import Flat, devices_of, flattened, homes_of
from carnyx._training.stages.programs import staged_prediction, staged_step
from carnyx._training.stages.stage import Stage
from carnyx.errors import ArgumentError

_FORMS = 8  # of stages, kept for attributes that go to and fro


class OnDevices(Placement):
    """Every variable whole on one device, not all on the same.

    Attributes:
        staged: whether there is more than one stage; else programs are as without any
            placement.
        last: where everything is that belongs to no layer.
    """

    scattered = False
    staged = True
    last: Any

    def __init__(self) -> None:
        self._shardings: dict[Any, Any] = {}
        self._homes: tuple[int, dict[Variable, Any]] = (-1, {})
        expect_placements()

    def make_program(
        self, model: Any, name: str, step: Any, held: Any, usual: Callable[[], Program]
    ) -> Program:
        if not self.staged:
            return usual()
        return staged_step(model, name, step, held, self)

    def make_prediction(
        self, model: Any, step: Any, op_by_op: bool, usual: Callable[[], Any]
    ) -> Any:
        if not self.staged:
            return usual()
        return staged_prediction(model, step, self, op_by_op)

    def of_graph(self) -> GraphPlacement | None:
        """Itself, where one graph is all that it places."""
        return None

    def _find_homes(self) -> dict[Variable, Any]:
        """By variable, its device."""
        raise NotImplementedError

    def stages(self) -> list[Stage]:
        """All that run."""
        raise NotImplementedError

    def home_of(self, variable: Variable) -> Any:
        """The device that keeps a variable."""
        version, homes = self._homes
        if version != structure.version():
            homes = self._find_homes()
            self._homes = structure.version(), homes
        like = variable.like
        if like is not None and like.shape == variable.shape:
            variable = like
        return homes.get(variable, self.last)

    def sharding_of(self, variable: Variable) -> jax.sharding.Sharding:
        return self._sharding(self.home_of(variable))

    def batch_sharding(
        self, shape: Sequence[int], axis: int = 0
    ) -> jax.sharding.Sharding:
        return self._sharding(self.last)

    def replicated(self) -> jax.sharding.Sharding:
        return self._sharding(self.last)

    def _sharding(self, device: Any) -> jax.sharding.Sharding:
        if device not in self._shardings:
            self._shardings[device] = SingleDeviceSharding(device)
        return self._shardings[device]

    def place(self, variable: Variable, value: Any) -> Any:
        """The value bound to its device: one that is not would make other programs."""
        sharding = self.sharding_of(variable)
        if isinstance(value, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=sharding)
        if value.sharding == sharding and value.committed:
            return value
        with jax.ensure_compile_time_eval():
            return jax.device_put(value, sharding)

    def place_part(self, leaf: Any, sharding: Any) -> Any:
        return jax.device_put(leaf, sharding)

    def keep(self, variables: Sequence[Variable], values: Sequence[Any]) -> list[Any]:
        return list(values)


class GraphPlacement(OnDevices):
    """Calls of a graph on devices.

    A variable is kept on the device of its layer's first call; what belongs to it (an
    optimizer's slots) beside it; everything else where the loss is computed.

    Args:
        model: whose calls and dtypes count.
        graph: between its inputs and outputs.
        devices: of each call.

    Attributes:
        microbatches: into how many parts a batch is cut, where it has as many samples.
    """

    microbatches = 1

    def __init__(
        self, model: Any, graph: Graph | Flat, devices: dict[Node, Any], last: Any
    ) -> None:
        super().__init__()
        self.model, self.graph, self.devices, self.last = model, graph, devices, last
        self._executors: list[tuple[Any, Executor]] = []  # the one in use first
        self._known_at: tuple = ()

    def of_graph(self) -> GraphPlacement:
        return self

    def _find_homes(self) -> dict[Variable, Any]:
        return homes_of(self.devices)

    def sizes_of(self, inputs: Sequence[Any], training: bool) -> list[int] | None:
        """How many of these samples each microbatch has; None: one has all."""
        return sizes_for(inputs, self.microbatches)

    def stages(self) -> list[Stage]:
        return self.executor().stages

    @property
    def executors(self) -> list[Executor]:
        """For attributes as they are and as they were."""
        return [executor for _, executor in self._executors]

    def executor(self) -> Executor:
        """The stages: others, where other variables train than before, or where what
        was read of attributes changed."""
        now = structure.version(), _reads.version(), current().frozen
        if now != self._known_at or not self._executors:
            trains = tuple(map(id, self.model.trainable_variables))
            found = (e for key, e in self._executors if key == trains and e.hold())
            executor = next(found, None)
            if executor is None:
                ends = self.graph.inputs, self.graph.outputs
                executor = Executor(self._made_stages(), *ends, self.model)
            rest = [pair for pair in self._executors if pair[1] is not executor]
            self._executors = [(trains, executor), *rest[: _FORMS - 1]]
            self._known_at = now
        return self._executors[0][1]

    def _made_stages(self) -> list[Stage]:
        raise NotImplementedError


class DevicePlacement(GraphPlacement):
    """Layers on the devices of the scopes in which they were called."""

    def __init__(self, model: Any, graph: Graph) -> None:
        flat = flattened(graph, tagged=True)
        devices = devices_of(flat.nodes, default_device())
        maker = flat.outputs[0].node
        last = devices.get(maker) if maker is not None else None
        super().__init__(model, flat, devices, last or default_device())
        self.staged = len(set(devices.values())) > 1

    def _made_stages(self) -> list[Stage]:
        return stages_by_device(self.graph, self.devices.__getitem__, self.model)


class PipelinePlacement(GraphPlacement):
    """Stages of calls, one a device, through which a batch goes in microbatches.

    Args:
        groups: for each stage the device and its calls.
        remat: see `Stage`.

    Attributes:
        batch_size: the largest one of the trainings so far, or None.
    """

    batch_size: int | None = None

    def __init__(
        self, model: Any, graph: Graph | Flat, groups: Sequence[tuple[Any, list[Node]]],
        microbatches: int, remat: bool,
    ) -> None:  # fmt: skip
        devices = {node: device for device, nodes in groups for node in nodes}
        super().__init__(model, graph, devices, groups[-1][0])
        self.groups, self.microbatches, self.remat = groups, microbatches, remat

    def sizes_of(self, inputs: Sequence[Any], training: bool) -> list[int] | None:
        sizes = super().sizes_of(inputs, training)
        if training and sizes is not None:
            self.batch_size = max(self.batch_size or 0, sum(sizes))
        return sizes

    def check_batch(self, samples: int) -> None:
        if samples < self.microbatches:
            raise ArgumentError(
                f"A batch of {samples} samples cannot be cut into "
                f"microbatches={self.microbatches}, one sample at least in each; give "
                "larger batches, or make the Pipeline with fewer microbatches."
            )

    def in_use(self) -> bool:
        """Whether the weights are where the stages want them, on several devices."""
        found = [
            next(v.peek() for v in (*stage.trainable, *stage.buffers))
            for stage in self.stages()
            if stage.trainable or stage.buffers
        ]
        if any(map(is_tracer, found)):  # what some other program is made of
            return False
        places = [value.sharding.device_set for value in found]
        alone = all(len(place) == 1 for place in places)
        return alone and len(set().union(*places)) > 1

    def _made_stages(self) -> list[Stage]:
        return stages_of_nodes(self.graph, self.groups, self.model, self.remat)


class InnerPlacement(OnDevices):
    """Of a model that is no graph, or not a placed one, but calls models that are.

    Args:
        inner: the placements of those inside.
    """

    def __init__(self, inner: Sequence[GraphPlacement]) -> None:
        super().__init__()
        self.inner = list(inner)
        self.last = default_device()

    def _find_homes(self) -> dict[Variable, Any]:
        homes: dict[Variable, Any] = {}
        for placement in reversed(self.inner):  # the first one counts
            homes |= placement._find_homes()
        return homes

    def stages(self) -> list[Stage]:
        return [stage for placement in self.inner for stage in placement.stages()]
