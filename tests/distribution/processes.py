"""Starts the scripts in `jobs/` as processes of one job, as a launcher would."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Started(NamedTuple):
    process: subprocess.Popen
    out: Path  # what it prints


def start(
    script: str,
    *args: object,
    folder: Path,
    processes: int = 1,
    devices: int = 1,
    host: str = "127.0.0.1",
    prefixes: list[list[str]] | None = None,
) -> list[Started]:
    """Start them.

    Args:
        folder: for what they print.
        prefixes: a command before each, such as `ip netns exec`.
    """
    port, started = free_port(), []
    for index in range(processes):
        env = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": str(devices),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }
        if processes > 1:
            env |= {
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"{host}:{port}",
                "KERAS_DISTRIBUTION_NUM_PROCESSES": str(processes),
                "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
            }
        out = folder / f"out-{port}-{index}.txt"
        command = [sys.executable, str(HERE / "jobs" / script), *map(str, args)]
        with out.open("w") as stream:
            process = subprocess.Popen(
                [*(prefixes[index] if prefixes else []), *command],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=ROOT,
            )
        started.append(Started(process, out))
    return started


def ended(started: list[Started], seconds: float = 240) -> list[tuple[int, str]]:
    """Wait for all; exit code and output of each. None outlives the call."""
    until = time.monotonic() + seconds
    try:
        for job in started:
            job.process.wait(max(until - time.monotonic(), 0.1))
    finally:
        for job in started:
            if job.process.poll() is None:
                job.process.send_signal(signal.SIGKILL)
                job.process.wait()
    return [(job.process.returncode, job.out.read_text()) for job in started]


def run(script: str, *args: object, **options: object) -> list[str]:
    """Start, wait, and expect that all end well; what each printed."""
    results = ended(start(script, *args, **options))  # type: ignore[arg-type]
    for index, (code, text) in enumerate(results):
        assert code == 0, f"process {index} of {script}: {code}\n{text[-4000:]}"
    return [text for _, text in results]


def wait_for(condition, seconds: float = 120) -> None:
    """Until something is so."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
