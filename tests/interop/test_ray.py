"""`carnyx launch --ray` with the real Ray, started here for each job."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli import train_job
from tests.cli.launching import end, start, wait_for

pytest.importorskip("ray.train", reason="Ray is not installed (make test-interop)")
WAIT = 240
RAY = ["--ray", "--ray-address", "local", "--ray-storage", "records"]


def weights_in(file: Path) -> list[np.ndarray]:
    with np.load(file) as content:
        return [content[name] for name in content.files]


def run(folder: Path, *args: Any, **options: Any) -> Any:
    return end(start(folder, *RAY, *args, **options), WAIT)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What two workers gave and said."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = run(folder, "-n", 2, "--cpu", train_job.__file__, "result.npz")
    assert done.returncode == 0, done.stderr
    assert "trained 0 of 2" in done.stdout and "[1] trained 1 of 2" in done.stdout
    return folder / "result.npz"


def test_two_workers_train_as_one_process(undisturbed):
    for ours, alone in zip(weights_in(undisturbed), train_job.train(), strict=True):
        np.testing.assert_allclose(ours, alone, rtol=1e-5, atol=1e-7)


def test_a_killed_worker_is_started_again_and_changes_nothing(undisturbed, tmp_path):
    args = ["-n", 2, "--cpu", "--restarts", 1]
    done = run(tmp_path, *args, train_job.__file__, "result.npz", "backups")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "result.npz.killed").exists()
    assert "was killed by SIGKILL" in done.stderr + done.stdout
    assert done.stdout.count("first step 1\n") == 2  # both began, and both went on:
    assert done.stdout.count("first step 4\n") + done.stdout.count("step 7\n") == 2
    ours = weights_in(tmp_path / "result.npz")
    for a, b in zip(ours, weights_in(undisturbed), strict=True):
        np.testing.assert_array_equal(a, b)


SHOW_AND_FAIL = """
print("here", rank, sys.argv[1:], os.getcwd(), __name__)
print(os.environ["JAX_NUM_CPU_DEVICES"], os.environ["RAY_USAGE_STATS_ENABLED"])
if rank == 1:
    sys.exit(7)
time.sleep(100)
"""


def test_arguments_folder_and_exit_code_are_those_of_a_plain_launch(tmp_path):
    args = ["-n", 2, "--devices", 3, "--cpus-per-worker", 0.5, "train.py", "a b", "--x"]
    done = run(tmp_path, *args, script=SHOW_AND_FAIL)
    assert done.returncode == 7
    for line in ("here 0", "[1] here 1"):
        text = f"{line} ['a b', '--x'] {tmp_path.resolve()} __main__\n"
        assert text in done.stdout
    assert "3 0\n" in done.stdout  # devices; and nothing is reported to anyone
    assert "carnyx launch: process 1 (pid " in done.stderr
    assert ") ended with exit code 7.\n" in done.stderr


SAVE = """
def save(number, frame):
    print("saved at", number, flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
print("GPUs", rank, os.environ["CUDA_VISIBLE_DEVICES"])
Path(f"pid{rank}").write_text(str(os.getpid()))
time.sleep(100)
"""


def test_gpus_are_those_that_ray_gave_and_sigterm_lets_the_script_save(tmp_path):
    options = ["-n", 2, "--restarts", 2, "--gpus-per-worker", 2, "train.py"]
    seems = {"RAY_OVERRIDE_RESOURCES": '{"CPU": 2, "GPU": 4}'}
    started = start(tmp_path, *RAY, *options, script=SAVE, **seems)
    for rank in (0, 1):
        wait_for(tmp_path / f"pid{rank}")
    started.send_signal(signal.SIGTERM)
    done = end(started, WAIT)
    assert done.returncode == 143
    assert done.stdout.count("saved at 15\n") == 2
    given = re.findall(r"GPUs \d ([\d,]+)\n", done.stdout)
    assert sorted(given) == ["0,1", "2,3"]


def test_more_than_there_is(tmp_path):
    done = run(tmp_path, "-n", 2, "--gpus-per-worker", 4, "train.py")
    assert done.returncode == 2
    assert "2 workers with 4 GPUs each were asked for; the Ray cluster has 0 GPUs" in (
        done.stderr
    )


def test_the_cause_is_named_and_not_who_follows(tmp_path):
    script = "time.sleep(3 - 3 * rank)\nsys.exit(76 if rank else 3)"  # 1 follows 0
    done = run(tmp_path, "-n", 2, "--cpu", "train.py", script=script)
    assert done.returncode == 3, done.stderr
    assert "carnyx launch: process 0 (pid " in done.stderr
    assert "carnyx launch: process 1" not in done.stderr
