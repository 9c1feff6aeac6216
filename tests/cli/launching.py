"""Starts `carnyx launch` on a script, and waits for it no longer than a minute."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WAIT = 60
RANK = """
import json, os, signal, sys, time
from pathlib import Path
rank = int(os.environ["KERAS_DISTRIBUTION_PROCESS_ID"])
"""
_UNSET = ("KERAS_DISTRIBUTION_", "CUDA_VISIBLE_DEVICES", "JAX_", "PYTHON")


_ON_TERMINAL = "import os, pty, sys; sys.exit(os.WEXITSTATUS(pty.spawn(sys.argv[1:])))"


def start(
    folder: Path, *args: Any, script: str = "", terminal: bool = False, **env: str
) -> subprocess.Popen:
    """`carnyx launch *args` in `folder`, where `train.py` is `script`."""
    command = [sys.executable, "-m", "carnyx", "launch", *map(str, args)]
    if terminal:  # with what is written to its stdin as the keyboard
        command = [sys.executable, "-c", _ON_TERMINAL, *command]
    (folder / "train.py").write_text(RANK + script)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_UNSET)}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT)} | env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(started: subprocess.Popen, timeout: float = WAIT) -> Any:
    """Its code, output and errors; ended by force if it takes too long."""
    try:
        output, errors = started.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        started.kill()
        raise
    return subprocess.CompletedProcess((), started.returncode, output, errors)


def wait_for(file: Path, seconds: float = WAIT) -> str:
    """The text of a file as soon as it is there."""
    until = time.monotonic() + seconds
    while not file.exists() or not file.read_text():
        assert time.monotonic() < until, f"{file} did not appear"
        time.sleep(0.02)
    return file.read_text()


def alive(pid: int) -> bool:
    """Whether a process runs (one that has ended and is not waited for does not)."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except OSError:
        return False
