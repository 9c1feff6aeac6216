"""Values that go through a step on several devices are read and written as others."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import carnyx as keras
from tests.distribution.shared_checks import flat, networks

DataParallel = keras.distribution.DataParallel


class Meddler(keras.callbacks.Callback):
    """Reads and writes what a step changes, between steps."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Any] = []
        self.seen: list[np.ndarray] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        bias, optimizer = self.model.layers[0].bias, self.model.optimizer
        optimizer.learning_rate = 0.05 / (1 + batch)
        if batch % 2:
            self.held.append(bias.value)
            self.seen.append(bias.numpy())
            bias.assign(bias.value * 0.5)
        if batch == 2:
            self.model.layers[0].kernel.assign_add(np.full((12, 16), 0.01))


@pytest.mark.parametrize("split", [False, True])
def test_reading_and_writing_between_steps(split: bool) -> None:
    x, y = networks.data_for("mlp", 48)
    runs = []
    for distribution in (None, DataParallel(shard_parameters=split)):
        keras.distribution.set_distribution(distribution)
        keras.utils.set_random_seed(1)
        model, meddler = networks.mlp(keras), Meddler()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(x, y, 8, 2, verbose=0, callbacks=[meddler]).history
        for array, before in zip(meddler.held, meddler.seen, strict=True):
            np.testing.assert_array_equal(array, before)  # it was not donated
        runs.append([*history.values(), *meddler.seen, *model.get_weights()])
        keras.distribution.set_distribution(None)
    np.testing.assert_allclose(flat(runs[1]), flat(runs[0]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_values_keep_their_shapes_types_and_places(dtype: str) -> None:
    with DataParallel().scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.add(keras.layers.BatchNormalization(dtype=dtype))
        model.compile("adam", "mse")
    everything = jax.sharding.NamedSharding(
        DataParallel().device_mesh.backend_mesh, jax.sharding.PartitionSpec()
    )
    for _ in range(2):
        model.fit(np.ones((16, 3)), np.ones((16, 2)), 8, verbose=0)
        for variable in [*model.variables, *model.optimizer.variables]:
            value = variable.value
            assert value.shape == variable.shape and value.dtype == variable.dtype
            assert value.sharding.is_equivalent_to(everything, value.ndim)
        model.set_weights([np.ones(v.shape) for v in model.weights])
        assert all((v.numpy() == 1).all() for v in model.weights)


def test_another_program_takes_the_values_over() -> None:
    x, y = np.ones((16, 4), "float32"), np.ones((16, 1), "float32")
    with DataParallel().scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("adam", "mse")
    model.fit(x, y, 8, verbose=0)
    held = [v.value for v in model.weights]
    expected = model.predict(x, verbose=0)
    other = keras.Model(model.inputs, model.outputs)
    other.compile("sgd", "mse")  # on one device
    np.testing.assert_allclose(other.predict(x, verbose=0), expected, rtol=1e-6)
    other.fit(x, y, 8, verbose=0)
    assert all(np.isfinite(v).all() for v in held)
    after = model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(after, other.evaluate(x, y, verbose=0), rtol=1e-6)
