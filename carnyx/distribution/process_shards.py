"""Batches of which each process has a part of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from carnyx._core.global_arrays import made_of
from carnyx._core.placement import Padded, Uneven, filled
from carnyx.errors import ArgumentError, DataError
from carnyx.typing import Tensors


class ProcessShards:
    """Which part of a batch each process gives, one after the other.

    Processes that share a part (as a model's weights are split between them) have to
    give the same samples.

    Args:
        devices: the mesh's.
        axis: of the mesh, along which batches are split.

    Attributes:
        of: the part of each process that has a device in the mesh.
        count: how many parts there are.
        shards: over how many devices a part is split.
    """

    def __init__(self, devices: np.ndarray, axis: int) -> None:
        rows = np.moveaxis(devices, axis, 0).reshape(devices.shape[axis], -1)
        places: dict[int, list[int]] = {}
        for place, row in enumerate(rows):
            for process in sorted({d.process_index for d in row}):
                places.setdefault(process, []).append(place)
        parts = sorted({tuple(p) for p in places.values()})
        self.count, self.shards = len(parts), len(parts[0])
        if [i for part in parts for i in part] != list(range(len(rows))):
            raise ArgumentError(
                "auto_shard_dataset=False needs a mesh in which each process's devices "
                f"are neighbours along the axis for batches; they are at {places}."
            )
        if len({len(part) for part in parts}) > 1:
            raise ArgumentError(
                "auto_shard_dataset=False needs as many devices in each process; the "
                f"mesh has {places}."
            )
        self.of = {p: parts.index(tuple(own)) for p, own in places.items()}

    def sizes(self, batch: Tensors, axis: int = 0) -> list[int]:
        """How many samples each part has."""
        if not isinstance(batch, Uneven):
            leaf = jax.tree_util.tree_leaves(batch)[0]
            return [leaf.shape[axis]] * self.count
        assert isinstance(batch.size, tuple)
        found: dict[int, int] = {}
        for process, part in self.of.items():
            if found.setdefault(part, batch.size[process]) != batch.size[process]:
                raise DataError(
                    f"Processes that share part {part} of the batches gave different "
                    f"numbers of samples: {list(batch.size)}, one a process."
                )
        return [found[part] for part in range(self.count)]

    def place(self, batch: Tensors, axis: int, sharding: Callable[..., Any]) -> Any:
        """The whole batch, of which this process's part is moved.

        Args:
            sharding: of an array, by its shape and the axis of its samples.
        """
        sizes = self.sizes(batch, axis)
        room = -(-max(sizes) // self.shards) * self.shards
        first = self.of[jax.process_index()] * room
        content = batch.content if isinstance(batch, Uneven) else batch

        def place(leaf: Any) -> Any:
            if room > leaf.shape[axis]:
                leaf = filled(leaf, room - leaf.shape[axis], axis)
            host = np.asarray(leaf)
            shape = list(leaf.shape)
            shape[axis] = room * self.count

            def part(index: tuple[slice, ...]) -> np.ndarray:
                start, stop, _ = index[axis].indices(shape[axis])
                own = slice(start - first, stop - first)
                return host[(*index[:axis], own, *index[axis + 1 :])]

            return made_of(shape, host.dtype, sharding(shape, axis), part)

        placed = jax.tree_util.tree_map(place, content)
        return Padded(placed, tuple(sizes)) if set(sizes) != {room} else placed

    def rows(self, batch: Tensors) -> slice:
        """Where this process's samples stand in the whole batch."""
        sizes, own = self.sizes(batch), self.of[jax.process_index()]
        first = sum(sizes[:own])
        return slice(first, first + sizes[own])
