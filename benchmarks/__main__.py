"""`python -m benchmarks [workload ...]`: one table of everything, in one run.

Every figure is from a process of its own; the libraries take turns, and the median of
the rounds is shown, so that a noisy hour hits all of them.
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

BACKENDS = {"jax": "jax", "tensorflow": "tensorflow", "torch": "torch"}


def libraries() -> list[str]:
    """What can be measured here."""
    found = ["carnyx", "by-hand"]
    if importlib.util.find_spec("keras"):
        found += [
            f"keras-{backend}"
            for backend, module in BACKENDS.items()
            if importlib.util.find_spec(module)
        ]
    return found


def measure(library: str, name: str) -> dict[str, Any] | None:
    """One process; None where it failed."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.worker", library, name],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if run.returncode:
        sys.stderr.write(f"{library} {name} failed:\n{run.stderr[-600:]}\n")
        return None
    return json.loads(run.stdout.strip().splitlines()[-1])


def import_times() -> dict[str, float]:
    """Seconds from nothing to each import, the least of five."""
    times = {}
    for code in ("import jax", "import carnyx, carnyx.layers", "import keras"):
        script = f"import time; t = time.perf_counter(); {code}; "
        script += "print(time.perf_counter() - t)"
        rounds = []
        for _ in range(5):
            run = subprocess.run(
                [sys.executable, "-c", script],
                capture_output=True,
                text=True,
                env={**os.environ, "KERAS_BACKEND": "jax"},
            )
            if run.returncode == 0:
                rounds.append(float(run.stdout.split()[-1]))
        if rounds:
            times[code] = min(rounds)
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="libraries to measure")
    options = parser.parse_args()
    names = options.only or libraries()
    import jax

    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, JAX {jax.__version__}"
    )
    for code, seconds in import_times().items():
        print(f"  {code}: {seconds:.2f} s")
    for workload in options.workloads or WORKLOADS:
        results: dict[str, list[dict[str, Any]]] = {n: [] for n in names}
        for _ in range(options.rounds):
            for name in names:
                result = measure(name, workload)
                if result is not None:
                    results[name].append(result)
        _print_table(workload, results)


def _print_table(workload: str, results: dict[str, list[dict[str, Any]]]) -> None:
    def median(name: str, key: str) -> float | None:
        values = [r[key] for r in results.get(name, []) if key in r]
        return statistics.median(values) if values else None

    base = median("keras-jax", "median")
    goal = WORKLOADS[workload].goal
    print(f"\n{workload} (goal: {goal:.2f} of Keras on JAX)")
    print("  library            ms/step   of keras-jax   first step s   predict one ms")
    for name in results:
        step = median(name, "median")
        if step is None:
            continue
        share = f"{step / base:.2f}" if base else "-"
        predict = median(name, "predict")
        one = f"{predict:.2f}" if predict else "-"
        first = median(name, "first") or 0.0
        print(f"  {name:<18}{step:9.3f}{share:>13}{first:15.2f}{one:>17}")


if __name__ == "__main__":
    main()
