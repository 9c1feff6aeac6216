"""One library on one workload, in a process of its own.

    python -m benchmarks.worker carnyx tiny [float32] [--turns]

prints a line of JSON. With `--turns` it takes its turns from the standard input
instead: a line `epoch` or `predict` runs that once and prints the milliseconds.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.workloads import WORKLOADS, Workload

BY_HAND = {"by-hand": "benchmarks.by_hand", "torch-raw": "benchmarks.torch_raw"}


class Worker:
    """What can be timed of a library, and the seconds to the end of a first epoch."""

    def __init__(self, library: str, name: str, policy: str = "float32") -> None:
        begun = time.perf_counter()
        self.workload: Workload = WORKLOADS[name]
        self.x, self.y = self.workload.data()
        data = self.x, self.y
        self.run, self.model = _prepared(library, name, self.workload, *data, policy)
        self.run()
        self.first = time.perf_counter() - begun
        self.run()

    def epoch(self) -> float:
        """Milliseconds a step, over an epoch."""
        start = time.perf_counter()
        self.run()
        return (time.perf_counter() - start) / self.workload.steps * 1e3

    def predict(self, repeats: int = 30) -> float | None:
        """Milliseconds of `predict` on one sample, in a loop."""
        if self.model is None:
            return None
        one = self.x[:1]
        self.model.predict(one, verbose=0)
        start = time.perf_counter()
        for _ in range(repeats):
            self.model.predict(one, verbose=0)
        return (time.perf_counter() - start) / repeats * 1e3


def _prepared(
    library: str, name: str, workload: Workload, x: Any, y: Any, policy: str
) -> tuple[Callable[[], Any], Any]:
    if library in BY_HAND:
        module = __import__(BY_HAND[library], fromlist=["training"])
        how = () if policy == "float32" else (policy,)
        return module.training(name, x, y, workload.batch, *how), None
    k = _library(library)
    k.config.set_dtype_policy(policy)
    model = workload.build(k)
    return lambda: model.fit(x, y, batch_size=workload.batch, verbose=0), model


def _library(name: str) -> Any:
    if name == "carnyx":
        import carnyx

        return carnyx
    os.environ["KERAS_BACKEND"] = name.removeprefix("keras-")
    import keras

    return keras


def main(library: str, name: str, *options: str) -> None:
    """Measure once, or take turns."""
    policy = next((o for o in options if not o.startswith("-")), "float32")
    worker = Worker(library, name, policy)
    if "--turns" in options:
        print(json.dumps({"first": worker.first}), flush=True)
        for line in sys.stdin:
            print(json.dumps(getattr(worker, line.strip())()), flush=True)
        return
    times = [worker.epoch() for _ in range(5)]
    result = {"least": min(times), "median": statistics.median(times)}
    result |= {"first": worker.first, "predict": worker.predict()}
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
