"""What each of 8 devices holds of networks whose parameters are split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

import carnyx as keras
from tests.distribution.shared_checks import transfers

layers = keras.layers
DataParallel = keras.distribution.DataParallel


@pytest.fixture(autouse=True)
def nothing_left_in_force() -> Iterator[None]:
    yield
    keras.distribution.set_distribution(None)


def network(name: str) -> tuple[Any, np.ndarray]:
    """With sizes as such networks have them: not all are multiples of 8."""
    if name == "mlp":
        inputs = keras.Input((60,))
        x = layers.Dense(64, "relu")(inputs)
    elif name == "convnet":
        inputs = keras.Input((8, 8, 3))
        x = layers.BatchNormalization()(layers.Conv2D(16, 3)(inputs))
        x = layers.Flatten()(layers.Conv2D(32, 3, activation="relu")(x))
    elif name == "lstm":
        inputs = keras.Input((5,), dtype="int32")
        x = layers.Embedding(50, 16, mask_zero=True)(inputs)
        x = layers.LSTM(16, return_sequences=True)(x)
        x = layers.Bidirectional(layers.GRU(8))(x)
    else:
        inputs = keras.Input((6, 16))
        x = layers.LayerNormalization()(inputs)
        x = inputs + layers.MultiHeadAttention(2, 8)(x, x)
        x = x + layers.Dense(16)(layers.Dense(64, "gelu")(x))
        x = layers.GlobalAveragePooling1D()(x)
    samples = np.ones((16, *inputs.shape[1:]), inputs.dtype)
    return keras.Model(inputs, layers.Dense(10)(x)), samples


@pytest.mark.parametrize("name", ["mlp", "convnet", "lstm", "transformer"])
def test_an_eighth_of_parameters_and_slots(name: str) -> None:
    keras.distribution.set_distribution(DataParallel(shard_parameters=True))
    model, x = network(name)
    y = np.zeros(16, "int32")
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    held = dict.fromkeys(jax.devices(), 0)
    variables = model.trainable_variables + model.optimizer.variables
    for variable in variables:
        for shard in variable.value.addressable_shards:
            held[shard.device] += shard.data.nbytes
    assert max(held.values()) <= 1.15 / 8 * sum(v.nbytes for v in variables)
    # a step gathers each weight, adds up each gradient, and sends nothing else
    sent = transfers(model.train_program().lower((x, y)).compile().as_text())
    weights = sum(v.nbytes for v in model.trainable_variables)
    for kind in ("all-gather", "all-reduce"):
        moved = sum(n for t in sent if t.kind == kind for n in t.sizes)
        assert 0.9 * weights <= moved <= 1.1 * weights + 4 * 16 * 4, kind
    assert {t.kind for t in sent} == {"all-gather", "all-reduce"}


def test_automatic_layouts_of_convolutions() -> None:
    losses = []
    for distribution in (None, keras.distribution.ModelParallel("auto", model=4)):
        keras.utils.set_random_seed(0)
        keras.distribution.set_distribution(distribution)
        model, x = network("convnet")
        x = np.random.default_rng(0).normal(size=x.shape)
        model.compile("sgd", "mse")
        y = np.linspace(0, 1, 160).reshape(16, 10)
        losses.append(model.fit(x, y, 16, 3, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    first, second = (v.value for v in model.weights if v.ndim == 4)
    assert tuple(first.sharding.spec) == (None, None, None, "model")
    assert second.addressable_shards[0].data.shape == (3, 3, 16, 8)
