"""`carnyx launch`: one script as several processes."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from carnyx.cli.child import say
from carnyx.cli.gpus import Gpu, share_gpus, visible_gpus
from carnyx.cli.job import Job
from carnyx.cli.plan import (
    Process,
    Script,
    device_variables,
    free_port,
    process_variables,
)
from carnyx.cli.ray_driver import Workers, run_on_ray
from carnyx.distribution.addresses import is_address
from carnyx.errors import ArgumentError, nearest

_EPILOG = """
The script calls carnyx.distribution.initialize() before anything is computed; the rest
of it is written as for one process.

  carnyx launch -n 4 train.py --epochs 10    four processes, which share the GPUs
  carnyx launch -n 2 --devices 4 train.py    2 x 4 simulated devices of the CPU
  carnyx launch -n 8 --hosts 2 --host-id 0 --coordinator node0:4321 train.py
  carnyx launch --ray -n 16 --gpus-per-worker 1 --restarts 3 train.py

The exit code is that of the process that failed first (128 + the signal's number where
one killed it), 0 where none did, 2 where the command line is wrong.
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the parser of this command."""
    parser = commands.add_parser(
        "launch",
        help="run a script as several processes of one job",
        description="Run a script as several processes of one job.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        usage="carnyx launch [options] script.py [arguments of the script]\n"
        "       carnyx launch [options] -m module [arguments of the module]",
    )
    _add_options(parser)
    _add_hosts(parser)
    _add_ray(parser)
    parser.set_defaults(run=lambda args: _run(args, parser))
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("script", nargs="?", help=argparse.SUPPRESS)
    add("args", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    add("-n", "--processes", type=int, metavar="N", help=(
        "how many processes, on this host; by default one for each GPU, 1 without")
    )  # fmt: skip
    add("-m", "--module", action="store_true", help=(
        "the script is the name of a module, as for python -m")
    )  # fmt: skip
    add("--cpu", action="store_true", help="use the CPU, also where there are GPUs")
    add("--devices", type=int, metavar="K", help=(
        "simulated CPU devices of each process (implies --cpu)")
    )  # fmt: skip
    add("--restarts", type=int, default=0, metavar="N", help=(
        "start the whole job again after a failure, so many times; it goes on from its "
        "backup (fit(resume=...), BackupAndRestore)")
    )  # fmt: skip
    add("--grace", type=float, metavar="SECONDS", help=(
        "after a failure, how long the other processes have to end before they are "
        "killed (default 10)")
    )  # fmt: skip
    add("--dry-run", action="store_true", help="print what would be started")


def _add_hosts(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group(
        "several hosts", "The same command on every host, with its own --host-id."
    ).add_argument
    add("--hosts", type=int, metavar="N", help="how many hosts")
    add("--host-id", type=int, metavar="I", help="which of them this is: 0 ... N-1")
    add("--coordinator", metavar="HOST:PORT", help=(
        "an address of host 0 that all hosts reach, and a free port there")
    )  # fmt: skip


def _add_ray(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "Ray", 'Run as a Ray Train job; needs pip install "carnyx[cluster]".'
    )
    group.add_argument("--ray", action="store_true", help="start the processes by Ray")
    group.add_argument("--ray-address", metavar="ADDRESS", help=(
        "of a running cluster, or local for one that lives as long as the job; by "
        "default $RAY_ADDRESS, a cluster of this host, or else local")
    )  # fmt: skip
    group.add_argument("--ray-storage", metavar="FOLDER", help=(
        "where Ray Train keeps its records of the run (default ~/ray_results); a "
        "folder that all hosts share, or the address of a store")
    )  # fmt: skip
    group.add_argument("--gpus-per-worker", type=int, metavar="K", help=(
        "GPUs of each process (default 0)")
    )  # fmt: skip
    group.add_argument("--cpus-per-worker", type=float, metavar="K", help=(
        "CPUs that Ray reserves for each process (default 1)")
    )  # fmt: skip


# ---- what is asked for -----------------------------------------------------------


def _run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    script = _script(args, parser)
    _check(args)
    if args.ray:
        return _run_by_ray(args, script)
    if args.dry_run:
        for process in _processes(args, script):
            print(process)
        return 0
    return _run_here(args, script)


def _script(args: argparse.Namespace, parser: argparse.ArgumentParser) -> Script:
    if args.script is None:
        parser.print_usage()
        raise ArgumentError("launch got no script; give a file, or -m and a module.")
    if not args.module and not Path(args.script).is_file():
        here = [path.name for path in Path().glob("*.py")]
        raise ArgumentError(
            f"launch found no file {args.script!r} in {Path.cwd()}."
            f"{nearest(args.script, here)}"
        )
    return Script(args.script, tuple(args.args), args.module)


_ONLY_RAY = ("ray_address", "ray_storage", "gpus_per_worker", "cpus_per_worker")
_ONLY_HERE = ("hosts", "host_id", "coordinator", "grace")


def _check(args: argparse.Namespace) -> None:
    given = {name for name, value in vars(args).items() if value is not None}
    wrong = [n for n in (_ONLY_HERE if args.ray else _ONLY_RAY) if n in given]
    if wrong:
        option = "--" + wrong[0].replace("_", "-")
        raise ArgumentError(
            f"launch got {option} {'and' if args.ray else 'without'} --ray; "
            + ("Ray places the processes." if args.ray else "give both or neither.")
        )
    if args.gpus_per_worker and (args.cpu or args.devices):
        raise ArgumentError(
            f"launch got --gpus-per-worker {args.gpus_per_worker} and "
            f"{'--cpu' if args.cpu else '--devices'}; give one of them."
        )
    least = {"processes": 1, "devices": 1, "restarts": 0, "hosts": 1, "grace": 0}
    least |= {"gpus_per_worker": 0, "cpus_per_worker": 0}
    for name, smallest in least.items():
        value = getattr(args, name)
        if value is not None and not smallest <= value < float("inf"):
            option = "-n" if name == "processes" else "--" + name.replace("_", "-")
            raise ArgumentError(
                f"launch got {option} {value:g}; expected {smallest} or more."
            )
    _check_hosts(args)


def _check_hosts(args: argparse.Namespace) -> None:
    hosts, host = args.hosts or 1, args.host_id
    if hosts > 1 and (host is None or args.coordinator is None):
        raise ArgumentError(
            f"launch got --hosts {hosts}; it needs --host-id (0 to {hosts - 1}) and "
            "--coordinator HOST:PORT, the address of host 0, too."
        )
    if host is not None and not 0 <= host < hosts:
        raise ArgumentError(
            f"launch got --host-id {host}; expected 0 to {hosts - 1} for "
            f"--hosts {hosts}."
        )
    if args.coordinator is not None and not is_address(args.coordinator):
        raise ArgumentError(
            f"launch got --coordinator {args.coordinator!r}; expected HOST:PORT, with "
            "a port from 1 to 65535."
        )


def _processes(args: argparse.Namespace, script: Script) -> list[Process]:
    """The processes of this host."""
    gpus: list[Gpu] = [] if args.cpu or args.devices else visible_gpus()
    here = args.processes or len(gpus) or 1
    shares = share_gpus(gpus, here) if gpus else [[]] * here
    if len(gpus) % here:
        say(f"{len(gpus) % here} of {len(gpus)} GPUs left idle: shares are equal.")
    count, first = here * (args.hosts or 1), here * (args.host_id or 0)
    address = args.coordinator or f"127.0.0.1:{free_port()}"
    return [
        Process(
            first + i,
            script.command(),
            process_variables(address, count, first + i)
            | device_variables(share, args.cpu, args.devices),
        )
        for i, share in enumerate(shares)
    ]


def _run_here(args: argparse.Namespace, script: Script) -> int:
    if os.name != "posix":
        raise ArgumentError("carnyx launch runs on Linux and macOS.")
    grace = 10.0 if args.grace is None else args.grace
    for start in range(args.restarts + 1):
        if start:
            say(f"starting again ({start} of {args.restarts}).")
        job = Job(_processes(args, script), grace, (args.hosts or 1) > 1)
        code = job.run()
        if code == 0 or job.interrupted:
            break
        if args.hosts and args.hosts > 1 and start < args.restarts:
            say(f"the other hosts have {grace:g} s to end theirs.")
            time.sleep(grace)  # or a process would join those of the job that failed
    return code


def _run_by_ray(args: argparse.Namespace, script: Script) -> int:
    workers = Workers(
        script,
        count=args.processes or 1,
        cpus=1.0 if args.cpus_per_worker is None else args.cpus_per_worker,
        gpus=args.gpus_per_worker or 0,
        variables=device_variables((), args.cpu, args.devices),
        restarts=args.restarts,
    )
    if args.dry_run:
        print(workers)
        return 0
    return run_on_ray(workers, args.ray_address, args.ray_storage)
