"""What a backup costs the training loop: `python -m benchmarks.backups`.

The MNIST convnet, a backup every 100 steps: the time that `save` holds the loop up,
and the epoch's time with backups over without, in turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import Any

import carnyx
from benchmarks.workloads import WORKLOADS
from carnyx._training.fitting import Fit

STEPS = 100


def main() -> None:
    """Measure and print."""
    workload = WORKLOADS["convnet"]
    model = workload.build(carnyx)
    x, y = workload.data()
    x, y = x[: workload.batch * 4], y[: workload.batch * 4]
    blocked: list[float] = []
    save = Fit.save

    def timed(self: Fit, wait: bool = False) -> None:
        begun = time.perf_counter()
        save(self, wait)
        blocked.append(time.perf_counter() - begun)

    Fit.save = timed  # type: ignore[method-assign]
    model.fit(x, y, batch_size=workload.batch, verbose=0)
    plain, kept = [], []
    for _ in range(3):
        plain.append(_epochs(model, x, y, workload.batch, None))
        with tempfile.TemporaryDirectory() as folder:
            keep = carnyx.callbacks.BackupAndRestore(folder, save_freq=STEPS)
            kept.append(_epochs(model, x, y, workload.batch, [keep]))
    step = statistics.median(plain) / STEPS
    held_up = statistics.median(blocked)
    whole = statistics.median(kept) / statistics.median(plain)
    print(f"step {step * 1e3:.1f} ms; a save holds the loop up for", end=" ")
    print(f"{held_up * 1e3:.1f} ms, {held_up / STEPS / step:.2%} of a save's steps")
    print(f"epoch with backups / without: {whole:.3f}")


def _epochs(model: Any, x: Any, y: Any, batch: int, callbacks: Any) -> float:
    begun = time.perf_counter()
    model.fit(x, y, batch_size=batch, epochs=STEPS // 4, verbose=0, callbacks=callbacks)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
