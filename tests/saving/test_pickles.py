"""Models through `pickle` and `copy.deepcopy`."""

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import carnyx as keras

layers: Any = keras.layers
X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(12, 2)).astype("float32")
WAYS: dict[str, Any] = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),  # noqa: S301
    "deepcopy": copy.deepcopy,
}


def triple(x):
    return 3 * x


def distance(y, out):
    return keras.ops.mean(keras.ops.abs(y - out))


class Ones(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return keras.ops.ones(shape, dtype)


class Gain(layers.Layer):
    """Of the name of no other layer, and not registered."""

    def build(self, shape):
        self.gain = self.add_weight(shape=shape[-1:], initializer=Ones())

    def call(self, x):
        return x * self.gain


class Two(keras.Model):
    def __init__(self, inner, units=2, **kwargs):
        super().__init__(**kwargs)
        self.inner, self.units = inner, units
        self.out = layers.Dense(units, activation=triple)

    def call(self, x):
        return self.out(self.inner(x))


def stack() -> Any:
    return keras.Sequential([keras.Input((4,)), Gain(), layers.Dense(2, lambda x: -x)])


def graph() -> Any:
    inputs = keras.Input((4,))
    x = layers.BatchNormalization()(layers.Dense(3, triple)(inputs))
    x = layers.Lambda(lambda x, by: x * by, arguments={"by": 2})(layers.Dropout(0.2)(x))
    return keras.Model(inputs, layers.Dense(2)(keras.ops.relu(x)))


def written() -> Any:
    model: Any = Two(stack())
    model(X)
    return model


MODELS = [stack, graph, written]


def compiled(model):
    adam = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 50))
    model.compile(adam, loss=distance, metrics=["mae", distance])
    return model


def check_same(got, expected):
    assert type(got).__name__ == type(expected).__name__
    pairs = zip(got.get_weights(), expected.get_weights(), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)
    for one in got.weights:
        assert all(one is not other for other in expected.weights)
    np.testing.assert_array_equal(
        got.predict(X, verbose=0), expected.predict(X, verbose=0)
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", MODELS)
def test_a_copy_goes_on_as_the_model_does(make, way):
    model = compiled(make())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_same(WAYS[way](model), model)  # not trained yet
        model.fit(X, Y, batch_size=4, epochs=2, verbose=0)
        model.predict(X, verbose=0)
        before = model.get_weights()
        twin = WAYS[way](model)
    check_same(twin, model)
    logs = twin.fit(X, Y, batch_size=4, shuffle=False, verbose=0).history
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.fit(X, Y, batch_size=4, shuffle=False, verbose=0).history == logs
    assert int(twin.optimizer.iterations) == int(model.optimizer.iterations) == 9
    check_same(twin, model)


def rate():
    return 0.05


@pytest.mark.parametrize("way", WAYS)
def test_options_of_compile_given_as_functions(way):
    model = stack()
    model.compile(keras.optimizers.SGD(rate), lambda y, out: distance(y, out))
    model.fit(X, Y, verbose=0)
    twin = WAYS[way](model)
    model.reset_metrics()
    assert twin.train_on_batch(X, Y) == model.train_on_batch(X, Y)


@pytest.mark.parametrize("way", WAYS)
def test_models_that_are_not_built(way):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models: list[Any] = [keras.Sequential([layers.Dense(2)])]
        for model in [*models, Two(layers.Dense(3), 5)]:
            twin = WAYS[way](model)
            assert not twin.built
            assert twin(X).shape == model(X).shape


def test_names_of_ones_own_do_not_hide_those_of_the_library():
    def relu(x):
        return x - 100

    class Dense(layers.Dense):
        def call(self, x):
            return super().call(x) + 1

    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, "relu"), Dense(3, relu), layers.Dense(2)]
    )
    check_same(copy.deepcopy(model), model)


def test_models_in_structures_and_inside_each_other():
    first = graph()
    held = {"first": first, "again": first, "around": Two(first)}
    for way in WAYS.values():
        twins = way(held)
        assert twins["first"] is twins["again"]
        check_same(twins["first"], first)


def test_copies_take_what_files_do_not(tmp_path):
    model = stack()
    model.save(tmp_path / "model.keras")
    with pytest.raises(keras.errors.UnknownNameError, match="Gain"):
        keras.models.load_model(tmp_path / "model.keras")
    check_same(copy.deepcopy(model), model)


def test_what_no_config_can_hold_is_named():
    with pytest.raises(keras.errors.ArgumentError, match="no get_config"):
        copy.deepcopy(Holding(object()))


class Holding(keras.Model):
    def __init__(self, what):
        super().__init__()
        self.what = what


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scope", [None, "cpu:0"])
def test_a_layer_of_a_trained_model(scope, way):
    inputs = keras.Input((4,))
    with keras.device(scope):
        hidden = layers.Dense(3)(inputs)
    model = compiled(keras.Model(inputs, layers.Dense(2)(hidden)))
    model.fit(X, Y, verbose=0)
    model.predict(X, verbose=0)
    layer = model.layers[1]
    twin = WAYS[way](layer)
    np.testing.assert_array_equal(twin(X), layer(X))
    twin.kernel.assign(twin.kernel * 0)
    assert np.abs(layer.kernel.numpy()).min() > 0
    model.fit(X, Y, verbose=0)
    again = compiled(keras.Sequential([keras.Input((4,)), twin, layers.Dense(2)]))
    again.fit(X, Y, verbose=0)


@pytest.mark.parametrize("way", WAYS)
def test_variables_and_metrics(way):
    mean = keras.metrics.Mean()
    mean.update_state([1.0, 4.0])
    half = keras.Variable([1.0, 3.0], dtype="bfloat16", name="half")
    twins = WAYS[way]([mean, half, half])
    assert float(twins[0].result()) == 2.5
    assert twins[1] is twins[2]
    assert (twins[1].dtype, twins[1].path) == ("bfloat16", "half")
    half.assign([0.0, 0.0])
    assert twins[1].numpy().tolist() == [1.0, 3.0]
    with keras.abstract():
        paper = WAYS[way](keras.Variable(keras.initializers.Ones(), (2,)))
    paper.materialize()
    assert paper.numpy().tolist() == [1.0, 1.0]


@pytest.mark.parametrize("way", WAYS)
def test_an_optimizer_with_its_variables(way):
    first, second = keras.Variable([1.0, 2.0]), keras.Variable([3.0])
    adam = keras.optimizers.AdamW(0.1, use_ema=True, gradient_accumulation_steps=2)
    adam.exclude_from_weight_decay([second])
    for optimizer in (adam, keras.optimizers.LossScaleOptimizer("sgd")):
        optimizer.apply([np.ones(2), np.ones(1)], [first, second])
        twin, (one, two) = WAYS[way]((optimizer, [first, second]))
        for _ in range(3):
            optimizer.apply([np.ones(2), np.ones(1)], [first, second])
        assert one.numpy().tolist() != first.numpy().tolist()
        for _ in range(3):
            twin.apply([np.ones(2), np.ones(1)], [one, two])
        pairs = zip(
            [one, two, *twin.variables],
            [first, second, *optimizer.variables],
            strict=True,
        )
        for got, expected in pairs:
            np.testing.assert_array_equal(got.numpy(), expected.numpy())
