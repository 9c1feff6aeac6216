"""`clone_model`: the same architecture, weights of its own, the clones asked for."""

import json

import numpy as np
import pytest

import carnyx as keras
from carnyx.models import clone_model
from tests.models.graphs import GRAPHS, feed, filled
from tests.models.test_graph_config import same, wiring


@pytest.mark.parametrize("name", GRAPHS)
def test_clones_compute_the_same_with_the_same_weights(name):
    model = filled(GRAPHS[name](keras))
    copy = clone_model(model)
    assert not {id(v) for v in copy.weights} & {id(v) for v in model.weights}
    copy.set_weights(model.get_weights())
    same(copy, model, feed(model))
    layers = json.loads(copy.to_json())["config"]
    assert wiring(layers) == wiring(json.loads(model.to_json())["config"])


def test_clone_function_stands_in_for_layers():
    model = GRAPHS["chain"](keras)

    def wider(layer):
        config = layer.get_config()
        if config.get("units") == 3:
            config["units"] = 7
        return type(layer).from_config(config)

    assert clone_model(model, clone_function=wider).layers[1].units == 7
    assert model.layers[1].units == 3


def test_clone_function_may_keep_the_layer():
    model = GRAPHS["chain"](keras)
    copy = clone_model(model, clone_function=lambda layer: layer)
    assert copy.weights[0] is model.weights[0]


def test_call_function_adds_to_each_call():
    model = GRAPHS["chain"](keras)

    def then_dropout(layer, *args, **kwargs):
        out = layer(*args, **kwargs)
        dense = isinstance(layer, keras.layers.Dense)
        return keras.layers.Dropout(0.5)(out) if dense else out

    copy = clone_model(model, call_function=then_dropout)
    kinds = [type(x).__name__ for x in copy.layers]
    assert kinds == ["InputLayer", "Dense", "Dropout", "Dense", "Dropout"]


@pytest.mark.parametrize("name", ["sequential_of_models", "nested_functional"])
def test_recursive_clones_see_the_layers_inside(name):
    def seen(recursive):
        names = []

        def clone(layer):
            names.append(layer.name)
            return type(layer).from_config(layer.get_config())

        model = filled(GRAPHS[name](keras))
        copy = clone_model(model, clone_function=clone, recursive=recursive)
        copy.set_weights(model.get_weights())
        same(copy, model, feed(model))
        return names

    assert "inner" in seen(False) and "d" not in seen(False)
    assert "d" in seen(True) and "inner" not in seen(True)


@pytest.mark.parametrize("name", ["chain", "sequential"])
def test_input_tensors(name):
    inputs = keras.Input((4,), batch_size=3, name="mine")
    copy = clone_model(GRAPHS[name](keras), input_tensors=inputs)
    assert copy.output_shape == (3, 2)
    with pytest.raises(keras.errors.GraphError, match="symbolic"):
        clone_model(GRAPHS[name](keras), input_tensors=np.zeros((3, 4)))


def test_compiled_models_give_compiled_clones():
    model = GRAPHS["sequential"](keras)
    model.compile(keras.optimizers.SGD(0.3), "mae")
    copy = clone_model(model)
    assert copy.compiled and copy.optimizer is not model.optimizer
    assert float(copy.optimizer.learning_rate) == pytest.approx(0.3)


class Net(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.dense = keras.layers.Dense(units)

    def call(self, x):
        return self.dense(x)


def test_subclasses_are_made_from_their_config():
    model = Net(3)
    model(np.zeros((1, 2), "float32"))
    assert clone_model(model).dense.units == 3
    with pytest.raises(keras.errors.ArgumentError, match="Net"):
        clone_model(model, clone_function=lambda layer: layer)


def test_call_function_is_refused_for_sequential():
    with pytest.raises(keras.errors.ArgumentError, match="functional"):
        clone_model(GRAPHS["sequential"](keras), call_function=print)
