"""A model over a GPU and the host's CPU: `JAX_PLATFORMS=cuda,cpu … -m gpu`."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

import carnyx as keras

pytestmark = pytest.mark.gpu
layers: Any = keras.layers
optimizers: Any = keras.optimizers
rng = np.random.default_rng(0)


def tweets(scope: Any) -> Any:
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    first, second = keras.Input((6, 5)), keras.Input((6, 5))
    shared = layers.LSTM(8)
    with scope("/gpu:0"):
        a = shared(first)
    with scope("/cpu:0"):
        b = shared(second)
        out = layers.Dense(1)(layers.concatenate([a, b]))
    model = keras.Model([first, second], out)
    model.compile(optimizers.SGD(0.05, momentum=0.9), "mse")
    return model


def test_a_gpu_and_the_host_share_a_model() -> None:
    x = list(rng.normal(size=(2, 32, 6, 5)).astype("float32"))
    y = rng.normal(size=(32, 1)).astype("float32")
    losses = []
    for scope in (lambda _: contextlib.nullcontext(), keras.device):
        model = tweets(scope)
        history = model.fit(x, y, batch_size=16, epochs=5, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
    # the GPU multiplies in TF32, the host in float32
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-2)
    table = model.placement()
    assert table.devices.keys() == {"cpu:0", "gpu:0"}
    (device,) = model.layers[2].weights[0].value.devices()
    assert device.platform == "gpu"
    assert model(x).devices().pop().platform == "cpu"
