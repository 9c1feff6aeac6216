"""A training job for the tests of resuming: run it, kill it, run it again.

python resume_job.py FOLDER RESULT [SAVE_FREQ]
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

import carnyx as keras


def build() -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((12,)),
            layers.Dense(16, "relu", kernel_initializer=_glorot(1)),
            layers.BatchNormalization(),
            layers.Dropout(0.3, seed=2),
            layers.Dense(4, kernel_initializer=_glorot(3)),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


def _glorot(seed: int) -> Any:
    return keras.initializers.GlorotUniform(seed=seed)


class Batches(keras.utils.PyDataset):
    """Sixteen rows at a time, made by two threads."""

    def __init__(self, x: Any, y: Any) -> None:
        super().__init__(workers=2)
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x) // 16

    def __getitem__(self, index: int) -> Any:
        rows = slice(16 * index, 16 * index + 16)
        return self.x[rows], self.y[rows]


def grain_loader(x: Any, y: Any) -> Any:
    """The rows in a shuffled order, by Grain."""
    import grain

    rows = grain.MapDataset.source(list(zip(x, y, strict=True))).shuffle(seed=3)
    return rows.to_iter_dataset().batch(16, drop_remainder=True)


def main(folder: str, result: str, save_freq: Any = 7, source: str = "arrays") -> None:
    keras.utils.set_random_seed(11)
    model = build()
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 12)).astype("float32")
    y = rng.integers(0, 4, 300)
    data: tuple[Any, ...] = (x[:240], y[:240])
    if source == "pydataset":
        data = (Batches(*data),)
    elif source == "grain":
        data = (grain_loader(*data),)
    tell = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: print("epoch", epoch, flush=True)
    )
    callbacks = [
        tell,
        keras.callbacks.EarlyStopping(
            "val_loss", patience=9, restore_best_weights=True
        ),
        keras.callbacks.ReduceLROnPlateau(
            "loss", factor=0.5, patience=1, min_delta=0.1
        ),
        keras.callbacks.BackupAndRestore(
            folder, save_freq=save_freq, delete_checkpoint=False
        ),
    ]
    history = model.fit(
        *data,
        batch_size=16 if source == "arrays" else None,
        epochs=8,
        validation_data=(x[240:], y[240:]),
        callbacks=callbacks,
        verbose=0,
    )
    slots = [v.numpy() for v in model.optimizer.variables]
    np.savez(f"{result}.npz", *model.get_weights(), *slots)
    with open(f"{result}.json", "w") as stream:
        json.dump(history.history, stream)


if __name__ == "__main__":
    freq = sys.argv[3] if len(sys.argv) > 3 else "7"
    main(sys.argv[1], sys.argv[2], int(freq) if freq.isdigit() else freq, *sys.argv[4:])
