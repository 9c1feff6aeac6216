"""`python -m benchmarks.feeds`: how fast batches come, without a model; and a step's
time from a generator of batches beside the one from arrays.

Throughput is in GB/s of float32 batches on the host; `memcpy` copies as much with one
NumPy call a batch.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import carnyx
from carnyx._data import adapt, prefetch

ROWS, WIDTH, SIZE = 20_000, 3_000, 256  # 240 MB
MNIST = (6_400, 28, 28, 1)


class Batches(carnyx.utils.PyDataset):
    def __init__(self, x: np.ndarray, **options: Any) -> None:
        super().__init__(**options)
        self.x = x

    def __len__(self) -> int:
        return len(self.x) // SIZE

    def __getitem__(self, index: int) -> np.ndarray:
        return np.array(self.x[index * SIZE : (index + 1) * SIZE])


def consumed(batches: Iterator[Any]) -> int:
    """Bytes of the x of all batches."""
    return sum(batch[0].nbytes for batch in batches)


def copied(x: np.ndarray) -> int:
    out = np.empty((SIZE, WIDTH), "float32")
    for first in range(0, ROWS - SIZE + 1, SIZE):
        np.copyto(out, x[first : first + SIZE])
    return ROWS // SIZE * out.nbytes


def sources(x: np.ndarray, folder: Path) -> dict[str, Callable[[int], int]]:
    np.save(folder / "x.npy", x)
    mapped = np.load(folder / "x.npy", mmap_mode="r")
    feeds = {
        "arrays, in order (views)": adapt(x, batch_size=SIZE),
        "arrays, shuffled": adapt(x, batch_size=SIZE, shuffle=True, seed=0),
        "mapped file, in order": adapt(mapped, batch_size=SIZE),
        "mapped file, shuffled": adapt(mapped, batch_size=SIZE, shuffle=True, seed=0),
        "PyDataset": adapt(Batches(x)),
        "PyDataset, 2 threads": adapt(Batches(x, workers=2)),
    }
    table: dict[str, Callable[[int], int]] = {"memcpy": lambda _: copied(x)}
    for name, feed in feeds.items():
        table[name] = lambda epoch, feed=feed: consumed(feed.epoch(epoch))
    feed = adapt(Batches(x))
    table["PyDataset, on the device"] = lambda epoch: consumed(
        prefetch(feed.epoch(epoch), jax.device_put)
    )
    return table


def rates(rounds: int = 7) -> None:
    """All sources take turns; the median of the rounds is shown."""
    x = np.random.default_rng(0).random((ROWS, WIDTH), dtype="float32")
    with tempfile.TemporaryDirectory() as folder:
        table = sources(x, Path(folder))
        found: dict[str, list[float]] = {name: [] for name in table}
        for epoch in range(rounds + 1):
            for name, run in table.items():
                begun = time.perf_counter()
                size = run(epoch)
                found[name].append(size / (time.perf_counter() - begun) / 1e9)
    plain = statistics.median(found["memcpy"][1:])
    for name, values in found.items():
        rate = statistics.median(values[1:])
        print(f"{name:28}{rate:8.2f} GB/s{rate / plain:8.0%} of memcpy")


def convnet() -> Any:
    layers = carnyx.layers
    model = carnyx.Sequential(
        [
            carnyx.Input(MNIST[1:]),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ]
    )
    loss = carnyx.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return model


def steps(rounds: int = 5, size: int = 128) -> None:
    """Milliseconds a step of the MNIST convnet, from arrays and from a generator."""
    rng = np.random.default_rng(0)
    x, y = rng.random(MNIST, dtype="float32"), rng.integers(0, 10, MNIST[0])
    model, count = convnet(), 20

    def generated() -> Iterator[Any]:
        for first in range(0, count * size, size):
            yield x[first : first + size], y[first : first + size]

    part = count * size
    runs: dict[str, Callable[[], Any]] = {
        "arrays": lambda: model.fit(x[:part], y[:part], batch_size=size, verbose=0),
        "generator": lambda: model.fit(generated(), verbose=0),
    }
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            found[name].append((time.perf_counter() - begun) / count * 1e3)
    ratios = [g / a for a, g in zip(found["arrays"], found["generator"], strict=True)]
    for name, values in found.items():
        print(f"convnet from {name:15}{statistics.median(values[1:]):8.1f} ms a step")
    print(
        f"generator / arrays, median of the rounds: {statistics.median(ratios[1:]):.3f}"
    )


if __name__ == "__main__":
    rates()
    steps()
