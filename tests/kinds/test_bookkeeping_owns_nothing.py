"""What training notes about a model in the model is no part of it.

Layers are found by walking attributes, lists and tuples in them. Why it happened:
`predict` kept the list of layers for which it knew something in a tuple, so that a
model was one of its own layers afterwards, and its files had layers twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import carnyx as keras

layers = keras.layers
X = np.array([[1, 2], [0, 3], [2, 2], [1, 0]], "int32")
Y = np.ones((4, 1), "float32")


class Own(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.flat = layers.Embedding(4, 3), layers.Flatten()
        self.head = layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.head(self.flat(self.words(x)))


def functional() -> Any:
    own, inputs = Own(), keras.Input((2,), dtype="int32")
    return keras.Model(inputs, own.head(own.flat(own.words(inputs))))


def sequential() -> Any:
    own = Own()
    start = keras.Input((2,), dtype="int32")
    return keras.Sequential([start, own.words, own.flat, own.head])


USES: dict[str, Callable[[Any], Any]] = {
    "fit": lambda m: m.fit(X, Y, verbose=0),
    "evaluate": lambda m: m.evaluate(X, Y, verbose=0),
    "predict": lambda m: m.predict(X, verbose=0),
    "train_on_batch": lambda m: m.train_on_batch(X, Y),
    "test_on_batch": lambda m: m.test_on_batch(X, Y),
    "predict_on_batch": lambda m: m.predict_on_batch(X),
    "profile": lambda m: m.profile((X, Y), steps=1, print_fn=lambda text: None),
    "summary": lambda m: m.summary(print_fn=lambda *_, **__: None),
    "placement": lambda m: m.placement(),
}


@pytest.mark.parametrize("make", [Own, functional, sequential])
def test_whatever_is_done_with_a_model_its_parts_stay(make: Any) -> None:
    model = make()
    model.compile("sgd", "mse", metrics=["mae"])
    model.train_on_batch(X, Y)

    def parts() -> list[list[Any]]:
        return [model.layers, model._flatten_layers(), model.variables, model.metrics]

    before = parts()
    for name, use in USES.items():
        use(model)
        same = [list(map(id, row)) for row in parts()]
        assert same == [list(map(id, row)) for row in before], name
