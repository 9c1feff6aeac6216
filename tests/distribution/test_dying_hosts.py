"""A process of a job dies, stops or fails: the others end, and the job goes on."""

from __future__ import annotations

import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from carnyx.errors import ProcessError
from tests.distribution.processes import Started, ended, run, start, wait_for

SCRIPT = "train_and_die.py"


def seen(text: str, what: str = "done") -> tuple[str, float]:
    """The digest of the weights at the end, and the last loss."""
    found = re.search(rf"^{what} (\w+) (\S+)$", text, re.MULTILINE)
    assert found, text[-3000:]
    return found[1], float(found[2])


def steps_in(text: str) -> int:
    return len(re.findall(r"^step \d+$", text, re.MULTILINE))


def running(folder: Path, processes: int, way: str, *rest: str) -> list[Started]:
    """A job that has made a backup, and does more steps."""
    jobs = start(
        SCRIPT, folder / "b", way, 0.1, *rest, folder=folder, processes=processes
    )
    try:
        wait_for(
            lambda: (
                any((folder / "b").glob("step-????????????"))
                or any(job.process.poll() is not None for job in jobs)
            )
        )
    except AssertionError:
        ended(jobs, 0)
        raise
    return jobs


@pytest.mark.parametrize(
    ("processes", "way", "victim"), [(2, "fsdp", 1), (2, "own", 0), (4, "data", 2)]
)
def test_killed_and_started_again(
    tmp_path: Path, processes: int, way: str, victim: int
) -> None:
    jobs = running(tmp_path, processes, way)
    time.sleep(float(np.random.default_rng().uniform(0, 0.7)))
    jobs[victim].process.send_signal(signal.SIGKILL)
    since = time.monotonic()
    results = ended(jobs, 60)
    assert time.monotonic() - since < 60
    pid = jobs[victim].process.pid
    name = rf"Process {victim} of {processes} \(host [^,]+, pid {pid}\) died"
    for index, (code, text) in enumerate(results):
        if index != victim:
            assert code != 0
            assert re.search(name, text), text[-3000:]
    again = run(
        SCRIPT, tmp_path / "b", way, 0, "compare", folder=tmp_path, processes=processes
    )
    expected = seen(again[0], "undisturbed")
    assert {seen(text) for text in again} == {expected}
    assert "Going on from epoch" in again[0]
    assert "Going on from epoch" not in again[1]  # one place


def test_on_other_numbers_of_processes_and_devices(tmp_path: Path) -> None:
    jobs = running(tmp_path, 4, "fsdp")
    jobs[3].process.send_signal(signal.SIGTERM)  # one is asked: all save and leave
    results = ended(jobs, 60)
    assert [code for code, _ in results] == [143] * 4, results[0][1][-3000:]
    steps = [steps_in(text) for _, text in results]
    assert len(set(steps)) == 1
    found = sorted((tmp_path / "b").glob("step-????????????"))[-1]
    assert int(found.name[5:]) == steps[0]  # the last step is in the backup
    assert len(list(found.glob("arrays-000?.safetensors"))) == 4
    options = {"folder": tmp_path}
    copies = [tmp_path / name for name in ("half", "one", "devices")]
    for copy in copies:
        shutil.copytree(found, copy / found.name)
    half = run(SCRIPT, copies[0], "fsdp", 0, "compare", processes=2, **options)
    one = run(SCRIPT, copies[1], "data", 0, **options)
    devices = run(SCRIPT, copies[2], "data", 0, devices=4, **options)
    for out in (half, one, devices):
        assert "Going on from" in out[0]
        loss, expected = seen(out[0])[1], seen(half[0], "undisturbed")[1]
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_an_error_in_one_ends_all_with_its_words(tmp_path: Path) -> None:
    since = time.monotonic()
    results = ended(running(tmp_path, 2, "data", "raise"), 60)
    assert time.monotonic() - since < 60
    assert [code for code, _ in results] == [ProcessError.exit_code, 1]
    assert "RuntimeError: the disk is on fire" in results[1][1]
    assert re.search(
        r"Process 1 of 2 \(.*\) stopped with RuntimeError: the disk is on fire",
        results[0][1],
    ), results[0][1][-3000:]


def test_one_that_stops_training_stops_all_at_one_step(tmp_path: Path) -> None:
    results = ended(running(tmp_path, 2, "data", "stop"), 60)
    assert [code for code, _ in results] == [0, 0], results[0][1][-3000:]
    assert seen(results[0][1]) == seen(results[1][1])
    steps = [steps_in(text) for _, text in results]
    assert steps[0] == steps[1] < 12


def left(folder: Path, way: str, who: int, *rest: object) -> list[tuple[int, str]]:
    """A job of two processes, one of which leaves; all have ended soon after."""
    return ended(start("leave.py", way, who, *rest, folder=folder, processes=2), 60)


@pytest.mark.parametrize(
    ("way", "who", "code", "why"),
    [
        ("batches", 1, 3, "SystemExit: 3"),
        ("exit", 0, 3, "SystemExit: 3"),
        ("callback", 1, 5, "SystemExit: 5"),
        ("hook", 1, 1, "ValueError: boom"),
    ],
)
def test_one_that_exits_or_fails_ends_all_and_keeps_its_code(
    tmp_path: Path, way: str, who: int, code: int, why: str
) -> None:
    results = left(tmp_path, way, who)
    assert [code for code, _ in results] == [
        code if i == who else ProcessError.exit_code for i in range(2)
    ], results
    name = rf"Process {who} of 2 \(host .*\) stopped with {why}"
    assert re.search(name, results[1 - who][1]), results[1 - who][1][-3000:]


@pytest.mark.parametrize("who", [0, 1])
def test_one_whose_script_is_over_is_not_waited_for(tmp_path: Path, who: int) -> None:
    results = left(tmp_path, "ended", who)
    assert [code for code, _ in results] == [ProcessError.exit_code] * 2, results
    name = rf"ProcessError: Process {who} of 2 \(host .*\) has ended"
    assert re.search(name, results[1 - who][1]), results[1 - who][1][-3000:]


@pytest.mark.parametrize("who", [0, 1])
def test_one_that_works_on_alone_is_left_in_peace(tmp_path: Path, who: int) -> None:
    results = left(tmp_path, "alone", who, 12)
    assert [code for code, _ in results] == [0, 0], results
    assert "the report" in results[who][1]


def test_files_that_the_first_saves_alone_and_with_all(tmp_path: Path) -> None:
    results = left(tmp_path, "saves", 0, tmp_path)
    assert [code for code, _ in results] == [0, 0], results
