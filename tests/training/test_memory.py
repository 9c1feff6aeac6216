"""Thousands of calls leave resident memory where it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import gc, os
import numpy as np
import carnyx as keras

def resident():
    gc.collect()
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

x, y = np.ones((24, 6), "float32"), np.zeros((24, 1), "float32")
dense = keras.layers.Dense
model = keras.Sequential([keras.Input((6,)), dense(4), dense(1)])
model.compile("adam", "mse", metrics=["mae"])
call = {
    "predict": lambda: model.predict(x[:1], verbose=0),
    "fit": lambda: model.fit(x, y, batch_size=8, verbose=0),
    "train_on_batch": lambda: model.train_on_batch(x, y),
}["%s"]
for _ in range(300):
    call()
before = resident()
for _ in range(2000):
    call()
print(resident() / before)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("call", ["predict", "fit", "train_on_batch"])
def test_resident_memory_stays_flat(call: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT % call],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        cwd=Path(__file__).parents[2],
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert float(run.stdout) < 1.02, run.stdout
