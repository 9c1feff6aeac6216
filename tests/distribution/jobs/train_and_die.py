"""A run with backups, which may be killed and started again."""

import hashlib
import sys
import time

import numpy as np

import carnyx as keras

keras.distribution.initialize()

import jax  # noqa: E402

folder, way, slow, *rest = sys.argv[1:]
ways = {
    "data": keras.distribution.DataParallel,
    "fsdp": lambda: keras.distribution.DataParallel(shard_parameters=True),
    "own": lambda: keras.distribution.DataParallel(auto_shard_dataset=False),
}
index, count = jax.process_index(), jax.process_count()
keras.distribution.set_distribution(ways[way]() if jax.device_count() > 1 else None)
rng = np.random.default_rng(0)
x = rng.normal(size=(96, 12)).astype("float32")
y = (x.sum(1) > 0).astype("int32")
if way == "own":
    x, y = x[index::count], y[index::count]


class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(float(slow))
        print("step", batch, flush=True)
        if rest == ["raise"] and index == 1 and batch == 5:
            raise RuntimeError("the disk is on fire")
        if rest == ["stop"] and index == 1 and batch == 5:
            self.model.stop_training = True


def train(what, *callbacks):
    """Prints a digest of the weights, and the last loss."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((12,)),
            keras.layers.Dense(32, "relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(2),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    size = 8 // (count if way == "own" else 1)
    history = model.fit(x, y, size, epochs=3, callbacks=callbacks, verbose=2).history
    digest = hashlib.sha1(b"".join(w.tobytes() for w in model.get_weights()))
    print(what, digest.hexdigest(), repr(history["loss"][-1]), flush=True)


backup = keras.callbacks.BackupAndRestore
train("done", backup(folder, save_freq=3, delete_checkpoint=False), Slow())
if rest == ["compare"]:
    train("undisturbed", Slow())
