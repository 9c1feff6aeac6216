"""A training that `carnyx launch` starts in tests: `train_job.py RESULT [BACKUPS]`.

Process 0 writes the weights to RESULT. With BACKUPS it goes on from there, and the last
process is killed once, in the middle of the second epoch.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

import carnyx as keras


class Kill(keras.callbacks.Callback):
    """Ends its process as `kill -9` does, where it did not do so before."""

    def __init__(self, mark: Path) -> None:
        super().__init__()
        self.mark = mark
        self.begun = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        last = jax.process_index() == jax.process_count() - 1
        step = int(self.model.optimizer.iterations)
        if not self.begun:
            print("first step", step)
            self.begun = True
        if last and step == 8 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def train(callbacks: Any = ()) -> list[np.ndarray]:
    """Three epochs of five steps; the weights."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(76, 6)).astype("float32")
    y = x[:, :2] * x[:, 2:4]
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(8), layers.Dropout(0.2), layers.Dense(2)]
    )
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(x, y, batch_size=16, epochs=3, verbose=0, callbacks=list(callbacks))
    return model.get_weights()


def main(result: str, backups: str = "") -> None:
    keras.distribution.initialize()
    callbacks: list[Any] = []
    if backups:
        callbacks = [
            keras.callbacks.BackupAndRestore(backups, 3, delete_checkpoint=False),
            Kill(Path(f"{result}.killed")),
        ]
    weights = train(callbacks)
    print("trained", jax.process_index(), "of", jax.process_count())
    if jax.process_index() == 0:
        np.savez(result, *weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
