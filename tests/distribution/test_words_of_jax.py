"""JAX's errors have the words by which `initialize` tells them apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from carnyx.distribution import hosts

# In a process where nothing was computed, and which is told of no job.
SCRIPT = """
import json, jax

def said(**given):
    try:
        jax.distributed.initialize(**given)
    except (ValueError, RuntimeError) as error:
        return type(error).__name__, str(error)

address = "localhost:1"
found = [
    said(),
    said(coordinator_address=address),
    said(coordinator_address=address, num_processes=2),
]
jax.numpy.zeros(1)
found.append(said(coordinator_address=address, num_processes=2, process_id=0))
print(json.dumps(found))
"""
JOBS = ("JAX_", "SLURM_", "OMPI_", "PMI_", "KUBERNETES_", "TPU_")


@pytest.fixture(scope="module")
def errors() -> list[list[str]]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(JOBS)}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True, text=True, env=env | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_what_is_missing_is_said_in_these_words(errors: list[list[str]]) -> None:
    assert len(hosts._MISSING) == 3
    for words, (kind, text) in zip(hosts._MISSING, errors):
        assert kind == "ValueError" and words in text
        assert [w for w in hosts._MISSING if w in text] == [words]
    assert hosts._NOTHING in errors[0][1]


def test_that_it_is_too_late_is_said_in_these_words(errors: list[list[str]]) -> None:
    kind, text = errors[3]
    assert kind == "RuntimeError" and hosts._TOO_LATE in text
