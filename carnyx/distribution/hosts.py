"""Several processes, on one host or many, as one job."""

from __future__ import annotations

import os

import jax
import numpy as np

from carnyx._core.placement import current_placement, set_placement
from carnyx._core.seed import make_default_seed, set_random_seed
from carnyx.distribution import job
from carnyx.distribution.data_parallel import DataParallel
from carnyx.errors import ArgumentError, DeviceError

_VARIABLE = "KERAS_DISTRIBUTION_"
_LONGEST = 4096  # bytes that say where the first process is
_alone = [False]  # there was nothing to join


def initialize(
    job_addresses: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Join the processes of a job; call it before anything is computed.

    What is not given is looked for in `KERAS_DISTRIBUTION_JOB_ADDRESSES`,
    `…_NUM_PROCESSES` and `…_PROCESS_ID`, then found by JAX (Slurm, Kubernetes, MPI, TPU
    pods). Where there is nothing to join, the process is a job of its own, so that a
    script runs on a laptop as it is. All processes then draw the same random numbers,
    and `DataParallel()` over all devices is in force, unless another distribution is.
    Called again, it does nothing.

    The processes also hold a line to the first one, over which each hears of another
    that dies (`ProcessError`); `CARNYX_JOB_PORT` fixes the port that it listens at.

    Args:
        job_addresses: `host:port` of the first process; those of others, after
            commas, are counted only.

    Raises:
        ArgumentError: when what is given does not make a job.
        DeviceError: when something was computed before.
    """
    address, count, index = _asked_for(job_addresses, num_processes, process_id)
    if not jax.distributed.is_initialized() and not _alone[0]:
        _join(address, count, index)
    if jax.process_count() > 1 and job.current_job() is None:
        host = address and address.rpartition(":")[0].strip("[]")
        port = int(os.environ.get("CARNYX_JOB_PORT", "0"))
        job.join(jax.process_count(), jax.process_index(), host, port, _spread)
        _draw_alike()
    if current_placement() is None and jax.device_count() > 1:
        set_placement(DataParallel())


def _asked_for(
    job_addresses: str | None, num_processes: int | None, process_id: int | None
) -> tuple[str | None, int | None, int | None]:
    """The coordinator's address, the number of processes, and which one this is."""
    given = job_addresses or os.environ.get(f"{_VARIABLE}JOB_ADDRESSES")
    count = _number(num_processes, "NUM_PROCESSES")
    index = _number(process_id, "PROCESS_ID")
    addresses = given.split(",") if given else [None]
    if len(addresses) > 1 and count not in (None, len(addresses)):
        raise ArgumentError(
            f"initialize got {len(addresses)} addresses {given!r} for num_processes="
            f"{count}; expected one for each, or the first alone."
        )
    if addresses[0] and not addresses[0].rpartition(":")[2].isdigit():
        raise ArgumentError(
            f"initialize got the address {addresses[0]!r}; expected host:port."
        )
    if count is None and len(addresses) > 1:
        count = len(addresses)
    if count is not None and (count < 1 or not 0 <= (index or 0) < count):
        raise ArgumentError(
            f"initialize got num_processes={count} and process_id={index}; expected a "
            "number of processes above 0, and an id from 0 to one less."
        )
    return addresses[0], count, index


def _number(value: int | None, name: str) -> int | None:
    if value is not None or _VARIABLE + name not in os.environ:
        return value
    text = os.environ[_VARIABLE + name]
    if not text.strip().isdigit():
        raise ArgumentError(f"{_VARIABLE}{name} is {text!r}; expected a number.")
    return int(text)


def _join(address: str | None, count: int | None, index: int | None) -> None:
    _alone[0] = count == 1
    if count == 1:
        return
    # its handler swallows SIGTERM, on which training saves a backup and leaves
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator_address=address, num_processes=count, process_id=index
        )
    except ValueError as error:
        if address is count is index is None and "coordinator_address" in str(error):
            _alone[0] = True  # nothing given, nothing found
            return
        raise ArgumentError(
            f"initialize got job_addresses={address!r}, num_processes={count}, "
            f"process_id={index}, and could not find the rest: {error}"
        ) from error
    except RuntimeError as error:
        if "before" not in str(error):  # JAX's own reasons, such as a timeout
            raise
        raise DeviceError(
            "initialize was called after something was computed, so JAX has chosen its "
            "devices already. Call it first, right after the imports."
        ) from error


def _spread(said: bytes) -> bytes:
    """The first process's bytes, in every process."""
    from jax.experimental import multihost_utils

    room = np.zeros(_LONGEST, np.uint8)
    room[: len(said)] = np.frombuffer(said, np.uint8)
    return multihost_utils.broadcast_one_to_all(room).tobytes().rstrip(b"\0")


def _draw_alike() -> None:
    """Every process has the first one's random seed."""
    joined = job.current_job()
    assert joined is not None
    set_random_seed(joined.agree(int(make_default_seed()), "initialize")[0])
