"""`python -m benchmarks [workload ...]`: one table of everything, in one run.

Every library has a process of its own, and all take turns epoch by epoch, so that a
noisy hour hits them alike; shares are medians of the ratios within a round.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from typing import Any

from benchmarks.workloads import WORKLOADS

MODULES = {
    "by-hand": "jax",
    "keras-jax": "keras",
    "keras-tensorflow": "tensorflow",
    "keras-torch": "torch",
    "torch-raw": "torch",
}
# All processes are there at the same time: none may take a GPU's whole memory.
SHARED_GPU = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}
IMPORTS = {
    "jax": "import jax",
    "carnyx": "import carnyx, carnyx.layers",
    "keras": "import keras",
}


def libraries() -> list[str]:
    """What can be measured here."""
    there = [n for n, module in MODULES.items() if importlib.util.find_spec(module)]
    if importlib.util.find_spec("keras") is None:
        there = [name for name in there if not name.startswith("keras-")]
    return ["carnyx", *there]


class Turns:
    """A worker's process."""

    def __init__(self, library: str, workload: str, python: str, policy: str) -> None:
        self.library = library
        worker = "benchmarks.worker", library, workload, policy, "--turns"
        self.process = subprocess.Popen(
            [python, "-m", *worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | SHARED_GPU,
        )
        self.first = self._answer()["first"]

    def take(self, what: str) -> float | None:
        """One epoch or one loop of predictions: milliseconds."""
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        while line and line[0] not in "{0123456789n":
            line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.library} ended without an answer.")
        return json.loads(line)

    def end(self) -> None:
        """Let it go."""
        self.process.kill()
        self.process.wait()


def import_times(rounds: int = 7) -> dict[str, float]:
    """Seconds from nothing to each import, the least of some rounds in turn."""
    times: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(rounds):
        for name, code in IMPORTS.items():
            script = f"import time; t = time.perf_counter(); {code}; "
            script += "print(time.perf_counter() - t)"
            run = subprocess.run(
                [sys.executable, "-c", script],
                capture_output=True,
                text=True,
                env=os.environ | {"KERAS_BACKEND": "jax"},
            )
            if run.returncode == 0:
                times[name].append(float(run.stdout.split()[-1]))
    return {name: min(found) for name, found in times.items() if found}


def measure(
    workload: str, pythons: dict[str, str], rounds: int, policy: str
) -> dict[str, Any]:
    """What each library's process measured, all taking turns."""
    turns = []
    for name, python in pythons.items():
        try:
            turns.append(Turns(name, workload, python, policy))
        except RuntimeError as error:
            print(f"  {error}", file=sys.stderr)
    results: dict[str, Any] = {
        t.library: {"first": t.first, "epoch": [], "predict": []} for t in turns
    }
    for what in ("epoch", "predict"):
        for _ in range(rounds):
            for t in turns:
                results[t.library][what].append(t.take(what))
    for t in turns:
        t.end()
    return results


def _share(results: dict[str, Any], name: str, base: str, what: str) -> str:
    if base not in results or None in results[name][what]:
        return "-"
    pairs = zip(results[name][what], results[base][what], strict=True)
    return f"{statistics.median(a / b for a, b in pairs):.2f}"


def print_table(workload: str, results: dict[str, Any]) -> None:
    """A row for each library."""
    goal = WORKLOADS[workload].goal
    print(f"\n### {workload} (goal: {goal:.2f} of Keras on JAX)\n")
    print("| library | ms a step: median | least | of keras-jax | of by-hand "
          "| first epoch, s | predict one, ms | of keras-jax |")  # fmt: skip
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name, row in results.items():
        one = None if None in row["predict"] else statistics.median(row["predict"])
        cells = [
            name,
            f"{statistics.median(row['epoch']):.3f}",
            f"{min(row['epoch']):.3f}",
            _share(results, name, "keras-jax", "epoch"),
            _share(results, name, "by-hand", "epoch"),
            f"{row['first']:.2f}",
            f"{one:.3f}" if one else "-",
            _share(results, name, "keras-jax", "predict"),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="*", help="libraries to measure")
    parser.add_argument("--no-imports", action="store_true")
    parser.add_argument(
        "--python", nargs="*", default=[], metavar="LIBRARY=PATH",
        help="interpreters of other environments that have a library",
    )  # fmt: skip
    parser.add_argument(
        "--policy", default="float32", choices=["float32", "mixed_bfloat16"],
        help="what all compute in; by hand there is float32 alone",
    )  # fmt: skip
    options = parser.parse_args()
    os.environ.update(SHARED_GPU)
    import jax

    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, JAX {jax.__version__} on "
        f"{jax.devices()[0].device_kind}, {options.policy}"
    )
    if not options.no_imports:
        for name, seconds in import_times().items():
            print(f"  import {name}: {seconds:.2f} s")
    for workload in options.workloads or WORKLOADS:
        pythons = dict.fromkeys(options.only or libraries(), sys.executable)
        pythons |= dict(pair.split("=", 1) for pair in options.python)
        if options.policy != "float32":
            pythons.pop("by-hand", None)
        found = measure(workload, pythons, options.rounds, options.policy)
        print_table(workload, found)


if __name__ == "__main__":
    main()
