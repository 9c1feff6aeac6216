"""Runs the files `checks_*.py` in processes of their own, with 8 simulated devices."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("file", sorted(p.name for p in HERE.glob("checks_*.py")))
def test_with_eight_devices(file: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist", HERE / file],
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "8", "JAX_PLATFORMS": "cpu"},
        cwd=HERE.parents[1],
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
