"""Two processes, of which one leaves, in the way that is asked for."""

import sys
import time

import numpy as np

import carnyx as keras

keras.distribution.initialize()

import jax  # noqa: E402

way, who, *rest = sys.argv[1:]
leaves = jax.process_index() == int(who)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
x, y = np.ones((16, 4), "float32"), np.ones((16, 1), "float32")


class Leave(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if way == "callback" and leaves and epoch == 1:
            raise SystemExit(5)


def train():
    model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[Leave()])


try:
    sys.exit(9)
except SystemExit:
    print("caught", flush=True)
if way == "hook":
    sys.excepthook = lambda kind, error, trace: print("hook", error, flush=True)
if way == "batches":
    model.train_on_batch(x, y)
else:
    train()
if way == "alone":  # the others' scripts are over
    if leaves:
        time.sleep(float(rest[0]))
        print("the report", flush=True)
    sys.exit(0)
if leaves and way in ("exit", "batches"):
    sys.exit(3)
if leaves and way == "hook":
    raise ValueError("boom")
if leaves and way == "ended":
    sys.exit(0)
if way == "saves":  # the first alone, then all
    folder = rest[0]
    for name in ("best", "other"):
        if leaves:
            model.save(f"{folder}/{name}.keras")
    if leaves:
        time.sleep(1)
    for name in ("all", "best"):
        model.save(f"{folder}/{name}.keras")
        keras.models.load_model(f"{folder}/{name}.keras")
    if not leaves:
        model.save(f"{folder}/mine alone.keras")  # nobody writes it
    train()
    sys.exit(0)
for _ in range(3):
    model.train_on_batch(x, y)
