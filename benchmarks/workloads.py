"""The networks, written once for every library with the Keras API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Workload(NamedTuple):
    """A network, its data, and how much of it to run."""

    build: Callable[[Any], Any]
    data: Callable[[], tuple[np.ndarray, np.ndarray]]
    batch: int
    steps: int  # in an epoch
    goal: float  # step time as a share of Keras on JAX


def _compiled(k: Any, model: Any, optimizer: Any, binary: bool = False) -> Any:
    if binary:
        loss = k.losses.BinaryCrossentropy(from_logits=True)
    else:
        loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    return model


def tiny(k: Any) -> Any:
    """20 → 64 → 10."""
    model = k.Sequential(
        [k.Input((20,)), k.layers.Dense(64, activation="relu"), k.layers.Dense(10)]
    )
    return _compiled(k, model, k.optimizers.Adam(1e-3))


def mlp(k: Any) -> Any:
    """The MLP of Keras's first example."""
    model = k.Sequential(
        [
            k.Input((784,)),
            k.layers.Dense(512, activation="relu"),
            k.layers.Dropout(0.2),
            k.layers.Dense(512, activation="relu"),
            k.layers.Dropout(0.2),
            k.layers.Dense(10),
        ]
    )
    return _compiled(k, model, k.optimizers.RMSprop(1e-3))


def convnet(k: Any) -> Any:
    """The convolutional network of Keras's second example."""
    model = k.Sequential(
        [
            k.Input((28, 28, 1)),
            k.layers.Conv2D(32, 3, activation="relu"),
            k.layers.Conv2D(64, 3, activation="relu"),
            k.layers.MaxPooling2D(2),
            k.layers.Dropout(0.25),
            k.layers.Flatten(),
            k.layers.Dense(128, activation="relu"),
            k.layers.Dropout(0.5),
            k.layers.Dense(10),
        ]
    )
    return _compiled(k, model, k.optimizers.Adam(1e-3))


def lstm(k: Any) -> Any:
    """Embedding and one LSTM over 80 steps."""
    model = k.Sequential(
        [
            k.Input((80,), dtype="int32"),
            k.layers.Embedding(5000, 128),
            k.layers.LSTM(128),
            k.layers.Dense(1),
        ]
    )
    return _compiled(k, model, k.optimizers.Adam(1e-3), binary=True)


def transformer(k: Any) -> Any:
    """Four pre-norm blocks of width 256 on 128 tokens."""
    x = inputs = k.Input((128, 256))
    for _ in range(4):
        h = k.layers.LayerNormalization()(x)
        x = x + k.layers.MultiHeadAttention(4, 64)(h, h)
        h = k.layers.LayerNormalization()(x)
        h = k.layers.Dense(1024, activation="gelu")(h)
        x = x + k.layers.Dense(256)(h)
    x = k.layers.GlobalAveragePooling1D()(x)
    model = k.Model(inputs, k.layers.Dense(10)(x))
    return _compiled(k, model, k.optimizers.Adam(1e-3))


def application(name: str) -> Callable[[Any], Any]:
    """One of the library's own networks, for images of 96 × 96."""

    def build(k: Any) -> Any:
        make = getattr(k.applications, name)
        model = make(
            weights=None,
            input_shape=(96, 96, 3),
            classes=10,
            classifier_activation=None,
        )
        return _compiled(k, model, k.optimizers.Adam(1e-3))

    return build


def _random(*shape: int, classes: int = 10) -> Callable[[], tuple[Any, Any]]:
    def make() -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        x = rng.normal(size=shape).astype("float32")
        return x, rng.integers(0, classes, shape[0]).astype("int32")

    return make


def _tokens() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5000, (32 * 20, 80)).astype("int32")
    return x, rng.integers(0, 2, (len(x), 1)).astype("float32")


WORKLOADS = {
    "tiny": Workload(tiny, _random(32 * 400, 20), 32, 400, 0.15),
    "mlp": Workload(mlp, _random(128 * 50, 784), 128, 50, 0.8),
    "convnet": Workload(convnet, _random(128 * 8, 28, 28, 1), 128, 8, 0.55),
    "lstm": Workload(lstm, _tokens, 32, 20, 0.85),
    "transformer": Workload(transformer, _random(32 * 3, 128, 256), 32, 3, 0.62),
    **{
        name: Workload(application(name), _random(16 * 3, 96, 96, 3), 16, 3, 1.0)
        for name in ("ResNet50", "MobileNetV2", "EfficientNetB0")
    },
}
