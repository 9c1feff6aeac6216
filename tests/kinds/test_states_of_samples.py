"""Kind: layers with a state of every sample, in a model that data build.

Why it happened: models are built on symbols whose batch size is unknown, so a stateful
layer could be had only behind an `Input` that says it; a call with an array failed, and
so did `fit`. The batch size of the data is theirs; and the states that a trace made
were left behind in it.
"""

import numpy as np
import pytest

import carnyx as keras

L = keras.layers
X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
TWICE, Y = np.concatenate([X, X]), np.ones((4, 1))


class Own(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.inner, self.head = layer, L.Dense(1)

    def call(self, x):
        return self.head(self.inner(x))


MODELS = {
    "sequential": lambda layer: keras.Sequential([layer, L.Dense(1)]),
    "nested": lambda layer: keras.Sequential([keras.Sequential([layer]), L.Dense(1)]),
    "subclass": Own,
}
FIRST = {
    "call": lambda m: m(X),
    "fit": lambda m: m.fit(TWICE, Y, batch_size=2, verbose=0),
    "evaluate": lambda m: m.evaluate(TWICE, Y, batch_size=2, verbose=0),
    "predict": lambda m: m.predict(TWICE, batch_size=2, verbose=0),
    "train_on_batch": lambda m: m.train_on_batch(X, Y[:2]),
    "predict_on_batch": lambda m: m.predict_on_batch(X),
}


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("make", MODELS)
def test_data_say_how_many_there_are(make, first):
    layer = L.SimpleRNN(2, stateful=True)
    model = MODELS[make](layer)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    FIRST[first](model)
    assert layer.states[0].shape == (2, 2)
    layer.reset_state()
    once = L.SimpleRNN(2)
    once.build(X.shape)
    once.set_weights(layer.get_weights()[:3])
    whole = once(np.concatenate([X, X], axis=1))
    model.predict(TWICE, batch_size=2, verbose=0)  # the second batch goes on
    np.testing.assert_allclose(layer.states[0], whole, rtol=1e-5)
