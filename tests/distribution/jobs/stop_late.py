"""One process wants to stop when the others have passed the last step."""

import os
import signal
import sys
import time

import numpy as np

import carnyx as keras

keras.distribution.initialize()

import jax  # noqa: E402

folder, index = sys.argv[1], jax.process_index()
x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")


class Late(keras.callbacks.Callback):
    """Does something in the first process, at the end of the second epoch."""

    def __init__(self, do):
        super().__init__()
        self.do = do

    def on_epoch_end(self, epoch, logs=None):
        if index == 0 and epoch == 1:
            time.sleep(0.5)
            self.do()


def fit(epochs, *callbacks):
    data = x, x[:, :1]
    return model.fit(
        *data, batch_size=8, epochs=epochs, verbose=0, callbacks=callbacks
    ).epoch


assert fit(2, Late(lambda: setattr(model, "stop_training", True))) == [0, 1]
assert model.stop_training  # in all of them
assert fit(3) == [0, 1, 2]
assert int(model.optimizer.iterations) == 25
print("goes on", flush=True)
keep = keras.callbacks.BackupAndRestore(folder, save_freq=1000)
fit(2, keep, Late(lambda: os.kill(os.getpid(), signal.SIGTERM)))
print("went on after SIGTERM")
