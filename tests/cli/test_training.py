"""A training under `carnyx launch`: the numbers of one process, and a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli import train_job
from tests.cli.launching import ROOT, end, start

WAIT = 150


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The file of weights that two processes gave."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run = end(start(folder, "-n", 2, "--cpu", train_job.__file__, "result.npz"), WAIT)
    assert run.returncode == 0, run.stderr
    lines = set(run.stdout.splitlines())
    assert {"trained 0 of 2", "[1] trained 1 of 2"} <= lines
    return folder / "result.npz"


def weights_in(file: Path) -> list[np.ndarray]:
    with np.load(file) as content:
        return [content[name] for name in content.files]


def test_two_processes_train_as_one(undisturbed):
    for ours, alone in zip(weights_in(undisturbed), train_job.train(), strict=True):
        np.testing.assert_allclose(ours, alone, rtol=1e-5, atol=1e-7)


def test_a_killed_job_starts_again_and_goes_on_where_it_was(undisturbed, tmp_path):
    args = [train_job.__file__, "result.npz", "backups"]
    started = start(tmp_path, "-n", 2, "--cpu", "--restarts", 1, "--grace", 5, *args)
    run = end(started, WAIT)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "result.npz.killed").exists()
    assert "process 1 (pid " in run.stderr and "was killed by SIGKILL" in run.stderr
    assert "starting again (1 of 1)." in run.stderr
    assert run.stdout.count("trained") == 2
    first, again = run.stdout.split("[1] first step 1\n")
    assert "first step 4" in again or "first step 7" in again  # after a backup
    ours = weights_in(tmp_path / "result.npz")
    for a, b in zip(ours, weights_in(undisturbed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_example_runs_in_two_processes(tmp_path):
    example = ROOT / "examples" / "hosts.py"
    run = end(start(tmp_path, "-n", 2, "--cpu", example, "--epochs", 3), WAIT)
    assert run.returncode == 0, run.stderr
    (line,) = [line for line in run.stdout.splitlines() if "accuracy" in line][-1:]
    assert line.startswith("2 processes, 2 devices: accuracy 0.9")
