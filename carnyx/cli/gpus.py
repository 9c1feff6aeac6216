"""Which GPUs there are, asked without JAX: a launcher must not hold one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from carnyx.errors import DeviceError

_ASK = ["nvidia-smi", "--query-gpu=index,name", "--format=csv,noheader"]


@dataclass(frozen=True)
class Gpu:
    """One that processes may be given; `id` is what CUDA_VISIBLE_DEVICES calls it."""

    id: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.id} ({self.name})" if self.name else self.id


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[Gpu]:
    """Those that JAX would use: none where it is told to keep to the CPU."""
    platforms = environment.get("JAX_PLATFORMS", "")
    if platforms and not {"cuda", "gpu"} & set(platforms.lower().split(",")):
        return []
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return _installed()
    ids = [part.strip() for part in named.split(",")]
    ends = [i for i, part in enumerate(ids) if part in ("", "-1")]
    return [
        Gpu(part) for part in ids[: min(ends, default=len(ids))]
    ]  # as CUDA reads it


def share_gpus(gpus: list[Gpu], processes: int) -> list[list[Gpu]]:
    """As many for each process, neighbours together; what does not divide is left.

    Raises:
        DeviceError: for more processes than GPUs.

    >>> [[gpu.id for gpu in part] for part in share_gpus([Gpu("0"), Gpu("1")], 2)]
    [['0'], ['1']]
    """
    each = len(gpus) // processes
    if each == 0:
        listed = ", ".join(map(str, gpus))
        raise DeviceError(
            f"{processes} processes were asked for; this machine has {len(gpus)} "
            f"GPU{'s' * (len(gpus) > 1)}: {listed}. Start at most {len(gpus)}, or "
            "give --cpu to run on the CPU."
        )
    return [gpus[i * each : (i + 1) * each] for i in range(processes)]


def _installed() -> list[Gpu]:
    if shutil.which(_ASK[0]) is None:
        return []
    asked = subprocess.run(_ASK, capture_output=True, text=True)
    if asked.returncode != 0:  # the tool without a driver: there is no GPU to use
        return []
    rows = [line.partition(",") for line in asked.stdout.splitlines() if line.strip()]
    return [Gpu(index.strip(), name.strip()) for index, _, name in rows]
