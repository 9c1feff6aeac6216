"""Several processes, on one host or many, as one job."""

from __future__ import annotations

import json
import operator
import os

import jax
import numpy as np

from carnyx._core.placement import current_placement, set_placement
from carnyx._core.seed import make_default_seed, set_random_seed
from carnyx.distribution import job
from carnyx.distribution.addresses import addresses_of, is_address
from carnyx.distribution.coordinator import Coordinator
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
    port = _job_port()
    if not jax.distributed.is_initialized() and not _alone[0]:
        _join(address, count, index)
    if jax.process_count() > 1 and job.current_job() is None:
        host = address and address.rpartition(":")[0].strip("[]")
        _hold_line(host, port)
        _draw_alike()
    if current_placement() is None and jax.device_count() > 1:
        set_placement(DataParallel())


def _asked_for(
    job_addresses: str | None, num_processes: int | None, process_id: int | None
) -> tuple[str | None, int | None, int | None]:
    """The coordinator's address, the number of processes, and which one this is."""
    if not isinstance(job_addresses, str | None):
        raise ArgumentError(
            f"initialize got job_addresses={job_addresses!r}; expected a string: the "
            "host:port of the first process, or those of all with commas between."
        )
    given = job_addresses or os.environ.get(f"{_VARIABLE}JOB_ADDRESSES")
    count = _number(num_processes, "NUM_PROCESSES")
    index = _number(process_id, "PROCESS_ID")
    addresses = given.split(",") if given else [None]
    if len(addresses) > 1 and count not in (None, len(addresses)):
        raise ArgumentError(
            f"initialize got {len(addresses)} addresses {given!r} for num_processes="
            f"{count}; expected one for each, or the first alone."
        )
    if addresses[0] is not None and not is_address(addresses[0]):
        raise ArgumentError(
            f"initialize got the address {addresses[0]!r}; expected host:port, with a "
            "port from 1 to 65535."
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
    if value is not None:
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise ArgumentError(
                f"initialize got {name.lower()}={value!r}; expected a whole number."
            )
        return operator.index(value)
    if _VARIABLE + name not in os.environ:
        return None
    text = os.environ[_VARIABLE + name]
    if not text.strip().isdigit():
        raise ArgumentError(f"{_VARIABLE}{name} is {text!r}; expected a number.")
    return int(text)


def _job_port() -> int:
    text = os.environ.get("CARNYX_JOB_PORT", "0").strip()
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise ArgumentError(
            f"CARNYX_JOB_PORT is {text!r}; expected a port: 1 to 65535, or 0 for any."
        )
    return int(text)


# JAX's words for what it could not find. Its errors are of no type of their own, and
# it alone knows whether Slurm or Kubernetes told it anything. That these are its words
# is tested in `tests/distribution/test_words_of_jax.py`.
_NOTHING = "coordinator_address"
_TOO_LATE = "before"
_MISSING = {
    _NOTHING: "job_addresses (KERAS_DISTRIBUTION_JOB_ADDRESSES)",
    "Number of processes": "num_processes (KERAS_DISTRIBUTION_NUM_PROCESSES)",
    "process id of": "process_id (KERAS_DISTRIBUTION_PROCESS_ID)",
}


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
        if address is count is index is None and _NOTHING in str(error):
            _alone[0] = True  # nothing given, nothing found
            return
        found = [name for words, name in _MISSING.items() if words in str(error)]
        missing = f"give {found[0]}, too." if found else str(error)
        raise ArgumentError(
            f"initialize got job_addresses={address!r}, num_processes={count}, "
            f"process_id={index}, and could not find the rest: {missing}"
        ) from error
    except RuntimeError as error:
        if _TOO_LATE not in str(error):  # JAX's own reasons, such as a timeout
            raise
        raise DeviceError(
            "initialize was called after something was computed, so JAX has chosen its "
            "devices already. Call it first, right after the imports."
        ) from error


def _hold_line(host: str | None, port: int) -> None:
    """Connect this process with the others.

    Args:
        host: where others reach the first process, if known.
        port: of the coordinator; 0 is any that is free.
    """
    coordinator, said, index = None, b"", jax.process_index()
    if index == 0:
        token = os.urandom(16).hex()
        try:
            coordinator = Coordinator(jax.process_count(), token, port)
            said = json.dumps(
                [token, [(a, coordinator.port) for a in addresses_of(host)]]
            )
        except OSError as error:
            said = json.dumps([f"cannot listen at its port {port}: {error}", None])
        said = said.encode()
    token, where = json.loads(_spread(said))
    if where is None:
        raise DeviceError(f"Process 0 {token}. CARNYX_JOB_PORT chooses another.")
    addresses = (
        [("localhost", coordinator.port)] if coordinator else [tuple(a) for a in where]
    )
    job.join(index, jax.process_count(), addresses, token, coordinator)


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
