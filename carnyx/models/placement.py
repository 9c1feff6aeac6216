"""`model.placement()`: which layer lives where, and what that takes of each device."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from carnyx._core.devices import default_device, device_name
from carnyx._core.variable import Variable
from carnyx._tables import aligned, html_table
from carnyx._training.stages.partition import MayBeGraph
from carnyx._training.stages.placements import GraphPlacement, OnDevices
from carnyx.layers.base import Layer
from carnyx.models.summary import readable_size

_HEADINGS = ("Layer", "Computed on", "Kept on", "Parameters", "Optimizer")


class PlacedLayer(NamedTuple):
    """A row of the table.

    Attributes:
        computed_on: names of the devices that run the layer.
        kept_on: names of the devices that keep its variables.
        parameters, optimizer: bytes of its variables, and of what the optimizer keeps
            for them, on all devices together.
    """

    name: str
    computed_on: list[str]
    kept_on: list[str]
    parameters: int
    optimizer: int


class DeviceBytes(NamedTuple):
    """What lies on one device.

    Attributes:
        parameters: bytes of the model's variables.
        optimizer: bytes of the optimizer's, once it is built.
    """

    parameters: int
    optimizer: int


class PlacementTable:
    """Which layer lives where; printing it shows a table.

    Attributes:
        layers: a `PlacedLayer` each.
        devices: a `DeviceBytes` by the device's name.
    """

    def __init__(
        self, layers: Sequence[PlacedLayer], devices: dict[str, DeviceBytes]
    ) -> None:
        self.layers, self.devices = list(layers), devices

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                row.name,
                short_names(row.computed_on) or "-",
                short_names(row.kept_on) or "-",
                readable_size(row.parameters) if row.parameters else "-",
                readable_size(row.optimizer) if row.optimizer else "-",
            )
            for row in self.layers
        ]

    def _totals(self) -> list[str]:
        return [
            f"{name}: {readable_size(parameters)} of parameters"
            + (f", {readable_size(optimizer)} of the optimizer" if optimizer else "")
            for name, (parameters, optimizer) in self.devices.items()
        ]

    def __str__(self) -> str:
        lines = aligned([_HEADINGS, *self._rows()], left=3)
        lines.insert(1, "─" * max(map(len, lines)))
        return "\n".join([*lines, "", *self._totals()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        totals = "<br>".join(map(html.escape, self._totals()))
        return f"{html_table(_HEADINGS, self._rows())}<p>{totals}</p>"


def short_names(names: Sequence[str]) -> str:
    """Device names, several of a kind in one.

    >>> short_names(["cpu:0", "cpu:1", "cpu:2", "gpu:1"])
    'cpu:0–2, gpu:1'
    """
    runs: list[list[Any]] = []
    for name in names:
        kind, _, number = name.partition(":")
        if runs and runs[-1][0] == kind and int(number) == runs[-1][2] + 1:
            runs[-1][2] = int(number)
        else:
            runs.append([kind, int(number), int(number)])
    return ", ".join(
        f"{kind}:{first}" if first == last else f"{kind}:{first}–{last}"
        for kind, first, last in runs
    )


def placement_table(model: Layer) -> PlacementTable:
    """See `Model.placement`."""
    placement = model._placed()
    optimizer = getattr(model, "optimizer", None)
    slots = optimizer.variables if optimizer is not None and optimizer.built else []
    owner = {id(v): v.like for v in slots}
    layers = []
    for layer in model.layers:
        own = list(layer.weights)
        ids = {id(v) for v in own}
        beside = [v for v in slots if id(owner[id(v)]) in ids]
        layers.append(
            PlacedLayer(
                f"{layer.name} ({type(layer).__name__})",
                _names(computed_on(model, layer)),
                _names({d for v in own for d in _spread(placement, v)}),
                sum(_total(_spread(placement, v)) for v in own),
                sum(_total(_spread(placement, v)) for v in beside),
            )
        )
    parameters = _sums(placement, model.weights)
    states = _sums(placement, slots)
    every = sorted(parameters.keys() | states.keys(), key=_order)
    devices = {
        device_name(d): DeviceBytes(parameters.get(d, 0), states.get(d, 0))
        for d in every
    }
    return PlacementTable(layers, devices)


def computed_on(model: Layer, layer: Layer) -> list[Any]:
    """The devices that run a layer of the model (or a recorded op)."""
    placement = model._placed()
    inside = layer._flatten_layers() if hasattr(layer, "_flatten_layers") else [layer]
    if isinstance(placement, GraphPlacement):
        inner = {id(x) for x in inside}
        found = {
            device
            for node, device in placement.devices.items()
            if id(node.operation) in inner
        }
        return sorted(found, key=_order)
    if placement is None or isinstance(placement, OnDevices):
        inner = [x._graph_placement() for x in inside if isinstance(x, MayBeGraph)]
        found = {d for p in inner if p is not None for d in p.devices.values()}
        return sorted(found, key=_order) or [default_device()]
    return sorted(placement.batch_sharding((1,)).device_set, key=_order)


def _spread(placement: Any, variable: Variable) -> dict[Any, int]:
    """The bytes of a variable on each device that keeps it or a part of it."""
    value = variable.peek()
    sharding = value.sharding
    if placement is not None:
        sharding = placement.sharding_of(variable)
    if sharding is None:
        return {default_device(): variable.nbytes}
    shape = sharding.shard_shape(variable.shape)
    size = math.prod(shape) * np.dtype(value.dtype).itemsize
    return {device: size for device in sharding.device_set}


def _total(spread: dict[Any, int]) -> int:
    return sum(spread.values())


def _sums(placement: Any, variables: Iterable[Variable]) -> dict[Any, int]:
    sums: dict[Any, int] = {}
    for variable in variables:
        for device, size in _spread(placement, variable).items():
            sums[device] = sums.get(device, 0) + size
    return sums


def _order(device: Any) -> tuple[str, int]:
    return device.platform, device.id


def _names(devices: Iterable[Any]) -> list[str]:
    return [device_name(d) for d in sorted(devices, key=_order)]
