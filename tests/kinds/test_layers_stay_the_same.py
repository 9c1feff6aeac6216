"""Layers that a model has only since it was used.

Layers are found by walking attributes, so that what the model remembers about its
layers, in an attribute of its own, would be layers of it: once predict() had looked at
the inputs, every layer inside was a layer of the model, and files had each twice.
"""

import numpy as np
import pytest

import carnyx as keras

X = np.ones((4, 3), np.float32)
IDS = np.ones((4, 3), np.int32)


def sequential():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])


def functional():
    inputs = keras.Input((3,))
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    return keras.Model(inputs, keras.layers.Dense(1)(inner(inputs)))


def of_ids():
    inputs = keras.Input((3,), dtype="int32")
    table = keras.layers.Embedding(5, 2)(inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(table)))


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = sequential()
        self.blocks = [keras.layers.Dense(3)]

    def call(self, x):
        return self.inner(self.blocks[0](x))


def listed(model):
    return [[layer.name for layer in m.layers] for m in model._flatten_layers()
            if isinstance(m, keras.Model)]  # fmt: skip


@pytest.mark.parametrize("make", [sequential, functional, of_ids, Own])
def test_a_model_that_was_used_has_the_layers_that_it_had(make):
    model, x = make(), IDS if make is of_ids else X
    model(x)
    before = listed(model)
    model.compile("sgd", "mse")
    for use in (
        lambda: model.predict(x, verbose=0),
        lambda: model.fit(x, X[:, :1], verbose=0),
        lambda: model.evaluate(x, X[:, :1], verbose=0),
        lambda: model.train_on_batch(x, X[:, :1]),
        lambda: model.get_config() if make is not Own else None,
        lambda: model.summary(print_fn=len),
    ):
        use()
        assert listed(model) == before
