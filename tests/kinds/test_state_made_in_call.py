"""Kind: state that is made where it cannot stay.

A layer or weight made in `call` was another one at every call, with fresh random
values, without a word; a model of that kind seemed to train. What is made once, because
it is not there yet, is allowed (Keras refuses that, too).
"""

import numpy as np
import pytest

import carnyx as keras

X = np.ones((2, 3), "float32")
Layer = keras.layers.Layer
HOW = {
    "a layer": lambda self: keras.layers.Dense(3),
    "a weight": lambda self: self.add_weight((3,)),
    "a variable": lambda self: keras.Variable(np.ones(3, "float32")),
    "a seed generator": lambda self: keras.random.SeedGenerator(1),
}


def _use(x, made):
    if isinstance(made, keras.random.SeedGenerator):
        return x
    return made(x) if isinstance(made, Layer) else x * made


def _layer(how, base=Layer, once=False, build=False):
    class Makes(base):
        made = None

        def call(self, x):
            if not once or self.made is None:
                self.made = HOW[how](self)
            return _use(x, self.made)

    if build:
        Makes.build = lambda self, input_shape: None

        class Built(Makes):
            def build(self, input_shape):
                self.first = self.add_weight((3,))

        return Built()
    return Makes()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("build", [False, True])
def test_made_at_every_call_is_refused(how, build):
    layer = _layer(how, build=build)
    with pytest.raises(ValueError, match=r"in call\(\), after its first call"):
        for _ in range(2):
            layer(X)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("eager", [False, True])
def test_in_fit_too(how, eager):
    model = keras.Sequential([_layer(how), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=eager)
    with pytest.raises(ValueError, match=r"in call\(\), after its first call"):
        model.fit(X, X[:, :1], verbose=0)


@pytest.mark.parametrize("how", HOW)
def test_made_once_is_kept(how):
    layer = _layer(how, once=True)
    layer(X)
    first = layer.made
    np.testing.assert_array_equal(layer(X), layer(X))
    assert layer.made is first
    model = _layer(how, keras.Model, once=True)
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)
    model.fit(X, X, verbose=0)


def test_what_is_owned_may_be_named_anew_and_what_is_set_outside_is_fine():
    class Names(Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, x):
            self.last = self.dense
            return self.last(x)

    layer = Names()
    for _ in range(2):
        layer(X)
    layer.more = keras.layers.Dense(2)
    assert layer.more in layer._children()
