"""Trains small networks and writes what is seen of it; alone, or as part of a job."""

import pickle
import sys
from pathlib import Path

import numpy as np

import carnyx as keras

keras.distribution.initialize()

import jax  # noqa: E402

from tests.distribution.shared_checks import compiled, train  # noqa: E402
from tests.training.networks import data_for  # noqa: E402

DataParallel = keras.distribution.DataParallel
index, count = jax.process_index(), jax.process_count()
many = jax.device_count() > 1
results = {}


def seen(model, x, y, **fit):
    """Of 20 steps and more, evaluation, prediction."""
    history = model.fit(x, y, verbose=0, **fit).history
    size = fit.get("batch_size")
    return {
        **history,
        "evaluate": model.evaluate(x, y, batch_size=size, verbose=0),
        "predict": model.predict(x, batch_size=size, verbose=0),
        "weights": model.get_weights(),
    }


def numbers(names):
    for name in names:
        results[name] = train(name, DataParallel() if many else None, 25)


def split_weights():
    x, y = data_for("mlp", 48)
    ways = {"fsdp": lambda: DataParallel(shard_parameters=True)}
    ways["tensor parallel"] = lambda: keras.distribution.ModelParallel("auto", model=2)
    for name, make in ways.items():
        keras.distribution.set_distribution(make() if many else None)
        model = compiled("mlp")
        checkpoint = keras.callbacks.ModelCheckpoint(f"{folder}/{name}-{count}.keras")
        fit = {"batch_size": 16, "epochs": 7, "callbacks": [checkpoint]}
        results[name] = seen(model, x, y, **fit)
        model.save_weights(f"{folder}/{name}-{count}.weights.h5")
        again = compiled("mlp")
        again.load_weights(f"{folder}/{name}-{count}.weights.h5")
        for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def half_precision():
    keras.distribution.set_distribution(DataParallel() if many else None)
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = compiled("mlp")
    optimizer = keras.optimizers.SGD(0.05, gradient_accumulation_steps=2)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    results["half"] = seen(model, *data_for("mlp", 48), batch_size=16, epochs=7)
    keras.config.set_dtype_policy("float32")


def without_dropout():
    """Its numbers do not depend on the order of the samples in a batch."""
    keras.utils.set_random_seed(3)
    layers = keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(4)
    model = keras.Sequential([keras.Input((12,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    return model


def own_parts():
    """Each process gives every so-manieth sample: the batches of all are the same."""
    keras.distribution.set_distribution(
        DataParallel(auto_shard_dataset=False) if many else None
    )
    x, y = data_for("mlp", 50)
    part = x[index::count], y[index::count]
    size = 16 // count

    def batches():
        for start in range(0, len(part[1]), size):
            yield part[0][start : start + size], part[1][start : start + size]

    class Sequence(keras.utils.PyDataset):
        def __len__(self):
            return len(list(batches()))

        def __getitem__(self, i):
            return list(batches())[i]

    fit = {"batch_size": size, "epochs": 5, "shuffle": False}
    results["own arrays"] = seen(without_dropout(), *part, **fit)
    if count < 4:
        model = without_dropout()
        history = model.fit(Sequence(), epochs=5, shuffle=False, verbose=0).history
        results["own sequence"] = history


folder = Path(sys.argv[1])
for what in sys.argv[2:]:
    if what == "numbers":
        numbers(["mlp", "convnet", "two_by_two"])
    else:
        {"few": lambda: numbers(["mlp"])}.get(what, globals().get(what))()
with open(folder / f"{count}-{index}.pickle", "wb") as stream:
    pickle.dump(results, stream)
