"""`python -m benchmarks.distribution`: what data parallelism costs the host a step.

The main thread's CPU time of `fit` over 2 and 8 simulated devices, beside that of one
device: waiting for devices does not count, and simulated ones would only say how many
cores there are. "By hand" is JAX's own share: the same step under `jax.jit` with its
state as a list of arrays, on a batch that is there already. All take turns; shares are
medians of the ratios within a round.
"""

from __future__ import annotations

import functools
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np

import carnyx as keras

layers = keras.layers
SHAPES = {"mlp": (20,), "convnet": (12, 12, 1), "transformer": (16, 32)}


def model_of(kind: str) -> Any:
    """A small network: 4, 8 or 18 weights; with Adam three times as many arrays."""
    x = inputs = keras.Input(SHAPES[kind])
    if kind == "mlp":
        x = layers.Dense(64, "relu")(x)
    elif kind == "convnet":
        x = layers.Conv2D(8, 3, activation="relu")(x)
        x = layers.MaxPooling2D(2)(layers.BatchNormalization()(x))
        x = layers.Flatten()(layers.Conv2D(16, 3, activation="relu")(x))
    else:
        x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 8)(x, x))
        x = layers.LayerNormalization()(
            x + layers.Dense(32)(layers.Dense(128, "gelu")(x))
        )
        x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(10)(x))


class EveryBatch(keras.callbacks.Callback):
    """Wants to see each batch, so that nothing is fused."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.last = batch


def placements() -> dict[str, Any]:
    """By name; None is one device."""
    names = keras.distribution.list_devices()
    data = keras.distribution.DataParallel
    found = {"one device": None}
    found |= {f"{n} devices": data(devices=names[:n]) for n in (2, len(names))}
    everywhere = data(shard_parameters=True)
    return found | {f"{len(names)} devices, parameters split": everywhere}


def fit_of(
    kind: str, placement: Any, fused: bool, batch: int, steps: int
) -> Callable[[], float]:
    """Gives the microseconds a step of a call of `fit`."""
    shape = batch * steps, *SHAPES[kind]
    x, y = np.ones(shape, "float32"), np.zeros(shape[:1], "int32")
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


def by_hand(kind: str, placement: Any, batch: int, steps: int) -> Callable[[], float]:
    """The same of a loop around the jitted step."""
    keras.distribution.set_distribution(placement)
    model = model_of(kind)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    data = np.ones((batch, *SHAPES[kind]), "float32"), np.zeros(batch, "int32")
    model.fit(*data, batch, verbose=0)
    program = model.train_program()
    data = jax.device_put(program.put(data))
    variables = program.held.store.variables
    values = [jax.device_put(v.value, v.value.sharding) for v in variables]
    places = None if placement is None else [v.sharding for v in values]
    flat = functools.partial(program.flat, program.now.traces)
    options: dict[str, Any] = {}
    if places is not None:
        options["out_shardings"] = None, places, None
    step = jax.jit(flat, donate_argnums=0, **options)

    def run() -> float:
        nonlocal values
        start = time.thread_time()
        for _ in range(steps):
            _, values, _ = step(values, [], data)
        spent = time.thread_time() - start
        jax.block_until_ready(values)
        return spent / steps * 1e6

    run()
    return run


def main(rounds: int = 7, batch: int = 64, steps: int = 256) -> None:
    """Measure and print."""
    print("| network | steps | placement | host, µs a step | of one device |")
    print("|---|---|---|--:|--:|")
    for kind in SHAPES:
        for how in ("fused", "one by one", "by hand"):
            if how == "fused" and kind == "convnet":
                continue  # on a CPU convolutions run alone
            show(kind, how, rounds, batch, steps)


def show(kind: str, how: str, rounds: int, batch: int, steps: int) -> None:
    """The rows of one network."""
    runs = {}
    for name, placement in placements().items():
        if how == "by hand":
            runs[name] = by_hand(kind, placement, batch, steps)
        else:
            runs[name] = fit_of(kind, placement, how == "fused", batch, steps)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(run())
    for name, row in times.items():
        share = statistics.median(
            a / b for a, b in zip(row, times["one device"], strict=True)
        )
        micros = statistics.median(row)
        print(f"| {kind} | {how} | {name} | {micros:.0f} | {share:.2f} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
