"""Devices in a grid with named axes, and how the axes of a tensor lie on it."""

from __future__ import annotations

import functools
import math
import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from carnyx._core.devices import device_name, devices_of, find_device, plain_name
from carnyx._core.scope import is_tracer
from carnyx._core.symbol import is_symbolic
from carnyx.errors import ArgumentError
from carnyx.typing import DeviceLike, Tensor


def list_devices(device_type: str | None = None) -> list[str]:
    """The names of the devices of one kind, on all hosts: `["gpu:0", "gpu:1"]`.

    Args:
        device_type: `"cpu"`, `"gpu"` or `"tpu"`; None is what JAX uses by default.
    """
    return [device_name(d) for d in devices_of(device_type)]


def get_device_count(device_type: str | None = None) -> int:
    """How many `list_devices` there are."""
    return len(devices_of(device_type))


class DeviceMesh:
    """Devices in a grid.

    Args:
        shape: the length of each axis, such as `(4, 2)`.
        axis_names: a name for each, such as `("batch", "model")`.
        devices: names (or JAX devices), as many as the grid has places; None is all.

    >>> DeviceMesh((1,), ("batch",), ["cpu:0"])
    <DeviceMesh shape=(1,), axis_names=('batch',)>
    """

    def __init__(
        self,
        shape: Sequence[int],
        axis_names: Sequence[str],
        devices: Sequence[DeviceLike] | np.ndarray | None = None,
    ) -> None:
        self.shape, self.axis_names = _lengths(shape), _names(axis_names)
        if not self.shape or len(self.shape) != len(self.axis_names):
            raise ArgumentError(
                f"DeviceMesh got shape={self.shape} and axis_names={self.axis_names}; "
                "expected a name for each axis, and one axis at least."
            )
        flat = list_devices() if devices is None else listed("DeviceMesh", devices)
        if len(flat) != math.prod(self.shape):
            raise ArgumentError(
                f"DeviceMesh got {len(flat)} devices {flat} for shape {self.shape}, "
                f"which has {math.prod(self.shape)} places; expected a device for each."
            )
        self.devices: np.ndarray = np.array(flat, object).reshape(self.shape)

    @functools.cached_property
    def backend_mesh(self) -> Mesh:
        """The `jax.sharding.Mesh`."""
        flat = [_device(d) for d in self.devices.reshape(-1)]
        listed("DeviceMesh", flat)  # two names may stand for one device
        return Mesh(np.array(flat, object).reshape(self.shape), self.axis_names)

    def size(self, axis_name: str | None) -> int:
        """The length of an axis; 1 for None."""
        if axis_name is None:
            return 1
        return self.shape[self.axis_names.index(axis_name)]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DeviceMesh):
            return NotImplemented
        mine, theirs = (
            (m.shape, m.axis_names, m.device_names()) for m in (self, other)
        )
        return mine == theirs

    def __hash__(self) -> int:
        return hash((self.shape, self.axis_names))

    def device_names(self) -> list[str]:
        """The devices, one row of the grid after the other."""
        return [plain_name(d) for d in self.devices.reshape(-1)]

    def __repr__(self) -> str:
        return f"<DeviceMesh shape={self.shape}, axis_names={self.axis_names}>"


def _lengths(shape: Any) -> tuple[int, ...]:
    try:
        found = tuple(map(operator.index, shape))
    except TypeError:
        found = (0,)
    if any(n < 1 for n in found):
        raise ArgumentError(
            f"DeviceMesh got shape={shape!r}; expected the length of each axis, 1 or "
            "more, such as (4, 2)."
        )
    return found


def _as_tuple(given: Any) -> tuple[Any, ...] | None:
    """What was listed; None where it is no list, as a string is none."""
    listed = isinstance(given, Iterable) and not isinstance(given, str)
    return tuple(given) if listed else None


def _names(names: Any) -> tuple[str, ...]:
    found = _as_tuple(names)
    if found is None or not all(isinstance(n, str) for n in found):
        raise ArgumentError(
            f"DeviceMesh got axis_names={names!r}; expected a list with a name for "
            'each axis, such as ("batch", "model").'
        )
    if len(set(found)) < len(found):
        raise ArgumentError(
            f"DeviceMesh got axis_names={names!r}; expected different names."
        )
    return found


def listed(owner: str, devices: object) -> list[Any]:
    """Devices as they were given, by name or not: one, a list, a grid.

    Raises:
        ArgumentError: for what is no device, none at all, and the same one twice.
    """
    if isinstance(devices, Iterable) and not isinstance(devices, str):
        devices = np.array(list(devices), object)
    flat = list(np.array(devices, object).reshape(-1))
    wrong = [d for d in flat if not isinstance(d, str | jax.Device)]
    if wrong or not flat:
        raise ArgumentError(
            f"{owner} got devices={flat}; expected names of devices, such as 'gpu:0' "
            "(list_devices() has them), or JAX devices, one at least."
        )
    names = [plain_name(d) for d in flat]
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise ArgumentError(
            f"{owner} got devices={names}, with {name} {times} times; expected each "
            "once."
        )
    return flat


def _device(name: Any) -> Any:
    """By number over all hosts, as `list_devices` names them."""
    if not isinstance(name, str):
        return name
    plain = plain_name(name)
    same = [d for d in devices_of(plain.partition(":")[0]) if device_name(d) == plain]
    return same[0] if same else find_device(name)


def check_mesh(owner: str, mesh: object) -> None:
    """Raise ArgumentError for what is no mesh."""
    if not isinstance(mesh, DeviceMesh):
        raise ArgumentError(f"{owner} got the mesh {mesh!r}; expected a DeviceMesh.")


class TensorLayout:
    """Along which axes of a mesh the axes of a tensor are split.

    Args:
        axes: for each axis of the tensor a name of the mesh's, or None: not split.
        device_mesh: may be set later, once.

    >>> mesh = DeviceMesh((1, 1), ("batch", "model"), ["cpu:0"])
    >>> tuple(TensorLayout((None, "model"), mesh).backend_layout.spec)
    (None, 'model')
    """

    def __init__(
        self, axes: Sequence[str | None], device_mesh: DeviceMesh | None = None
    ) -> None:
        self.axes = _axes(axes)
        self._device_mesh: DeviceMesh | None = None
        if device_mesh is not None:
            self.device_mesh = device_mesh

    @property
    def device_mesh(self) -> DeviceMesh | None:
        """The mesh, or None before it is set."""
        return self._device_mesh

    @device_mesh.setter
    def device_mesh(self, mesh: DeviceMesh) -> None:
        if self._device_mesh is not None:
            raise ArgumentError(
                f"TensorLayout {self.axes} has the mesh {self._device_mesh} already; "
                "make another layout for another mesh."
            )
        check_mesh("TensorLayout", mesh)
        unknown = [a for a in self.axes if a is not None and a not in mesh.axis_names]
        if unknown:
            raise ArgumentError(
                f"TensorLayout got the axis {unknown[0]!r}; the mesh has "
                f"{mesh.axis_names}."
            )
        self._device_mesh = mesh

    @functools.cached_property
    def backend_layout(self) -> NamedSharding:
        """The `jax.sharding.NamedSharding`."""
        if self._device_mesh is None:
            raise ArgumentError(
                f"TensorLayout {self.axes} has no device mesh; set device_mesh first."
            )
        last = max((i + 1 for i, a in enumerate(self.axes) if a is not None), default=0)
        spec = PartitionSpec(*self.axes[:last])  # trailing None would differ from none
        return NamedSharding(self._device_mesh.backend_mesh, spec)

    def misfit(self, shape: Sequence[int]) -> str | None:
        """Why no array of this shape can lie so, or None where it can."""
        mesh = self._device_mesh
        for place, axis in enumerate(self.axes):
            if axis is None or mesh is None:
                continue
            if place >= len(shape):
                return f"{axis!r} is for axis {place}, and there are {len(shape)} axes"
            if shape[place] % mesh.size(axis):
                return (
                    f"axis {place} has {shape[place]} entries, which the "
                    f"{mesh.size(axis)} places of {axis!r} do not divide"
                )
        return None

    def __repr__(self) -> str:
        return f"<TensorLayout axes={self.axes}, device_mesh={self.device_mesh}>"


def _axes(axes: Any) -> tuple[str | None, ...]:
    found = _as_tuple(axes)
    names = [a for a in found or () if a is not None]
    if found is None or not all(isinstance(a, str) for a in names):
        raise ArgumentError(
            f"TensorLayout got axes={axes!r}; expected a tuple with the name of an "
            'axis of the mesh, or None, for each axis of the tensor: (None, "model").'
        )
    if len(set(names)) < len(names):
        raise ArgumentError(
            f"TensorLayout got axes={axes!r}; one axis of a mesh can split one axis of "
            "a tensor alone."
        )
    return found


def distribute_tensor(tensor: Tensor, layout: object) -> Any:
    """The tensor, split over devices as `layout` says; also inside a traced function.

    Args:
        layout: a `TensorLayout` or a JAX sharding.

    >>> import jax.numpy as jnp
    >>> mesh = DeviceMesh((1,), ("batch",), ["cpu:0"])
    >>> distribute_tensor(jnp.ones(4), TensorLayout(("batch",), mesh)).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    if not isinstance(layout, TensorLayout | jax.sharding.Sharding):
        raise ArgumentError(
            f"distribute_tensor got the layout {layout!r}; expected a TensorLayout or "
            "a jax.sharding.Sharding."
        )
    if is_symbolic(tensor):
        return tensor  # has no value that could lie anywhere
    sharding = layout.backend_layout if isinstance(layout, TensorLayout) else layout
    if is_tracer(tensor):
        return jax.lax.with_sharding_constraint(tensor, sharding)
    if isinstance(layout, TensorLayout) and hasattr(tensor, "shape"):
        misfit = layout.misfit(tensor.shape)
        if misfit:
            raise ArgumentError(
                f"distribute_tensor got a tensor of shape {tuple(tensor.shape)} and "
                f"{layout}: {misfit}."
            )
    return jax.device_put(tensor, sharding)
