"""`python -m benchmarks.pipeline`: a pipeline beside one device, time and memory.

Simulated devices share the machine's cores, and one device may use them all: what this
can show is that stages overlap (an LSTM keeps one core busy, two stages of them two),
what cutting and handing over costs, and what each device has to hold; not what several
GPUs would gain. "1 stage" is the cost of smaller batches alone.
"""

from __future__ import annotations

import os
import resource
import statistics
import time
from typing import Any

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np

import carnyx as keras
from carnyx.distribution import Pipeline


def lstm(width: int, length: int = 64) -> Any:
    """Four equal layers."""
    cells = [keras.layers.LSTM(width, return_sequences=True) for _ in range(4)]
    return keras.Sequential([keras.Input((length, width)), *cells])


def transformer(width: int, length: int = 64) -> Any:
    """Eight equal blocks."""
    layers = keras.layers
    x = inputs = keras.Input((length, width))
    for _ in range(8):
        x = layers.LayerNormalization()(
            x + layers.MultiHeadAttention(4, width // 4)(x, x)
        )
        hidden = layers.Dense(4 * width, "gelu")(x)
        x = layers.LayerNormalization()(x + layers.Dense(width)(hidden))
    return keras.Model(inputs, x)


class Case:
    """One way to run a model; `run()` gives seconds a step."""

    def __init__(self, model: Any, batch: int, steps: int = 3) -> None:
        self.model, self.batch, self.steps = model, batch, steps
        shape = (batch * steps, *model.input_shape[1:])
        self.x = np.random.default_rng(0).normal(size=shape).astype("float32")
        model.compile(keras.optimizers.SGD(0.01), "mse")
        self.run()

    def run(self) -> float:
        start = time.perf_counter()
        self.model.fit(self.x, self.x, self.batch, verbose=0, shuffle=False)
        return (time.perf_counter() - start) / self.steps


def cases(kind: str, width: int, batch: int) -> dict[str, Case]:
    """One device, and pipelines of two and four stages."""
    make = {"lstm": lstm, "transformer": transformer}[kind]
    found = {"one device": Case(make(width), batch)}
    for stages, microbatches in ((1, 8), (2, 4), (2, 8), (4, 8)):
        pipeline = Pipeline(make(width), stages=stages, microbatches=microbatches)
        plural = "" if stages == 1 else "s"
        name = f"{stages} stage{plural}, {microbatches} microbatches"
        found[name] = Case(pipeline, batch)
    return found


def busy(run: Any) -> float:
    """How many cores were used on average."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used / (time.perf_counter() - start)


def main(rounds: int = 5) -> None:
    """Measure and print."""
    print(f"{os.cpu_count()} cores, {len(jax.devices())} simulated devices\n")
    print(
        "| model | run | ms a step | of one device | cores busy | bubble, simulated | "
        "residuals of the first stage |"
    )
    print("|---|---|--:|--:|--:|--:|--:|")
    for kind, width, batch in (("lstm", 128, 64), ("transformer", 256, 32)):
        runs = cases(kind, width, batch)
        times = {name: [] for name in runs}
        for _ in range(rounds):
            for name, case in runs.items():
                times[name].append(case.run())
        whole = Pipeline(runs["one device"].model, stages=1, microbatches=1)
        for name, case in runs.items():
            middle = statistics.median(times[name])
            ratios = map(lambda a, b: a / b, times[name], times["one device"])
            pipeline = case.model if name != "one device" else whole
            report = pipeline.report(batch)
            size = report.stages[0].residuals / 2**20
            print(
                f"| {kind} | {name} | {middle * 1e3:.0f} | "
                f"{statistics.median(ratios):.2f} | {busy(case.run):.1f} | "
                f"{report.bubble:.0%} | {size:.1f} MiB |"
            )


if __name__ == "__main__":
    main()
