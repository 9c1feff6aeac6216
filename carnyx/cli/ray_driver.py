"""A script as a Ray Train job: Ray places its processes and starts them again."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carnyx.cli.child import exit_code, say
from carnyx.cli.plan import Script
from carnyx.cli.ray_worker import Board, run_script
from carnyx.errors import ArgumentError, DeviceError

# Of the launcher's environment, what the processes get on other hosts, too.
_SETTINGS = ("CARNYX_", "JAX_", "KERAS_", "NCCL_", "PYTHONPATH", "XLA_")
_TICK = 0.1


@dataclass(frozen=True)
class Workers:
    """How many processes of a script, and what Ray reserves for each."""

    script: Script
    count: int
    cpus: float = 1
    gpus: int = 0
    restarts: int = 0
    variables: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Two lines for `--dry-run`."""
        settings = [f"{k}={shlex.quote(v)}" for k, v in self.variables.items()]
        return (
            f"Ray Train: {self.count} workers, each {self.cpus:g} CPUs and {self.gpus} "
            f"GPUs; {self.restarts} restarts\n"
            + " ".join([*settings, shlex.join(self.script.command())])
        )


def run_on_ray(workers: Workers, address: str | None, storage: str | None) -> int:
    """Run the job to its end; its exit code.

    Args:
        address: of a cluster, `"local"`, or None to find one or start one here.
        storage: the folder, or the address of a store, for Ray Train's records.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no word to anyone outside
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # processes may well say the same
    try:  # it reads both when it is imported
        import ray  # type: ignore
        from ray.train.v2.jax import JaxTrainer  # type: ignore # noqa: F401
    except ImportError as error:
        raise ArgumentError(
            'launch got --ray, and Ray Train is not installed: pip install "carnyx'
            f'[cluster]". ({error})'
        ) from error
    try:
        ray.init(address=address)
    except (ConnectionError, ValueError) as error:
        raise DeviceError(
            f"launch cannot join the Ray cluster {address or 'here'} ({error}). "
            "Is it up, and is RAY_AUTH_MODE the same as there (token or disabled)?"
        ) from error
    try:
        _check_resources(workers, ray.cluster_resources())
        board = ray.remote(num_cpus=0)(Board).remote()
        error, interrupted = _run(_trainer(workers, storage, board), board)
        failures = ray.get(board.failures.remote())
    finally:
        ray.shutdown()
    if failures and (error or interrupted):
        say(f"{failures[0][1]}.")
        return exit_code(failures[0][0])
    if error is not None:  # a worker or a host was lost, or Ray itself failed
        say(f"{type(error).__name__}: {error}")
        return 1
    return 0


def _trainer(workers: Workers, storage: str | None, board: Any) -> Any:
    from ray import train  # type: ignore
    from ray.train.v2.jax import JaxConfig, JaxTrainer  # type: ignore

    if storage is not None and "://" not in storage:
        storage = str(Path(storage).resolve())
    inherited = {k: v for k, v in os.environ.items() if k.startswith(_SETTINGS)}
    return JaxTrainer(
        run_script,
        train_loop_config={
            "script": workers.script,
            "folder": str(Path.cwd()),
            "variables": inherited | workers.variables,
            "board": board,
        },
        # Neither TPU nor GPU: Ray starts no JAX of its own; the script does.
        jax_config=JaxConfig(),
        scaling_config=train.ScalingConfig(
            num_workers=workers.count,
            use_gpu=workers.gpus > 0,
            resources_per_worker={"CPU": workers.cpus, "GPU": workers.gpus},
        ),
        run_config=train.RunConfig(
            storage_path=storage,
            failure_config=train.FailureConfig(max_failures=workers.restarts),
        ),
    )


def _run(trainer: Any, board: Any) -> tuple[BaseException | None, bool]:
    """What went wrong, and whether the job was asked to end.

    Ray Train would take Ctrl-C for itself and kill the workers; in another thread it
    leaves signals to us, who pass them on to the script.
    """
    errors: list[BaseException] = []

    def fit() -> None:
        try:
            trainer.fit()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=fit, daemon=True)
    with _signals_to(board) as sent:
        thread.start()
        while thread.is_alive():
            thread.join(_TICK)
    return (errors[0] if errors else None), bool(sent)


@contextlib.contextmanager
def _signals_to(board: Any) -> Iterator[list[int]]:
    sent: list[int] = []

    def handle(number: int, frame: Any) -> None:
        sent.append(number)
        board.send.remote(number)

    numbers = signal.SIGINT, signal.SIGTERM
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield sent
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_resources(workers: Workers, there: dict[str, float]) -> None:
    """Ray Train would wait for ever for what a cluster does not have."""
    for kind, each in (("CPU", workers.cpus), ("GPU", workers.gpus)):
        if each * workers.count > there.get(kind, 0):
            raise DeviceError(
                f"{workers.count} workers with {each:g} {kind}s each were asked for; "
                f"the Ray cluster has {there.get(kind, 0):g} {kind}s. Ask for fewer "
                f"with -n or --{kind.lower()}s-per-worker (a part of one is possible "
                "for CPUs), or start a larger cluster."
            )
