"""`carnyx launch` with real processes that do not import JAX."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from carnyx.cli import main
from tests.cli.launching import RANK, ROOT, alive, end, start, wait_for

SHOW = """
names = ["CUDA_VISIBLE_DEVICES", "JAX_LOCAL_DEVICE_IDS", "JAX_PLATFORMS",
         "JAX_NUM_CPU_DEVICES"]
print(json.dumps({
    "rank": rank, "args": sys.argv[1:], "name": __name__, "folder": os.getcwd(),
    "count": os.environ["KERAS_DISTRIBUTION_NUM_PROCESSES"],
    "address": os.environ["KERAS_DISTRIBUTION_JOB_ADDRESSES"],
} | {n: os.environ[n] for n in names if n in os.environ}))
"""
SLEEP = """
Path(f"pid{rank}").write_text(str(os.getpid()))
time.sleep(100)
"""
SAVE = """
def save(number, frame):
    print("saved at", number, flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
signal.signal(signal.SIGINT, save)
"""
IGNORE = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


@pytest.fixture
def launch(tmp_path):
    """Runs `carnyx launch` in a folder of its own, with a script there."""
    return lambda *args, **options: end(start(tmp_path, *args, **options))


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs a command line that starts nothing, in a folder with a `train.py`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").touch()

    def run(*args):
        code = main([str(arg) for arg in args])
        return subprocess.CompletedProcess(args, code, *capsys.readouterr())

    return run


def shown(run: subprocess.CompletedProcess) -> list[dict]:
    """What SHOW printed, in the order of ranks; all but rank 0 say who they are."""
    assert run.returncode == 0, run.stderr
    found = []
    for line in run.stdout.splitlines():
        prefix, _, rest = line.rpartition("{")
        found.append(json.loads("{" + rest))
        assert prefix == (f"[{found[-1]['rank']}] " if found[-1]["rank"] else "")
    return sorted(found, key=lambda row: row["rank"])


# ---- what processes get ----------------------------------------------------------


def test_each_process_gets_its_number_the_arguments_and_one_address(launch, tmp_path):
    args = ["--epochs", "3", "-n", "a b", "--ray"]
    rows = shown(launch("-n", 3, "train.py", *args, script=SHOW))
    assert [row["rank"] for row in rows] == [0, 1, 2]
    (address,) = {row["address"] for row in rows}
    host, _, port = address.partition(":")
    assert host == "127.0.0.1" and 0 < int(port) < 65536
    for row in rows:
        assert row["args"] == args and row["count"] == "3"
        assert row["name"] == "__main__" and Path(row["folder"]) == tmp_path.resolve()
        assert "JAX_NUM_CPU_DEVICES" not in row


def test_a_module_is_run_as_by_python(launch, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "job.py").write_text("import train, sys; print(sys.argv)")
    run = launch("-n", 1, "-m", "package.job", "--lr", 1, script="")
    path = tmp_path.resolve() / "package" / "job.py"
    assert run.stdout == f"{[str(path), '--lr', '1']}\n", run.stderr


def test_long_lines_and_lines_without_an_end_come_out(launch):
    script = "sys.stdout.write('o' * 70000 + '\\nout'); sys.stderr.write('err')"
    run = launch("-n", 2, "train.py", script=script)
    assert run.stdout.count("o") == 2 * 70001 and "\n[1] out\n" in run.stdout
    assert sorted(run.stderr.splitlines()) == ["[1] err", "err"]


def test_simulated_devices_and_the_cpu(launch):
    rows = shown(launch("-n", 2, "--devices", 4, "train.py", script=SHOW))
    assert all(row["JAX_NUM_CPU_DEVICES"] == "4" for row in rows)
    assert all(row["JAX_PLATFORMS"] == "cpu" for row in rows)
    rows = shown(launch("--cpu", "train.py", script=SHOW))
    assert [row["JAX_PLATFORMS"] for row in rows] == ["cpu"]


def test_processes_of_a_host_among_others(launch):
    options = ["-n", 2, "--hosts", 3, "--host-id", 1, "--coordinator", "node0:4321"]
    rows = shown(launch(*options, "train.py", script=SHOW))
    assert [row["rank"] for row in rows] == [2, 3]
    assert {(row["count"], row["address"]) for row in rows} == {("6", "node0:4321")}


def test_the_plan_can_be_printed(command):
    run = command("launch", "-n", 2, "--devices", 1, "--dry-run", "train.py", "a b")
    lines = run.stdout.splitlines()
    assert len(lines) == 2 and lines[1].startswith("KERAS_DISTRIBUTION_JOB_ADDRESSES=")
    assert "KERAS_DISTRIBUTION_PROCESS_ID=1 JAX_PLATFORMS=cpu JAX_NUM" in lines[1]
    assert lines[1].endswith(f"{sys.executable} train.py 'a b'")
    options = ["--ray", "-n", 4, "--restarts", 2, "--cpu"]
    run = command("launch", "--dry-run", *options, "train.py", "--x")
    assert run.stdout.splitlines() == [
        "Ray Train: 4 workers, each 1 CPUs and 0 GPUs; 2 restarts",
        f"JAX_PLATFORMS=cpu {sys.executable} train.py --x",
    ]


# ---- GPUs ------------------------------------------------------------------------


@pytest.fixture
def five_gpus(tmp_path):
    """Settings under which this machine seems to have five."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\nfor i in 0 1 2 3 4; do echo "$i, NVIDIA H100"; done\n')
    tool.chmod(0o755)
    return {"PATH": f"{tool.parent}:/usr/bin:/bin"}


def test_gpus_are_shared_out(launch, five_gpus):
    run = launch("-n", 2, "train.py", script=SHOW, **five_gpus)
    rows = shown(run)
    assert [row["CUDA_VISIBLE_DEVICES"] for row in rows] == ["0,1", "2,3"]
    assert [row["JAX_LOCAL_DEVICE_IDS"] for row in rows] == ["0,1", "0,1"]
    assert "carnyx launch: 1 of 5 GPUs left idle: shares are equal." in run.stderr
    assert len(shown(launch("train.py", script=SHOW, **five_gpus))) == 5


def test_gpus_that_were_chosen_are_the_ones_shared(launch, five_gpus):
    chosen = five_gpus | {"CUDA_VISIBLE_DEVICES": "4,GPU-3a,-1,2"}
    rows = shown(launch("-n", 2, "train.py", script=SHOW, **chosen))
    assert [row["CUDA_VISIBLE_DEVICES"] for row in rows] == ["4", "GPU-3a"]


def test_no_gpu_is_given_where_the_cpu_is_asked_for(launch, five_gpus):
    for options, env in [
        (["--cpu"], {}),
        ([], {"JAX_PLATFORMS": "cpu"}),
        ([], {"CUDA_VISIBLE_DEVICES": "-1"}),
    ]:
        (row,) = shown(launch(*options, "train.py", script=SHOW, **five_gpus, **env))
        assert row.get("CUDA_VISIBLE_DEVICES") == env.get("CUDA_VISIBLE_DEVICES")
        assert "JAX_LOCAL_DEVICE_IDS" not in row


def test_more_processes_than_gpus(launch, five_gpus):
    run = launch("-n", 6, "train.py", **five_gpus)
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.startswith(
        "carnyx: error: 6 processes were asked for; this machine has 5 GPUs: "
        "0 (NVIDIA H100), 1 (NVIDIA H100), "
    )
    assert "Start at most 5, or give --cpu" in run.stderr


# ---- ends ------------------------------------------------------------------------


def test_a_failure_ends_the_others_and_is_named(launch, tmp_path):
    script = "if rank == 1:\n    time.sleep(0.5)\n    sys.exit(3)" + SLEEP
    began = time.monotonic()
    run = launch("-n", 3, "train.py", script=script)
    assert run.returncode == 3
    assert "carnyx launch: process 1 (pid " in run.stderr
    assert ") ended with exit code 3; ending the others.\n" in run.stderr
    assert time.monotonic() - began < 30  # not the 100 s that the others sleep
    assert not any(alive(int((tmp_path / f"pid{i}").read_text())) for i in (0, 2))


def test_a_killed_process_is_told_from_one_that_failed(launch):
    script = "if rank == 2: os.kill(os.getpid(), signal.SIGKILL)" + SLEEP
    run = launch("-n", 3, "train.py", script=script)
    assert run.returncode == 137
    assert "process 2 (pid " in run.stderr and "was killed by SIGKILL" in run.stderr


def test_the_first_to_fail_gives_the_exit_code(launch):
    script = "time.sleep(rank)\nsys.exit(10 + rank)"
    run = launch("-n", 2, "train.py", script=script)
    assert run.returncode == 10 and "process 0" in run.stderr
    assert "process 1" not in run.stderr


def test_one_that_ends_because_of_another_is_not_taken_for_the_cause(launch):
    script = "time.sleep(1 - rank)\nsys.exit(76 if rank else 3)"  # 1 ends before 0
    run = launch("-n", 2, "train.py", script=script)
    assert run.returncode == 3 and "process 1" not in run.stderr
    assert "process 0 (pid " in run.stderr and "ended with exit code 3." in run.stderr
    run = launch("-n", 2, "train.py", script="sys.exit(76)")
    assert run.returncode == 76 and run.stderr.count("carnyx launch: ") == 1
    assert "ended with exit code 76." in run.stderr
    hosts = ["--hosts", 2, "--host-id", 0, "--coordinator", "127.0.0.1:4321"]
    run = launch("-n", 2, *hosts, "train.py", script="sys.exit(76)")
    assert run.returncode == 76 and run.stderr.count("carnyx launch: ") == 1
    assert "ended because another process of the job had." in run.stderr


def test_the_process_that_fails_is_named_also_where_others_end_before_it(launch):
    script = """
import carnyx as keras
keras.distribution.initialize()
with keras.distribution.DataParallel().scope():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
class Fails(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if rank == 0 and batch == 2:
            raise RuntimeError("the disk is on fire")
x, y = keras.ops.ones((64, 2)), keras.ops.ones((64, 1))
model.fit(x, y, 4, callbacks=[Fails()], verbose=0)
"""
    run = launch("-n", 2, "--cpu", "train.py", script=script)
    assert run.returncode == 1
    assert "RuntimeError: the disk is on fire" in run.stderr
    named = [line for line in run.stderr.splitlines() if "carnyx launch: " in line]
    assert len(named) == 1 and "process 0 (pid " in named[0]
    assert "ended with exit code 1" in named[0]


def test_who_does_not_end_is_killed(launch, tmp_path):
    script = f"{IGNORE}Path(f'pid{{rank}}').write_text(str(os.getpid()))\n"
    script += "time.sleep(100 if rank else 0.5)\nsys.exit(4)"
    run = launch("-n", 2, "--grace", 0.3, "train.py", script=script)
    assert run.returncode == 4
    assert "process 1 did not end within 0.3 s: killed." in run.stderr
    assert not alive(int((tmp_path / "pid1").read_text()))


def test_what_a_killed_process_started_ends_with_it(launch, tmp_path):
    script = """
import subprocess
if rank == 1:
    helper = subprocess.Popen(["sleep", "100"])
    Path("helper").write_text(str(helper.pid))
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(100)
"""
    assert launch("-n", 2, "train.py", script=script).returncode == 137
    assert not alive(int((tmp_path / "helper").read_text()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_passed_on_and_given_time(tmp_path, number):
    script = SAVE.replace("sys.exit", "time.sleep(0.5 * rank); sys.exit") + SLEEP
    started = start(tmp_path, "-n", 2, "--restarts", 3, "train.py", script=script)
    for rank in (0, 1):
        wait_for(tmp_path / f"pid{rank}")
    started.send_signal(number)
    run = end(started)
    assert run.returncode == 143
    saved = [line.removeprefix("[1] ") for line in run.stdout.splitlines()]
    assert saved == [f"saved at {number}"] * 2
    assert "starting again" not in run.stderr and "ending the others" not in run.stderr


def test_a_reader_that_goes_ends_the_job_and_lets_it_save(tmp_path):
    script = """
def save(number, frame):
    Path(f"saved{rank}").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
Path(f"pid{rank}").write_text(str(os.getpid()))
while True:
    print("a line", flush=True)
    time.sleep(0.05)
"""
    started = start(tmp_path, "-n", 2, "train.py", script=script)
    for rank in (0, 1):
        wait_for(tmp_path / f"pid{rank}")
    started.stdout.close()
    started.wait(20)
    started.stdin.close()
    with started.stderr:
        assert started.stderr.read() == "" and started.returncode == 143
    assert (tmp_path / "saved0").exists() and (tmp_path / "saved1").exists()


def test_a_closed_output_is_no_hindrance(tmp_path):
    script = "print(rank)\nPath(f'there{rank}').touch()"
    (tmp_path / "train.py").write_text(RANK + script)
    command = f"{sys.executable} -m carnyx launch -n 2 train.py >&-"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        command, shell=True, cwd=tmp_path, env=env, capture_output=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "there0").exists() and (tmp_path / "there1").exists()


def test_a_terminal_that_goes_does_not_end_the_job_before_it_saved(tmp_path):
    script = """
def save(number, frame):
    time.sleep(0.5)
    Path(f"saved{rank}").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
Path(f"pid{rank}").write_text(str(os.getpid()))
while True:
    if rank:
        print("a line", flush=True)
    time.sleep(0.02)
"""
    (tmp_path / "train.py").write_text(RANK + script)
    driver = """
import os, pty, signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored by what nohup started
pid, terminal = pty.fork()  # not where JAX has threads
if pid == 0:
    command = [sys.executable, "-m", "carnyx", "launch", "-n", "2", "train.py"]
    os.execv(sys.executable, command)
while not (os.path.exists("pid0") and os.path.exists("pid1")):
    time.sleep(0.05)
os.close(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", driver]
    done = subprocess.run(command, cwd=tmp_path, env=env, timeout=60)
    assert done.returncode == 143
    assert (tmp_path / "saved0").exists() and (tmp_path / "saved1").exists()


def test_on_a_terminal(tmp_path):
    """The first process has it; Ctrl-C there reaches each process once."""
    script = """
print(rank, sys.stdin.isatty(), sys.stdout.isatty(), sys.stderr.isatty(), flush=True)
times = []
signal.signal(signal.SIGINT, lambda *_: times.append(1))
Path(f"pid{rank}").write_text(str(os.getpid()))
while not times:
    time.sleep(0.05)
time.sleep(0.5)
print(rank, "interrupted", len(times), flush=True)
"""
    started = start(tmp_path, "-n", 2, "train.py", script=script, terminal=True)
    for rank in (0, 1):
        wait_for(tmp_path / f"pid{rank}")
    started.stdin.write("\x03")
    started.stdin.flush()
    lines = [line.replace("^C", "") for line in end(started).stdout.splitlines()]
    assert sorted(line for line in lines if line) == [
        "0 True True True",
        "0 interrupted 1",
        "[1] 1 False False False",
        "[1] 1 interrupted 1",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_a_killed_launcher_leaves_nobody_behind(tmp_path):
    started = start(tmp_path, "-n", 2, "train.py", script=SLEEP)
    pids = [int(wait_for(tmp_path / f"pid{rank}")) for rank in (0, 1)]
    started.kill()
    end(started)
    until = time.monotonic() + 20
    while any(map(alive, pids)):
        assert time.monotonic() < until
        time.sleep(0.05)


# ---- restarts --------------------------------------------------------------------

FAIL_ONCE = """
print("start", rank)
if rank == 0 and not Path("up").exists():
    Path("up").touch()
    time.sleep(100)  # ended because the other fails
if rank == 1 and not Path("failed").exists():
    while not Path("up").exists():
        time.sleep(0.01)
    Path("failed").write_text(os.environ["KERAS_DISTRIBUTION_JOB_ADDRESSES"])
    sys.exit(5)
Path("address").write_text(os.environ["KERAS_DISTRIBUTION_JOB_ADDRESSES"])
"""


def test_a_restart_starts_all_again(launch, tmp_path):
    run = launch("-n", 2, "--restarts", 2, "train.py", script=FAIL_ONCE)
    assert run.returncode == 0
    assert run.stdout.count("[1] start 1") == 2
    assert run.stderr.count("carnyx launch: starting again (1 of 2).") == 1
    first, second = (tmp_path / "failed", tmp_path / "address")
    assert first.read_text() != second.read_text()  # nobody of the first may join


def test_a_restart_waits_for_other_hosts(launch):
    hosts = ["--hosts", 2, "--host-id", 0, "--coordinator", "127.0.0.1:4321"]
    options = [*hosts, "--restarts", 1, "--grace", 0.1]
    run = launch("-n", 1, *options, "train.py", script="sys.exit(6)")
    pause, again = run.stderr.splitlines()[1:3]
    assert pause == "carnyx launch: the other hosts have 0.1 s to end theirs."
    assert again == "carnyx launch: starting again (1 of 1)."
    assert run.returncode == 6 and run.stderr.count("other hosts") == 1


def test_restarts_have_an_end(launch):
    run = launch("-n", 2, "--restarts", 2, "train.py", script="sys.exit(6)")
    assert run.returncode == 6 and run.stderr.count("starting again") == 2


# ---- the command line ------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ([], "launch got no script; give a file, or -m and a module."),
        (["trian.py"], "Did you mean 'train.py'?"),
        (["-n", 0, "train.py"], "launch got -n 0; expected 1 or more."),
        (["--devices", 0, "train.py"], "got --devices 0; expected 1 or more."),
        (["--restarts", -1, "train.py"], "got --restarts -1; expected 0 or more."),
        (["--restart", "train.py"], "option '--restart'. Did you mean '--restarts'?"),
        (["--hosts", 2, "train.py"], "it needs --host-id (0 to 1) and --coordinator"),
        (
            ["--hosts", 2, "--host-id", 2, "--coordinator", "a:1", "train.py"],
            "launch got --host-id 2; expected 0 to 1 for --hosts 2.",
        ),
        (["--coordinator", "node", "train.py"], "'node'; expected HOST:PORT,"),
        (["--coordinator", "4321", "train.py"], "'4321'; expected HOST:PORT,"),
        (["--coordinator", ":99999", "train.py"], "':99999'; expected HOST:PORT,"),
        (["--coordinator", "a:65536", "train.py"], "'a:65536'; expected HOST:PORT,"),
        (["--grace", "nan", "train.py"], "got --grace nan; expected 0 or more."),
        (["--gpus-per-worker", 1, "train.py"], "got --gpus-per-worker without --ray;"),
        (["--ray", "--cpu", "--gpus-per-worker", 1, "train.py"], "and --cpu; give one"),
        (["--ray", "--hosts", 2, "train.py"], "got --hosts and --ray; Ray places"),
    ],
)
def test_errors_help(command, args, text):
    run = command("launch", *args)
    assert run.returncode == 2 and run.stderr.count("\n") == 1
    assert run.stderr.startswith("carnyx: error: ") and text in run.stderr


def test_without_ray_it_says_what_to_install(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    run = command("launch", "--ray", "-n", 2, "train.py")
    assert run.returncode == 2
    assert 'Ray Train is not installed: pip install "carnyx[cluster]".' in run.stderr


def test_version_and_help(command):
    assert command("--version").stdout == "carnyx 0.1.0\n"
    assert "launch" in command("--help").stdout
    assert "--restarts N" in command("launch", "--help").stdout
    run = command()
    assert run.returncode == 2 and "COMMAND" in run.stderr


def test_the_launcher_starts_no_backend(launch):
    """It would fail here; a GPU's memory is for the processes."""
    (row,) = shown(launch("train.py", script=SHOW, JAX_PLATFORMS="missing"))
    assert row["JAX_PLATFORMS"] == "missing"
