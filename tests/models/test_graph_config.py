"""Graphs of layers as data: the same as Keras's, readable by Keras, and back."""

import copy
import functools
import json

import jax
import keras as oracle
import numpy as np
import pytest

import carnyx
from tests.models.graphs import GRAPHS, feed, filled

LIBRARIES = {"carnyx": carnyx, "keras": oracle}


# Keras keeps the mask as part of the graph; names the input of a part in its own way.
DIFFERENT = ("masked", "intermediate")


@functools.cache
def built(writer, name):
    LIBRARIES[writer].utils.clear_session()
    return filled(GRAPHS[name](LIBRARIES[writer]))


def same(one, two, x):
    """The outputs of two models, as NumPy arrays, are equal in structure and value."""
    one, two = (
        carnyx.tree.map_structure(np.asarray, model(copy.copy(x)))
        for model in (one, two)
    )
    assert jax.tree_util.tree_structure(one) == jax.tree_util.tree_structure(two)
    for a, b in zip(jax.tree_util.tree_leaves(one), jax.tree_util.tree_leaves(two)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def wiring(config):
    """What connects the layers, without what describes each."""
    if "input_layers" not in config:
        return [wiring(layer["config"]) for layer in config.get("layers", ())]
    keys = ("name", "class_name", "module", "inbound_nodes")
    layers = [
        {k: layer[k] for k in keys} | {"inside": wiring(layer["config"])}
        for layer in config["layers"]
    ]
    for layer in layers:
        for node in layer["inbound_nodes"]:  # Keras adds what it fills in itself
            for argument, filled_in in (("mask", None), ("training", False)):
                if node["kwargs"].get(argument, ...) is filled_in:
                    del node["kwargs"][argument]
    return layers, config["input_layers"], config["output_layers"]


@pytest.mark.parametrize("name", [n for n in GRAPHS if n not in DIFFERENT])
def test_the_graph_is_written_as_by_keras(name):
    ours, theirs = (json.loads(built(k, name).to_json())["config"] for k in LIBRARIES)
    assert wiring(ours) == wiring(theirs)


@pytest.mark.parametrize("name", GRAPHS)
def test_both_compute_the_same(name):
    ours, theirs = built("carnyx", name), built("keras", name)
    same(ours, theirs, feed(theirs))
    if name not in DIFFERENT:
        assert [x.name for x in ours.layers] == [x.name for x in theirs.layers]
    if hasattr(theirs, "output_names"):
        assert ours.output_names == theirs.output_names
    assert ours.input_shape == theirs.input_shape
    assert ours.output_shape == theirs.output_shape
    assert ours.count_params() == theirs.count_params()


@pytest.mark.parametrize("reader", LIBRARIES)
@pytest.mark.parametrize("writer", LIBRARIES)
@pytest.mark.parametrize("name", GRAPHS)
def test_json_opens(name, writer, reader):
    if writer == reader == "keras":
        pytest.skip("theirs alone")
    model = built(writer, name)
    again = LIBRARIES[reader].models.model_from_json(model.to_json())
    same(filled(again), model, feed(model))


def old_form(value):
    """A config of today with its calls as Keras 2 wrote them."""
    config = value["config"]
    nested = {x["name"] for x in config["layers"] if "layers" in x["config"]}

    def histories(argument):
        if isinstance(argument, list):
            return [h for part in argument for h in histories(part)]
        name, number, index = argument["config"]["keras_history"]
        return [[name, number + (name in nested), index, {}]]

    for layer in config["layers"]:
        if layer["name"] in nested and "input_layers" in layer["config"]:
            old_form(layer)
        calls = []
        for node in layer["inbound_nodes"]:
            call = histories(node["args"])
            kwargs = {k: v for k, v in node["kwargs"].items() if v is not None}
            for name, argument in kwargs.items():
                if isinstance(argument, list):
                    kwargs[name] = [h[:3] for h in histories(argument)]
                elif isinstance(argument, dict):
                    kwargs[name] = histories(argument)[0][:3]
            call[0][3] = kwargs
            calls.append(call)
        layer["inbound_nodes"] = calls
    if isinstance(config["output_layers"][0], str):
        outputs = config["output_layers"]
        inside = next(x for x in config["layers"] if x["name"] == outputs[0])["config"]
        outputs[1] += outputs[0] in nested and "input_layers" not in inside
    return value


@pytest.mark.parametrize(
    "name",
    "shared_layer at_two_depths nested_functional nested_sequential "
    "nested_two_outputs call_arguments states".split(),
)
def test_calls_as_keras_2_wrote_them(name):
    model = built("carnyx", name)
    old = old_form(json.loads(model.to_json()))
    assert all(
        isinstance(node, list)
        for layer in old["config"]["layers"]
        for node in layer["inbound_nodes"]
    )
    again = carnyx.models.model_from_json(json.dumps(old))
    same(filled(again), model, feed(model))


def test_layers_may_stand_in_any_order():
    config = built("carnyx", "at_two_depths").get_config()
    config["layers"] = config["layers"][::-1]
    again = carnyx.Model.from_config(config)
    assert [x.name for x in again.layers] == ["input_layer", "b", "a"]


@pytest.mark.parametrize("history", [["b", 5, 0], ["a", 0, 0], ["who", 0, 0]])
def test_a_graph_that_cannot_begin_is_refused(history):
    config = built("carnyx", "at_two_depths").get_config()
    b = next(x for x in config["layers"] if x["name"] == "b")
    b["inbound_nodes"][0]["args"][0]["config"]["keras_history"] = history
    with pytest.raises(carnyx.errors.GraphError, match="circle"):
        carnyx.Model.from_config(config)
