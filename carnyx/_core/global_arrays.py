"""Arrays of which a process holds a part: made, copied and read.

JAX's own moves between a host and such an array compare the value on all processes, a
message each. Here every process takes what it needs from a value that all have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

Index = tuple[slice, ...]


def is_shared(value: object) -> bool:
    """Whether other processes hold parts (or copies) of an array, too."""
    return isinstance(value, jax.Array) and not value.is_fully_addressable


def put(value: Any, sharding: Any) -> Any:
    """A value on the devices of a sharding; all processes give the same value.

    Where the value is split over processes already, all of them take part.
    """
    if sharding.is_fully_addressable and not is_shared(value):
        return jax.device_put(value, sharding)
    host = on_host(value)
    if sharding.is_fully_addressable:
        return jax.device_put(host, sharding)
    return made_of(host.shape, host.dtype, sharding, host.__getitem__)


def made_of(
    shape: Sequence[int], dtype: Any, sharding: Any, part: Callable[[Any], Any]
) -> Any:
    """An array on the devices of a sharding, from its parts on the host.

    Args:
        part: the part at an index, asked for those of this process's devices.
    """
    return jax.make_array_from_callback(tuple(shape), sharding, part, dtype=dtype)


def on_host(value: Any) -> np.ndarray:
    """The whole of an array; where it is split over processes, all must ask."""
    if is_shared(value) and not value.is_fully_replicated:
        return multihost_utils.process_allgather(value, tiled=True)
    return np.asarray(value)


def all_copied(values: Sequence[Any]) -> list[Any]:
    """The same arrays in memory of their own; of one process's, in one call."""
    if any(map(is_shared, values)):
        return [copied(value) for value in values]
    places = [value.sharding for value in values]
    return jax.device_put(list(values), places, may_alias=False)


def copied(value: Any) -> Any:
    """The same array in memory of its own; sends nothing."""
    if not is_shared(value):
        return jax.device_put(value, value.sharding, may_alias=False)
    parts = [
        jax.device_put(shard.data, shard.device, may_alias=False)
        for shard in value.addressable_shards
    ]
    return jax.make_array_from_single_device_arrays(value.shape, value.sharding, parts)
