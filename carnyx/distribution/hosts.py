"""Several processes, on one host or many, as one job."""

from __future__ import annotations

import os

import jax
import numpy as np

from carnyx._core.seed import make_default_seed, set_random_seed
from carnyx.errors import ArgumentError

_VARIABLE = "KERAS_DISTRIBUTION_"


def initialize(
    job_addresses: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Join the processes of a job; call it before anything is computed.

    What is not given is looked for in `KERAS_DISTRIBUTION_JOB_ADDRESSES`,
    `…_NUM_PROCESSES` and `…_PROCESS_ID`, then found by JAX (Slurm, Kubernetes, MPI, TPU
    pods). All processes then draw the same random numbers.

    Args:
        job_addresses: `host:port` of the first process; those of others, after
            commas, are counted only.
    """
    given = job_addresses or os.environ.get(f"{_VARIABLE}JOB_ADDRESSES")
    count = _number(num_processes, "NUM_PROCESSES")
    addresses = given.split(",") if given else [None]
    if len(addresses) > 1 and count not in (None, len(addresses)):
        raise ArgumentError(
            f"initialize got {len(addresses)} addresses {given!r} for num_processes="
            f"{count}; expected one for each, or the first alone."
        )
    jax.distributed.initialize(
        coordinator_address=addresses[0],
        num_processes=count or (len(addresses) if len(addresses) > 1 else None),
        process_id=_number(process_id, "PROCESS_ID"),
    )
    from jax.experimental import multihost_utils

    seed = np.uint32(make_default_seed())
    set_random_seed(int(multihost_utils.broadcast_one_to_all(seed)))


def _number(value: int | None, name: str) -> int | None:
    if value is None and _VARIABLE + name in os.environ:
        return int(os.environ[_VARIABLE + name])
    return value
