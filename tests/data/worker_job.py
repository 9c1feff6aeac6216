"""A source for worker processes: in a file that they can import.

python worker_job.py: trains, kills a worker on the way, says what it gets.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import numpy as np

import carnyx as keras


class Batches(keras.utils.PyDataset):
    """Eight batches of four; batch `bad` raises, or ends its process."""

    def __init__(self, bad=None, how="raise", **options):
        super().__init__(**options)
        self.bad, self.how, self.shift = bad, how, 0

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == self.bad:
            if self.how == "raise":
                self._lookup(index)
            os.kill(os.getpid(), signal.SIGKILL)
        rows = np.arange(4 * index, 4 * index + 4)
        return np.stack([rows, rows + self.shift], 1) / 10, rows

    def _lookup(self, index):
        return {}["lost"]

    def on_epoch_end(self):
        self.shift += 1


class Slow(Batches):
    """Batches that take long, and tell which process makes them."""

    def __getitem__(self, index):
        time.sleep(0.05)
        return np.full((2, 1), os.getpid() % 2**20), np.full(2, index)


class Closed(Batches):
    """Cannot be pickled."""

    def __init__(self, **options):
        super().__init__(**options)
        self.function = lambda: None


def main() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    source = Batches(5, "kill", workers=2, use_multiprocessing=True)
    begun = time.monotonic()
    try:
        model.fit(source, verbose=0)
    except keras.errors.DataError as error:
        print(type(error).__name__, error, getattr(error, "__notes__", ""))
    print("seconds", time.monotonic() - begun)
    print("children", len(multiprocessing.active_children()))


if __name__ == "__main__":
    main()
