"""Whether an array fits into memory, asked before it is made.

Too large an array ends the process: by an abort inside XLA, or by the system when the
pages are touched. Its bytes are known from its shape, so there is an error instead.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from carnyx.errors import ArgumentError, OutOfMemoryError
from carnyx.typing import DTypeLike, ShapeLike

LESS = (
    "Make it smaller, use a smaller dtype, or divide it among devices "
    "(keras.distribution); within keras.abstract() models have no values."
)
"""What to do where memory does not suffice, for the end of a message."""
_SMALL = 1 << 20  # bytes that nobody asks the system about


def ensure_room(
    shape: ShapeLike | int, dtype: DTypeLike, what: str, copies: int = 1
) -> None:
    """Nothing, or an error that says what is too large, and by how much.

    Args:
        what: what is to be made, as the message begins with it.
        copies: how often it is in memory while it is made.

    Raises:
        OutOfMemoryError: where the machine has not as much free.
        ArgumentError: where a size is negative.
    """
    sizes = _sizes(shape)
    if sizes is None:
        return
    if min(sizes, default=0) < 0:
        raise ArgumentError(f"{what} got shape {sizes}; expected sizes of at least 0.")
    needed = math.prod(sizes) * jnp.dtype(dtype).itemsize
    if needed < _SMALL:
        return
    free = free_bytes()
    if free is not None and needed * copies > free:
        during = (
            f" ({readable(needed * copies)} while it is made)" if copies > 1 else ""
        )
        raise OutOfMemoryError(
            f"{what} of shape {sizes} and dtype {jnp.dtype(dtype).name} takes "
            f"{readable(needed)}{during}, and {readable(free)} of memory are free. "
            f"{LESS}"
        )


def copies_made(initializer: Any) -> int:
    """How often an array is in memory while an initializer makes it."""
    return getattr(initializer, "copies_made", 2)


def ensure_room_for(outputs: Any, what: str) -> None:
    """`ensure_room` for each of some symbolic outputs, a batch of one sample at least.

    Args:
        what: whose outputs they are.
    """
    for tensor in jax.tree_util.tree_leaves(outputs):
        sizes = [1 if n is None else n for n in getattr(tensor, "shape", ())]
        if math.prod(sizes) >= _SMALL:
            ensure_room(sizes, tensor.dtype, f"The output of {what}")


def _sizes(shape: Any) -> tuple[int, ...] | None:
    """A shape as plain numbers; None where the array's maker has to judge it."""
    try:
        given = list(shape) if hasattr(shape, "__iter__") else [shape]
        sizes = tuple(int(size.__index__()) for size in given)
    except (AttributeError, TypeError):  # symbolic, or no size at all
        return None
    return sizes


def free_bytes() -> int | None:
    """What the device that arrays go to can still take; None where nobody says."""
    device = jax.config.jax_default_device or jax.local_devices()[0]
    if getattr(device, "platform", device) == "cpu" or isinstance(device, str):
        known = [
            n for n in (_of_machine(), _of_group(), _of_process()) if n is not None
        ]
        return min(known, default=None)
    known = [d.memory_stats() or {} for d in jax.local_devices()]
    limits = [k["bytes_limit"] for k in known if "bytes_limit" in k]
    return sum(limits) if limits else None  # an array may be divided among them


def _of_machine() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    sizes = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    found = (sizes.get(name) for name in ("MemAvailable", "SwapFree"))
    return sum(int(size.split()[0]) << 10 for size in found if size)


def _of_group() -> int | None:
    """What the group of processes (a container) may still take."""
    for most, now in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        try:
            return max(int(Path(most).read_text()) - int(Path(now).read_text()), 0)
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return None


def _of_process() -> int | None:
    """What the process may still map (`ulimit -v`)."""
    try:
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError, ValueError):
        return None
    return max(most - pages * os.sysconf("SC_PAGE_SIZE"), 0)


def readable(size: int) -> str:
    """A size for messages.

    >>> readable(3 << 30)
    '3.0 GiB'
    """
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            return f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.3g} PiB"
