"""`python -m benchmarks.pipeline`: a pipeline beside one device, time and memory.

Simulated devices share the machine's cores, and one device may use them all: what this
can show is that stages overlap (for how much of the time with a program running two or
more ran, read from a trace), what cutting and handing over costs (CPU time of the whole
process), and what each device has to hold; not what several GPUs would gain. "1 stage"
is what smaller batches cost alone. All take turns; times are medians, shares medians of
the ratios within a round.
"""

from __future__ import annotations

import os
import statistics
import sys
from typing import Any

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np

import carnyx as keras
from benchmarks import device_scopes
from carnyx.distribution import Pipeline

CUTS = (  # stages, microbatches, whether stages are computed again on the way back
    (1, 8, False), (2, 4, False), (2, 8, False), (4, 8, False), (4, 8, True),
)  # fmt: skip


def lstm(width: int = 128, length: int = 64) -> Any:
    """Four equal layers."""
    cells = [keras.layers.LSTM(width, return_sequences=True) for _ in range(4)]
    return keras.Sequential([keras.Input((length, width)), *cells])


def transformer(width: int = 256, length: int = 64) -> Any:
    """Eight equal blocks."""
    layers = keras.layers
    x = inputs = keras.Input((length, width))
    for _ in range(8):
        attended = layers.MultiHeadAttention(4, width // 4)(x, x)
        x = layers.LayerNormalization()(x + attended)
        hidden = layers.Dense(4 * width, "gelu")(x)
        x = layers.LayerNormalization()(x + layers.Dense(width)(hidden))
    return keras.Model(inputs, x)


class Steps(device_scopes.Steps):
    """Training steps of one model, timed."""

    def __init__(self, model: Any, batch: int) -> None:
        shape = batch, *model.input_shape[1:]
        x = np.random.default_rng(0).normal(size=shape).astype("float32")
        model.compile(keras.optimizers.SGD(0.01), "mse")
        for _ in range(3):
            model.train_on_batch(x, x)
        self.program = model.train_program()
        self.batch = jax.block_until_ready(self.program.put((x, x)))


def measure(make: Any, batch: int, rounds: int) -> None:
    """One device and pipelines of one kind of model, as rows of a table."""
    whole = make()
    models: dict[str, Any] = {"one device": whole}
    for stages, microbatches, remat in CUTS:
        plural = "" if stages == 1 else "s"
        name = f"{stages} stage{plural}, {microbatches} microbatches"
        name += ", remat" if remat else ""
        models[name] = Pipeline(make(), stages, microbatches, remat=remat)
    runs = {name: Steps(model, batch) for name, model in models.items()}
    models["one device"] = Pipeline(whole, stages=1, microbatches=1)
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, steps in runs.items():
            rows[name].append(steps.take())
    for name, steps in runs.items():
        pairs = list(zip(rows[name], rows["one device"], strict=True))
        share, work = (statistics.median(a[i] / b[i] for a, b in pairs) for i in (0, 1))
        milliseconds = 1e3 * statistics.median(wall for wall, _ in rows[name])
        report = models[name].report(batch)
        print(
            f"| {make.__name__} | {name} | {milliseconds:.0f} | {share:.2f} | "
            f"{work:.2f} | {steps.together(3):.0%} | {report.bubble:.0%} | "
            f"{report.stages[0].residuals / 2**20:.1f} |",
            flush=True,
        )


def main(rounds: int = 9) -> None:
    """Measure and print."""
    print(f"{os.cpu_count()} cores, {len(jax.devices())} simulated devices\n")
    print(
        "| model | run | ms | share | CPU time | two at once | bubble, simulated | "
        "residuals of the first stage, MiB |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    measure(lstm, 64, rounds)
    measure(transformer, 32, rounds)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
