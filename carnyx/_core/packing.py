"""Small values packed into one array, where a program runs on several devices.

Starting a program costs the host time for each array on each device: more than the
step itself where a model has dozens of biases, moments and counters. What is small on
every device goes through the program as one array of bits for each size of number (and
each way to split it), cut up and put together inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from carnyx._core import placement
from carnyx._core.variable import Store, Variable
from carnyx.typing import Tensor

Spec = jax.ShapeDtypeStruct


def store_of(
    variables: Sequence[Variable], placed: placement.Placement | None
) -> Store:
    """A store of these values, packed where that pays."""
    groups: dict[Any, list[int]] = {}
    for index, variable in enumerate(variables):
        if placed is not None and placed.packs(variable):
            mesh, names, _ = _layout(placed.sharding_of(variable))
            groups.setdefault((mesh, names, _carrier(variable)), []).append(index)
    packs = [
        Pack(
            members,
            [variables[i] for i in members],
            [placed.sharding_of(variables[i]) for i in members],
        )
        for members in groups.values()
        if placed is not None and len(members) > 1
    ]
    return PackedStore(variables, placed, packs) if packs else Store(variables, placed)


def can_pack(sharding: object) -> bool:
    """Whether values that lie so can be packed: whole, or split over all devices.

    Where a mesh has two axes XLA would gather values to cut up a pack that is split.
    """
    if not isinstance(sharding, NamedSharding):
        return False
    split = sum(names is not None for names in sharding.spec)
    return sharding.is_fully_replicated or (split == 1 == len(sharding.mesh.shape))


def _layout(sharding: Any) -> tuple[Any, Any, int]:
    """The mesh, which of its axes split a value (or None), and which of its own."""
    for axis, names in enumerate(sharding.spec):
        if names is not None:
            return sharding.mesh, names, axis
    return sharding.mesh, None, 0


def _carrier(variable: Variable) -> Any:
    """The dtype of the pack that can have the value: bits, where numbers have some."""
    dtype = jnp.dtype(variable.dtype)
    real = jnp.issubdtype(dtype, np.floating) or jnp.issubdtype(dtype, np.integer)
    if real and dtype.itemsize > 1:
        return jnp.dtype(f"uint{8 * dtype.itemsize}")
    return dtype


class Pack:
    """Which values lie one after the other in one array of shape (parts, elements).

    A row has what a device has; without splitting there is one row. Values of several
    dtypes lie there as bits.

    Args:
        members: their indices in the store.
        shardings: where they lie, all along the same axes of one mesh.
    """

    def __init__(
        self,
        members: Sequence[int],
        variables: Sequence[Variable],
        shardings: Sequence[Any],
    ) -> None:
        self.members, self.dtype = list(members), _carrier(variables[0])
        self.shapes = [v.shape for v in variables]
        self.dtypes = [jnp.dtype(v.dtype) for v in variables]
        if len(set(self.dtypes)) == 1:
            self.dtype = self.dtypes[0]
        mesh, names, _ = _layout(shardings[0])
        self.axes = [_layout(s)[2] for s in shardings]
        along = names if isinstance(names, tuple) else [names] if names else []
        self.parts = math.prod(mesh.shape[name] for name in along)
        self.stops = (np.cumsum([v.size for v in variables]) // self.parts).tolist()
        spec = PartitionSpec(names) if names else PartitionSpec()
        self.sharding = NamedSharding(mesh, spec)
        own = shardings if names else [self.sharding] * len(members)
        self.shardings = dict(zip(members, own, strict=True))

    def cut(self, array: Any) -> dict[int, Any]:
        """Inside a program: the values by their indices."""
        starts = [0, *self.stops]
        kinds = zip(self.members, self.shapes, self.dtypes, self.axes)
        found = {}
        for kind, start, stop in zip(kinds, starts, self.stops):
            index, shape, dtype, axis = kind
            rows = lax.slice_in_dim(array, start, stop, axis=1)
            value = self._value(lax.bitcast_convert_type(rows, dtype), shape, axis)
            # bound, or XLA may split the pack as some user of a value likes it split
            found[index] = lax.with_sharding_constraint(value, self.shardings[index])
        return found

    def join(self, values: Tensor) -> Any:
        """Inside a program: one array of the values."""
        rows = [
            self._rows(lax.with_sharding_constraint(values[i], sharding), axis)
            for (i, sharding), axis in zip(self.shardings.items(), self.axes)
        ]
        return lax.with_sharding_constraint(jnp.concatenate(rows, 1), self.sharding)

    def _value(self, rows: Any, shape: tuple[int, ...], axis: int) -> Any:
        if self.parts == 1:
            return rows.reshape(shape)
        each = [n // self.parts if i == axis else n for i, n in enumerate(shape)]
        return jnp.moveaxis(rows.reshape(self.parts, *each), 0, axis).reshape(shape)

    def _rows(self, value: Any, axis: int) -> Any:
        value = lax.bitcast_convert_type(value, self.dtype)
        if self.parts == 1:
            return value.reshape(1, -1)
        size = value.shape[axis] // self.parts
        shape = value.shape[:axis], (self.parts, size), value.shape[axis + 1 :]
        parts = value.reshape([n for part in shape for n in part])
        return jnp.moveaxis(parts, axis, 0).reshape(self.parts, -1)

    def make(self, values: Sequence[Any]) -> Any:
        """Outside of programs. A spec where a value is one."""
        own = {i: values[i] for i in self.members}
        if any(isinstance(v, Spec) for v in own.values()):
            shape = self.parts, self.stops[-1]
            return Spec(shape, self.dtype, sharding=self.sharding)
        if self.parts > 1:
            with jax.ensure_compile_time_eval():
                return jax.jit(self.join)(own)
        # by the host, which compiles nothing
        rows = [np.asarray(v).reshape(1, -1).view(self.dtype) for v in own.values()]
        host = np.concatenate(rows, 1)
        return jax.make_array_from_callback(host.shape, self.sharding, host.__getitem__)


class PackedStore(Store):
    """A store whose `values` are single arrays, then packs.

    A packed value is cut out when somebody reads it, together with all others, by one
    program; those that are written are put in before the next step, by another.
    """

    __slots__ = ("_at", "_cut", "_merged", "_pack_of", "_read", "_written", "packs")

    def __init__(
        self,
        variables: Sequence[Variable],
        placed: placement.Placement | None,
        packs: Sequence[Pack],
    ) -> None:
        self.packs = list(packs)
        self._pack_of = {i: pack for pack in packs for i in pack.members}
        single = [i for i in range(len(variables)) if i not in self._pack_of]
        self._at = {index: at for at, index in enumerate(single)}
        self._read: dict[int, Any] = {}  # values cut out, or newer ones
        self._written: set[int] = set()
        self._cut = jax.jit(self._cut_all)
        self._merged = jax.jit(self._merge, donate_argnums=0)
        super().__init__(variables, placed)

    # ---- inside programs

    def opened(self, values: Sequence[Any]) -> list[Any]:
        flat = {index: values[at] for index, at in self._at.items()}
        flat |= self._cut_all(values[len(self._at) :])
        return [flat[i] for i in range(len(flat))]

    def closed(self, flat: Sequence[Any]) -> list[Any]:
        single = [flat[index] for index in self._at]
        return [*single, *(pack.join(flat) for pack in self.packs)]

    def shardings(self) -> list[Any]:
        found = super().shardings()
        return [*(found[i] for i in self._at), *(p.sharding for p in self.packs)]

    def _cut_all(self, packs: Sequence[Any]) -> dict[int, Any]:
        pairs = zip(self.packs, packs, strict=True)
        return {i: v for pack, array in pairs for i, v in pack.cut(array).items()}

    def _merge(self, packs: list[Any], written: dict[int, Any]) -> list[Any]:
        flat = self._cut_all(packs) | written
        return [pack.join(flat) for pack in self.packs]

    # ---- outside

    def keep(self, flat: list[Any]) -> None:
        self.values = [flat[index] for index in self._at]
        self.values += [pack.make(flat) for pack in self.packs]
        self._read = {i: flat[i] for i in self._pack_of}
        self._written = set()
        self._lent &= set(self._at)

    def ready(self) -> list[Any]:
        values = super().ready()
        if self._written:
            first = len(self._at)
            written = {i: self._read[i] for i in self._written}
            with jax.ensure_compile_time_eval():
                values[first:] = self._merged(values[first:], written)
            self._written = set()
        return values

    def take(self, values: list[Any]) -> None:
        self.values, self._read = values, {}

    def lend(self, index: int) -> Any:
        return super().lend(index) if index in self._at else self.peek(index)

    def peek(self, index: int) -> Any:
        if index in self._at:
            return self.values[self._at[index]]
        if index not in self._read:
            self._read = self._all_read() | self._read
        return self._read[index]

    def _all_read(self) -> dict[int, Any]:
        packs = self.values[len(self._at) :]
        if not any(isinstance(pack, Spec) for pack in packs):
            with jax.ensure_compile_time_eval():  # some program may be being traced
                return self._cut(packs)
        return {
            i: Spec(shape, dtype, sharding=pack.shardings[i])
            for pack in self.packs
            for i, shape, dtype in zip(pack.members, pack.shapes, pack.dtypes)
        }

    def sharding(self, index: int) -> Any:
        pack = self._pack_of.get(index)
        if pack is None:
            return self.values[self._at[index]].sharding
        return pack.shardings[index]

    def put(self, index: int, value: object) -> None:
        if index in self._at:
            self.values[self._at[index]] = value
        else:
            self._read[index] = value
            self._written.add(index)

    def has_lent(self, index: int) -> bool:
        """Whoever read a packed value has an array beside the pack."""
        return index in self._read or super().has_lent(index)
