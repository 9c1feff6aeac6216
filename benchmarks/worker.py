"""One measurement in a process of its own; prints a line of JSON.

    python -m benchmarks.worker carnyx tiny
    python -m benchmarks.worker keras-jax tiny
    python -m benchmarks.worker by-hand tiny
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def main(library: str, name: str, repeats: int = 5) -> dict[str, Any]:
    """Milliseconds a step (least and median of epochs) and the time to a first step."""
    begun = time.perf_counter()
    if library.startswith("keras-"):
        os.environ["KERAS_BACKEND"] = library.removeprefix("keras-")
    from benchmarks.workloads import WORKLOADS

    workload = WORKLOADS[name]
    x, y = workload.data()
    if library == "by-hand":
        from benchmarks.by_hand import adam_loop

        epochs = adam_loop(name, x, y, workload.batch)
        run: Callable[[], Any] = lambda: epochs(1)  # noqa: E731
        model = None
    else:
        model = workload.build(_library(library))
        run = lambda: model.fit(  # noqa: E731
            x, y, batch_size=workload.batch, verbose=0, shuffle=True
        )
    run()
    first = time.perf_counter() - begun
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) / workload.steps * 1e3)
    times.sort()
    result = {"least": times[0], "median": times[len(times) // 2], "first": first}
    if model is not None:
        result["predict"] = _predict_one(model, x)
    return result


def _library(name: str) -> Any:
    if name == "carnyx":
        import carnyx

        return carnyx
    import keras

    return keras


def _predict_one(model: Any, x: Any) -> float:
    """Milliseconds of `predict` on one sample, in a loop."""
    one = x[:1]
    for _ in range(5):
        model.predict(one, verbose=0)
    start = time.perf_counter()
    for _ in range(30):
        model.predict(one, verbose=0)
    return (time.perf_counter() - start) / 30 * 1e3


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:3])))
