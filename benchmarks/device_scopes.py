"""`python -m benchmarks.device_scopes`: stages on several devices, beside one device.

Three simulated devices share the cores of this machine. Shown are the time of a
training step, the CPU time that the whole process spends on it (what staging adds is
work: programs started, values moved, what a compiler no longer sees as one), and for
how much of the step two devices were busy at once, read from a trace. All take turns;
times are medians, shares medians of the ratios within a round.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np

import carnyx as keras

DEVICES = ("cpu:1", "cpu:2", "cpu:0")
Layer = Callable[[Any], Any]
_THREADS = "tf_XLAExecute", "tf_XLAPjRtCpuClient"  # of JAX 0.12; of 0.10


def lstm() -> Layer:
    return keras.layers.LSTM(96)


def dense() -> Layer:
    blocks = [keras.layers.Dense(1024, "relu") for _ in range(4)]
    return lambda x: [x := block(x) for block in (keras.layers.Flatten(), *blocks)][-1]


def convolutions() -> Layer:
    blocks = [keras.layers.Conv1D(128, 5, activation="relu") for _ in range(3)]
    pool = keras.layers.GlobalAveragePooling1D()
    return lambda x: [x := block(x) for block in (*blocks, pool)][-1]


def model_of(branch: Callable[[], Layer], chain: bool, placed: bool) -> Any:
    """Two branches and a merge; or the same layers one after the other."""
    keras.utils.set_random_seed(0)
    scopes = [keras.device(d) if placed else contextlib.nullcontext() for d in DEVICES]
    first = keras.Input((100, 64))
    second = keras.Input((100, 64))
    with scopes[0]:
        a = branch()(first)
    with scopes[1]:
        if chain:
            joined = keras.layers.RepeatVector(100)(keras.layers.Dense(64)(a))
            second_in = keras.layers.add([second, joined])
        else:
            second_in = second
        b = branch()(second_in)
    with scopes[2]:
        out = keras.layers.Dense(1)(keras.layers.concatenate([a, b]))
    model = keras.Model([first, second], out)
    model.compile("adam", "mse")
    return model


class Steps:
    """Training steps of one model, timed."""

    def __init__(self, model: Any, batch: int) -> None:
        random = np.random.default_rng(0)
        x = [random.normal(size=(batch, 100, 64)).astype("float32") for _ in "ab"]
        y = random.normal(size=(batch, 1)).astype("float32")
        for _ in range(3):
            model.train_on_batch(x, y)
        self.program = model.train_program()
        self.batch = jax.block_until_ready(self.program.put((x, y)))

    def take(self) -> tuple[float, float]:
        """Seconds of a step, and the process's CPU seconds."""
        jax.block_until_ready(self.program.held.store.values)
        wall, work = time.perf_counter(), time.process_time()
        logs = self.program.start(self.batch)
        jax.block_until_ready((logs, self.program.held.store.values))
        return time.perf_counter() - wall, time.process_time() - work

    def together(self, steps: int = 5) -> float:
        """The share of the time with a program running in which two or more ran."""
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder):
                for _ in range(steps):
                    self.take()
            (file,) = Path(folder).rglob("*.xplane.pb")
            data = jax.profiler.ProfileData.from_file(str(file))
            spans = list(_runs(data))
        return _overlap(spans)


def _runs(data: Any) -> Iterator[tuple[float, float]]:
    """When programs ran: each holds one of XLA's threads from its start to its end."""
    for plane in data.planes:
        for line in plane.lines:
            if line.name.startswith(_THREADS):
                yield from _merged(
                    (event.start_ns, event.start_ns + event.duration_ns)
                    for event in line.events
                    if event.name.startswith("ThunkExecutor::Execute")
                )


def _merged(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans that touch, as one."""
    whole: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if whole and start <= whole[-1][1]:
            whole[-1] = whole[-1][0], max(whole[-1][1], end)
        else:
            whole.append((start, end))
    return whole


def _overlap(spans: list[tuple[float, float]]) -> float:
    """The share of the time with a program running in which two or more ran."""
    edges = sorted([(a, 1) for a, _ in spans] + [(b, -1) for _, b in spans])
    busy = both = 0.0
    running, last = 0, 0.0
    for at, change in edges:
        busy += (at - last) * (running > 0)
        both += (at - last) * (running > 1)
        running, last = running + change, at
    return both / busy if busy else 0.0


def main(rounds: int = 15, batch: int = 64) -> None:
    """Measure and print."""
    titles = "layers", "form", "one device, ms", "three, ms", "share", "CPU time"
    print(f"| {' | '.join(titles)} | two at once |")
    print("|---|---|---|---|---|---|---|")
    for name, branch in (("LSTM", lstm), ("Dense", dense), ("Conv1D", convolutions)):
        for chain in (False, True):
            one, three = (
                Steps(model_of(branch, chain, p), batch) for p in (False, True)
            )
            rows = [(*one.take(), *three.take()) for _ in range(rounds)]
            times = [statistics.median(r[i] for r in rows) * 1e3 for i in (0, 2)]
            wall, work = (
                statistics.median(r[i + 2] / r[i] for r in rows) for i in (0, 1)
            )
            form = "one after the other" if chain else "side by side"
            print(
                f"| {name} | {form} | {times[0]:.1f} | {times[1]:.1f} | {wall:.2f} "
                f"| {work:.2f} | {one.together():.0%} → {three.together():.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
