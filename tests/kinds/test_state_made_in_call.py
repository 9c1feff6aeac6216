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


KEPT = {
    "in an attribute": lambda self, made: setattr(self, "made", made),
    "in a list": lambda self, made: self.many.append(made),
    "in a dict": lambda self, made: self.named.update({str(len(self.named)): made}),
}


def _use(x, made):
    if isinstance(made, keras.random.SeedGenerator):
        return x
    return made(x) if isinstance(made, Layer) else x * made


def _layer(how, base=Layer, once=False, build=False, kept="in an attribute"):
    class Makes(base):
        made = None

        def __init__(self):
            super().__init__()
            self.many, self.named = [], {}

        def call(self, x):
            if once and self.made is not None:
                return _use(x, self.made)
            made = HOW[how](self)
            KEPT[kept](self, made)
            return _use(x, made)

    if build:
        Makes.build = lambda self, input_shape: None

        class Built(Makes):
            def build(self, input_shape):
                self.first = self.add_weight((3,))

        return Built()
    return Makes()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kept", KEPT)
def test_made_at_every_call_is_refused(how, kept):
    layer = _layer(how, kept=kept)
    with pytest.raises(ValueError, match=r"in call\(\), after its first call"):
        for _ in range(2):
            layer(X)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("once", [False, True])
def test_a_layer_that_has_a_build_makes_its_state_there(how, once):
    layer = _layer(how, build=True, once=once)
    with pytest.raises(ValueError, match=r"in call\(\); its class has a build"):
        layer(X)
    model = keras.Sequential([_layer(how, build=True, once=once)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"in call\(\); its class has a build"):
        model.fit(X, X, verbose=0)


class _Around(keras.Model):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.out = inner, keras.layers.Dense(1)

    def call(self, x):
        return self.out(self.inner(x))


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("eager", [False, True])
def test_in_fit_of_a_model_of_ones_own(kept, eager):
    model = _Around(_layer("a layer", kept=kept))
    model.compile("sgd", "mse", run_eagerly=eager)
    with pytest.raises(ValueError, match=r"in call\(\), after its first call"):
        model.fit(X, X[:, :1], verbose=0)


class _Passing(Layer):
    def call(self, x):
        return keras.layers.Dropout(0.5)(x, training=True)


@pytest.mark.filterwarnings("ignore:.* is no part of it")
@pytest.mark.parametrize("eager", [False, True])
def test_what_is_not_kept_is_no_input_of_the_step(eager):
    """Every trace made another one, and waited for it to be known."""
    model = _Around(_Passing())
    model.compile("sgd", "mse", run_eagerly=eager)
    for _ in range(2):
        model.fit(X, X[:, :1], verbose=0)
        model.fit(X[:1], X[:1, :1], verbose=0)
    before = model.train_program().compilations() if not eager else 0
    model.fit(X, X[:, :1], verbose=0)
    assert eager or model.train_program().compilations() == before


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
