"""Placements of models whose layers were called inside device scopes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import SingleDeviceSharding

from carnyx._core import structure
from carnyx._core.devices import default_device
from carnyx._core.graph import Graph
from carnyx._core.node import Node
from carnyx._core.placement import Placement, expect_placements
from carnyx._core.variable import Variable
from carnyx._training.on_devices.cutting import devices_of, flattened, homes_of
from carnyx._training.on_devices.flow import Flow
from carnyx._training.on_devices.stages import Stage, cut


class OnDevices(Placement):
    """Every variable whole on one device, not all on the same.

    Attributes:
        several: whether there is more than one device; else programs are as without
            any placement.
        last: where everything is that belongs to no layer.
    """

    scattered = False
    several = True
    last: Any

    def __init__(self) -> None:
        self._shardings: dict[Any, Any] = {}
        self._homes: tuple[int, dict[int, Any]] = (-1, {})
        expect_placements()

    def _find_homes(self) -> dict[int, tuple[Any, Any]]:
        """By a variable's id: the variable, and its device."""
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
        known = homes.get(id(variable))
        return self.last if known is None else known[1]

    def sharding_of(self, variable: Variable) -> jax.sharding.Sharding:
        return self._sharding(self.home_of(variable))

    def batch_sharding(
        self, shape: Sequence[int], axis: int = 0
    ) -> jax.sharding.Sharding:
        return self._sharding(self.last)

    def everywhere(self) -> jax.sharding.Sharding:
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


class DevicePlacement(OnDevices):
    """Layers on the devices of the scopes in which they were called.

    A variable is kept on the device of its layer's first call; what belongs to it (an
    optimizer's slots) beside it; everything else where the first output is made.

    Args:
        model: whose calls and dtypes count.
        graph: between its inputs and outputs.
    """

    def __init__(self, model: Any, graph: Graph) -> None:
        super().__init__()
        self.model = model
        self.graph = flattened(graph, _inside)
        self.devices = devices_of(self.graph.nodes, default_device())
        maker = self.graph.outputs[0].node
        self.last = self.devices.get(maker) if maker is not None else None  # type: ignore[arg-type]
        self.last = self.last or default_device()
        self.several = len(set(self.devices.values())) > 1
        self._flow: tuple[int, Any, Any] = (-1, None, None)

    def _find_homes(self) -> dict[int, tuple[Any, Any]]:
        return homes_of(self.devices)

    def stages(self) -> list[Stage]:
        return self.flow().stages

    def flow(self) -> Any:
        """The stages, made anew when other variables train than before."""
        version, key, flow = self._flow
        if version == structure.version():
            return flow
        now = tuple(id(v) for v in self.model.trainable_variables)
        if flow is None or key != now:
            flow = self._made_flow()
        self._flow = structure.version(), now, flow
        return flow

    def _made_flow(self) -> Flow:
        stages = cut(self.graph, self.devices.__getitem__, self.model)
        return Flow(stages, self.graph.inputs, self.graph.outputs)


class InnerPlacement(OnDevices):
    """Of a model that is no graph, or not a placed one, but calls models that are.

    Args:
        inner: the placements of those inside.
    """

    def __init__(self, inner: Sequence[DevicePlacement]) -> None:
        super().__init__()
        self.inner = list(inner)
        self.last = default_device()

    def _find_homes(self) -> dict[int, tuple[Any, Any]]:
        homes: dict[int, tuple[Any, Any]] = {}
        for placement in reversed(self.inner):  # the first one counts
            homes |= placement._find_homes()
        return homes

    def stages(self) -> list[Stage]:
        return [stage for placement in self.inner for stage in placement.stages()]


# ---- which models are placed -----------------------------------------------------


def _inside(node: Node) -> tuple[Graph, Any] | None:
    """The graph of a tagged model that a node calls, if it can be taken apart."""
    model = node.operation
    body = getattr(model, "_scoped_body", lambda: None)()
    plain = len(node.args) == 1 and not node.kwargs
    if body is None or not plain or model.activity_regularizer is not None:  # type: ignore[attr-defined]
        return None
    return body, model._entered  # type: ignore[attr-defined]


def is_tagged(graph: Graph) -> bool:
    """Whether any layer in it was called inside a device scope."""
    computed = (n for n in graph.nodes if not n.is_input)
    return any(n.device is not None or _inside(n) for n in computed)
