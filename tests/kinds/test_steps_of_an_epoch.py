"""Kind: an epoch with fewer steps than the data have batches.

Why it happened: epochs were windows of an endless row of passes, so that their numbers
of steps, the samples that they saw and the losses that they told were others than
Keras's; and a loader whose pass ended with an epoch was taken for one that is used up.
Now a pass over arrays, or over what has a length, ends with an epoch, as there:
each source, with each number of steps, tells callbacks of the same batches.
"""

import os
import warnings

import numpy as np
import pytest

import carnyx as keras
from carnyx.callbacks import LambdaCallback

X, Y = np.arange(14.0).reshape(7, 2), np.arange(7.0)[:, None]  # batches of 2: four


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return X[2 * i : 2 * i + 2], Y[2 * i : 2 * i + 2]


class Again:
    """A loader that can begin again."""

    def __len__(self):
        return 4

    def __iter__(self):
        return (Batches()[i] for i in range(4))


SOURCES = {"arrays": lambda: X, "PyDataset": Batches, "loader": Again}
# of an epoch, from recorded runs of Keras 3.15 on arrays and PyDatasets
STEPS = {1: [1, 1, 1, 1], 2: [2, 2, 2, 2], 3: [3, 1, 3, 1], 4: [4] * 4, 9: [4] * 4}


def epochs_of(source, steps, **options):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse", **options)
    seen = []
    told = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append([]),
        on_train_batch_end=lambda batch, logs: seen[-1].append(batch),
    )
    arrays = {"y": Y, "batch_size": 2} if source is X else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = model.fit(
            source, **arrays, steps_per_epoch=steps, epochs=4, shuffle=False,
            verbose=0, callbacks=[told],
        )  # fmt: skip
    return seen, history.history["loss"], model


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_pass_ends_with_an_epoch(source, steps):
    seen, losses, model = epochs_of(SOURCES[source](), steps)
    assert seen == [list(range(n)) for n in STEPS[steps]]
    errors = (model(X) - Y) ** 2
    first = 0
    for count, loss in zip(STEPS[steps], losses):
        part = errors[2 * first : 2 * (first + count)]
        np.testing.assert_allclose(loss, np.mean(part), rtol=1e-5)
        first = (first + count) % 4


def test_steps_run_together_end_with_the_pass_too():
    seen, _, _ = epochs_of(X, 3, steps_per_execution=2)
    assert seen == [[1, 3], [1], [1, 3], [1]]


@pytest.mark.parametrize("source", [X, Batches()], ids=["arrays", "PyDataset"])
def test_that_an_epoch_was_shorter_is_said_once(source):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    arrays = {"y": Y, "batch_size": 2} if source is X else {}
    with pytest.warns(UserWarning, match="1 of 3 batches in epoch 2") as told:
        model.fit(source, **arrays, steps_per_epoch=3, epochs=4, verbose=0)
    assert len(told) == 1


def test_an_honest_part_of_the_data_is_no_mistake():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    some = {"validation_data": (X, Y), "validation_steps": 1}
    model.fit(X, Y, 2, steps_per_epoch=2, epochs=4, verbose=0, **some)
    model.evaluate(X, Y, batch_size=2, steps=3, verbose=0)


@pytest.mark.parametrize("source", ["arrays", "PyDataset"])
def test_a_cut_run_goes_on_in_the_same_pass(source, tmp_path):
    def run(epochs, folder):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.001), "mse")
        data = SOURCES[source]()
        arrays = {"y": Y, "batch_size": 2} if data is X else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(
                data, **arrays, steps_per_epoch=3, epochs=epochs, verbose=0,
                resume=os.fspath(folder),
            )  # fmt: skip
        return model.get_weights()

    whole = run(4, tmp_path / "whole")
    run(1, tmp_path / "cut")
    for mine, wanted in zip(run(4, tmp_path / "cut"), whole, strict=True):
        np.testing.assert_array_equal(mine, wanted)
