"""`python -m benchmarks.distribution`: what data parallelism costs the host a step.

The main thread's CPU time of `fit` over simulated devices, beside that of one device:
waiting for devices does not count, and simulated ones would only say how many cores
there are. All take turns; shares are medians of the ratios within a round.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from typing import Any

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np

import carnyx as keras


def model_of(kind: str) -> Any:
    """A transformer block (some 20 variables) or a small MLP."""
    layers = keras.layers
    if kind == "mlp":
        return keras.Sequential(
            [keras.Input((20,)), layers.Dense(64, "relu"), layers.Dense(10)]
        )
    x = inputs = keras.Input((16, 32))
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 8)(x, x))
    hidden = layers.Dense(128, "gelu")(x)
    x = layers.LayerNormalization()(x + layers.Dense(32)(hidden))
    return keras.Model(inputs, layers.Dense(10)(x[:, 0]))


class EveryBatch(keras.callbacks.Callback):
    """Wants to see each batch, so that nothing is fused."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.last = batch


def runs(kind: str, fused: bool, batch: int, steps: int) -> dict[str, Any]:
    """For each placement, a function that gives microseconds a step."""
    count = len(keras.distribution.list_devices())
    placements = {
        "one device": None,
        f"{count} devices": keras.distribution.DataParallel(),
    }
    placements["parameters split"] = keras.distribution.DataParallel(
        shard_parameters=True
    )
    rows = batch * steps
    shape = (rows, 20) if kind == "mlp" else (rows, 16, 32)
    x, y = np.ones(shape, "float32"), np.zeros((rows,), "int32")

    def run_of(placement: Any) -> Any:
        keras.distribution.set_distribution(placement)
        model = model_of(kind)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss)
        callbacks = [] if fused else [EveryBatch()]

        def run() -> float:
            keras.distribution.set_distribution(placement)
            start = time.thread_time()
            model.fit(x, y, batch, verbose=0, callbacks=callbacks)
            return (time.thread_time() - start) / steps * 1e6

        run()
        return run

    return {name: run_of(placement) for name, placement in placements.items()}


def main(rounds: int = 7, batch: int = 64, steps: int = 128) -> None:
    """Measure and print."""
    print("| model | fused | placement | host, µs a step | of one device |")
    print("|---|---|---|--:|--:|")
    for kind in ("mlp", "transformer"):
        for fused in (False, True):
            timed = runs(kind, fused, batch, steps)
            times = {name: [] for name in timed}
            for _ in range(rounds):
                for name, run in timed.items():
                    times[name].append(run())
            for name, row in times.items():
                pairs = zip(row, times["one device"], strict=True)
                share = statistics.median(a / b for a, b in pairs)
                micros = statistics.median(row)
                print(f"| {kind} | {fused} | {name} | {micros:.0f} | {share:.2f} |")
                sys.stdout.flush()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
