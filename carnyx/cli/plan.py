"""What a job starts: a command line and an environment for each process."""

from __future__ import annotations

import shlex
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from carnyx.cli.gpus import Gpu

_DISTRIBUTION = "KERAS_DISTRIBUTION_"  # read by distribution.initialize()


@dataclass(frozen=True)
class Script:
    """A Python file, or with `module` the name of a module, and its arguments."""

    name: str
    args: tuple[str, ...] = ()
    module: bool = False

    def command(self, python: str = sys.executable) -> list[str]:
        """The command line that runs it."""
        return [python, *(["-m"] if self.module else []), self.name, *self.args]


@dataclass(frozen=True)
class Process:
    """One process of a job; `rank` counts over all hosts."""

    rank: int
    command: list[str]
    variables: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """The line that a shell would start it with."""
        settings = [f"{k}={shlex.quote(v)}" for k, v in self.variables.items()]
        return " ".join([*settings, shlex.join(self.command)])


def process_variables(address: str, count: int, rank: int) -> dict[str, str]:
    """What `distribution.initialize()` reads in the process `rank` of `count`."""
    return {
        f"{_DISTRIBUTION}JOB_ADDRESSES": address,
        f"{_DISTRIBUTION}NUM_PROCESSES": str(count),
        f"{_DISTRIBUTION}PROCESS_ID": str(rank),
    }


def device_variables(
    gpus: Sequence[Gpu] = (), cpu: bool = False, devices: int | None = None
) -> dict[str, str]:
    """What tells JAX its devices: these GPUs, or so many simulated ones of the CPU."""
    if gpus:
        return {
            "CUDA_VISIBLE_DEVICES": ",".join(gpu.id for gpu in gpus),
            # Without it, JAX under Slurm or MPI takes the one of the task's number.
            "JAX_LOCAL_DEVICE_IDS": ",".join(map(str, range(len(gpus)))),
        }
    variables = {"JAX_PLATFORMS": "cpu"} if cpu or devices else {}
    return variables | ({"JAX_NUM_CPU_DEVICES": str(devices)} if devices else {})


def free_port(host: str = "") -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        return listener.getsockname()[1]
