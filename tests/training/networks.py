"""The same networks in Keras and in Carnyx: each takes the library as `k`."""

from __future__ import annotations

from typing import Any

import numpy as np


def mlp(k: Any) -> Any:
    return k.Sequential(
        [
            k.Input((12,)),
            k.layers.Dense(16, activation="relu", kernel_regularizer="l2"),
            k.layers.Dense(4, activation="softmax"),
        ]
    )


def convnet(k: Any) -> Any:
    return k.Sequential(
        [
            k.Input((8, 8, 1)),
            k.layers.Conv2D(4, 3, activation="relu"),
            k.layers.BatchNormalization(),
            k.layers.MaxPooling2D(2),
            k.layers.Conv2D(6, 2, padding="same", use_bias=False),
            k.layers.Flatten(),
            k.layers.Dense(4),
        ]
    )


def lstm(k: Any) -> Any:
    return k.Sequential(
        [
            k.Input((7,), dtype="int32"),
            k.layers.Embedding(20, 6, mask_zero=True),
            k.layers.LSTM(8, return_sequences=True),
            k.layers.Bidirectional(k.layers.GRU(5)),
            k.layers.Dense(1, activation="sigmoid"),
        ]
    )


def transformer(k: Any) -> Any:
    x = inputs = k.Input((6, 8))
    attended = k.layers.MultiHeadAttention(2, 4)(x, x)
    x = k.layers.LayerNormalization()(k.layers.Add()([x, attended]))
    hidden = k.layers.Dense(16, activation="gelu")(x)
    x = k.layers.LayerNormalization()(x + k.layers.Dense(8)(hidden))
    x = k.layers.GlobalAveragePooling1D()(x)
    return k.Model(inputs, k.layers.Dense(4)(x))


def two_by_two(k: Any) -> Any:
    a, b = k.Input((5,), name="a"), k.Input((3,), name="b")
    shared = k.layers.Dense(4, activation="tanh")
    x = k.layers.Concatenate()([shared(k.layers.Dense(3)(a)), shared(b)])
    return k.Model(
        [a, b],
        [
            k.layers.Dense(1, name="value")(x),
            k.layers.Dense(3, activation="softmax", name="kind")(x),
        ],
    )


def data_for(name: str, n: int = 72) -> tuple[Any, Any]:
    """Inputs and targets, always the same."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 4, n)
    if name == "mlp":
        return rng.normal(size=(n, 12)).astype("float32"), labels
    if name == "convnet":
        return rng.normal(size=(n, 8, 8, 1)).astype("float32"), labels
    if name == "lstm":
        x = rng.integers(1, 20, (n, 7))
        x[np.arange(7) >= rng.integers(2, 8, n)[:, None]] = 0  # padded at the end
        return x.astype("int32"), (labels > 1).astype("float32")[:, None]
    if name == "transformer":
        return rng.normal(size=(n, 6, 8)).astype("float32"), labels
    a = rng.normal(size=(n, 5)).astype("float32")
    b = rng.normal(size=(n, 3)).astype("float32")
    value = a[:, :1] * b[:, :1]
    return [a, b], [value, np.eye(3, dtype="float32")[labels % 3]]
