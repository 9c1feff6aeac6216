"""What a layer is called with.

The kind: `call` was read three times over, each place with its own idea of what the
arguments are, so that what worked eagerly failed in a graph, or with `*args`. The
arguments are bound once now; here every layer is called in each way that Keras knows.
"""

import inspect

import keras
import numpy as np
import pytest

import carnyx
from carnyx import layers
from tests.layers.test_contract import CASES, OURS, leaves, symbols

X = np.ones((2, 3), "float32")
by_name = {case.name: i for i, case in reversed(list(enumerate(CASES)))}
one_of_each = pytest.mark.parametrize("index", by_name.values(), ids=by_name)


@one_of_each
def test_training_may_be_said_in_a_graph(index):
    """Also where `call` does not take it, as eagerly; a file keeps it."""
    case = CASES[index]
    inputs = symbols(OURS, case)
    layer = case.make(OURS)
    plain = leaves(layer(inputs))
    said = leaves(layer(inputs, training=False))
    assert [t.shape for t in plain] == [t.shape for t in said]
    model = carnyx.Model(inputs, layer(inputs, training=False))
    assert model._graph.nodes[-1].kwargs == {"training": False}


@pytest.mark.parametrize("name", sorted(by_name))
def test_masks_are_named_as_in_keras(name):
    ours, theirs = (
        list(inspect.signature(getattr(k.layers, name).compute_mask).parameters)[2:]
        for k in (carnyx, keras)
    )
    assert ours == theirs


def variadic(library, **attributes):
    class Sum(library.layers.Layer):
        def call(self, *xs, scale=1):
            return (xs[0] + xs[1]) * scale

    class Named(library.layers.Layer):
        def build(self, input_shape):
            self.seen = input_shape

        def call(self, **features):
            return features["a"] + features["b"]

    return Sum(), Named()


def test_calls_without_named_parameters():
    for library in (keras, carnyx):
        total, named = variadic(library)
        np.testing.assert_array_equal(total(X, X, scale=2), 4 * X)
        assert total(library.Input((3,)), library.Input((3,))).shape == (None, 3)
        np.testing.assert_array_equal(named(a=X, b=X), 2 * X)
        assert dict(named.seen) == {"a": (2, 3), "b": (2, 3)}
        assert named(a=library.Input((3,)), b=library.Input((3,))).shape == (None, 3)


def test_a_positional_mask_is_the_mask():
    mask = np.array([[True, True, False]] * 2)
    steps = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    layer = layers.LSTM(2)
    by_place = layer(layers.Masking()(steps), None, mask)
    np.testing.assert_array_equal(by_place, layer(steps, mask=mask))


class TwoShapes(layers.Layer):
    def build(self, x_shape, attention_mask_shape=None):
        self.seen = x_shape, attention_mask_shape

    def call(self, x, attention_mask=None):
        return x


def test_build_gets_the_shapes_that_it_names():
    layer = TwoShapes()
    layer(X, attention_mask=np.ones((2, 5)))
    assert layer.seen == ((2, 3), (2, 5))

    class Unmatched(layers.Layer):
        def build(self, x_shape, z_shape):
            pass

        def call(self, x, y):
            return x

    class Unnamed(Unmatched):
        def build(self, x_shape, other):
            pass

    with pytest.raises(ValueError, match="'z_shape'.*named after.*x_shape, y_shape"):
        Unmatched()(X, X)
    with pytest.raises(ValueError, match="build.. has a parameter 'other'"):
        Unnamed()(X, X)


WRONG_CALLS = [
    (lambda d: d(X, foo=1), TypeError, r"unknown argument 'foo' in a call.*inputs"),
    (lambda d: d(X, X, X), TypeError, r"takes 1 arguments \(inputs\) but got 3"),
    (lambda d: d(), TypeError, "called without 'inputs'"),
    (lambda d: d(X, inputs=X), TypeError, "got 'inputs' twice"),
    (lambda d: d([[1.0, 2.0]]), ValueError, r"a list of float.*np.array\(inputs\)"),
    (lambda d: d(1.0), ValueError, "got float .1.0. as its input; expected an array"),
    (lambda d: d("text"), ValueError, "got str .text. as its input"),
    (lambda d: d([X, 2.0]), ValueError, "with tensors and 2.0 in it"),
    (lambda d: d(None), ValueError, "got None as its input; expected a tensor"),
]


@pytest.mark.parametrize("call, kind, message", WRONG_CALLS)
def test_what_is_no_tensor_is_refused_with_the_layers_path(call, kind, message):
    with pytest.raises(kind, match="'head' .*" + message):
        call(layers.Dense(2, name="head"))


def test_what_turns_into_an_array_is_taken():
    class Table:
        def __array__(self, dtype=None, copy=None):
            return X.astype("float64")

    assert layers.Dense(2)(Table()).shape == (2, 2)
    assert layers.Dense(2)(X + 1j).dtype == keras.layers.Dense(2)(X + 1j).dtype


class Nothing(layers.Layer):
    def call(self, x):
        self.seen = x


def test_a_call_that_returns_nothing():
    message = r"Nothing '.*': call\(\) returned None; end it with `return outputs`"
    with pytest.raises(ValueError, match=message):
        Nothing()(carnyx.Input((3,)))
    with pytest.raises(ValueError, match=message):
        carnyx.Sequential([Nothing(), layers.Dense(2)])(X)


RECURRENT = ["SimpleRNN", "LSTM", "GRU"]
BEFORE = r" '.*' before it gives its last step only; make it with return_sequences=True"


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrent_layer_without_steps_is_told_of_the_one_before(name):
    make = getattr(layers, name)
    inputs = carnyx.Input((5, 3))
    with pytest.raises(ValueError, match=f"{name}{BEFORE}"):
        make(2)(layers.Dropout(0.1)(make(2)(inputs)))
    with pytest.raises(ValueError, match=f"Bidirectional{BEFORE}"):
        carnyx.Sequential([layers.Bidirectional(make(2)), make(2)])(np.ones((1, 5, 3)))
    with pytest.raises(ValueError, match="takes steps, .batch, time, …") as error:
        make(2)(X)
    assert "batch axis" not in str(error.value)


def test_the_axis_that_is_missing():
    images = np.ones((2, 28, 28))
    with pytest.raises(ValueError, match=r"axis of channels missing.*x\[..., None\]"):
        layers.Conv2D(2, 3)(carnyx.Input((28, 28)))
    with pytest.raises(ValueError, match=r"batch axis missing.*axis of channels"):
        layers.Conv2D(2, 3)(images)
    with pytest.raises(ValueError) as error:
        layers.Dense(2)(carnyx.Input(()))
    assert "batch axis" not in str(error.value)


MERGING = ["Add", "Subtract", "Average", "Multiply", "Maximum", "Minimum"]


@pytest.mark.parametrize("name", [*MERGING, "Concatenate"])
@pytest.mark.parametrize(
    "inputs, mask", [([X, X], [None]), ([X, X], 3), (X, [None]), (3, [None])]
)
def test_a_merging_layer_takes_a_mask_for_each_input(name, inputs, mask):
    with pytest.raises(ValueError, match="a mask or None for each input"):
        getattr(layers, name)().compute_mask(inputs, mask=mask)


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
def test_attention_takes_a_list_of_masks(name):
    layer = getattr(layers, name)()
    mask = np.array([[True, False]])
    assert layer.compute_mask([X, X], mask=[mask, None]) is mask
    with pytest.raises(ValueError, match="3 as mask; expected a list"):
        layer.compute_mask([X, X], mask=3)
    with pytest.raises(ValueError, match="expected a list .query, value."):
        layer.compute_mask(X, mask=[mask, None])


def test_names_are_text():
    with pytest.raises(ValueError, match="name=12; expected text"):
        layers.Dense(2, name=12)


def test_methods_of_layers_that_keras_has():
    class Counts(layers.Layer):
        def __init__(self):
            super().__init__()
            self.mean = carnyx.metrics.Mean(name="inner")
            self.gain = self.add_variable((2,), "ones", trainable=False, name="gain")

        def call(self, x):
            self.mean.update_state(x)
            return x

    layer = Counts()
    assert [m.name for m in layer.metrics] == ["inner"]
    assert len(layer.metrics_variables) == 2
    assert layer.gain.shape == (2,) and not layer.gain.trainable
    assert carnyx.KerasTensor((2, 1)).squeeze().shape == (2,)
    assert carnyx.KerasTensor((2, 1, 1)).squeeze(2).shape == (2, 1)
