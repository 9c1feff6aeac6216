"""Kind: a Sequential that has no graph.

Its first tensor alone was looked at, so a list, tuple or dict of inputs failed, and so
did a layer that does not say what comes out of it. Without a graph the layers are
called one after another; what only a graph has is no attribute then, for `hasattr`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import carnyx as keras

Dense: Any = keras.layers.Dense
Sequential: Any = keras.Sequential

A, B = np.ones((4, 2), "float32"), np.full((4, 2), 2.0, "float32")
Y = np.ones((4, 1), "float32")


class Sum(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return sum(x[key] for key in ("a", "b")) if isinstance(x, dict) else x[0] + x[1]


FORMS = {
    "list": lambda a, b: [a, b],
    "tuple": lambda a, b: (a, b),
    "dict": lambda a, b: {"a": a, "b": b},
}


def stack() -> Any:
    dense = Dense(1, kernel_initializer="ones")
    return Sequential([Sum(), dense])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", ["call", "predict", "fit", "build"])
def test_any_structure(form: str, how: str) -> None:
    model, x = stack(), FORMS[form](A, B)
    model.compile("sgd", "mse")
    if how == "fit":
        assert model.fit(x, Y, verbose=0).history["loss"] == [25.0]
        assert model.predict(x, verbose=0).shape == (4, 1)
    elif how == "build":
        model.build(FORMS[form]((None, 2), (None, 2)))
        assert model.count_params() == 3
    else:
        found = model(x) if how == "call" else model.predict(x, verbose=0)
        np.testing.assert_allclose(found, np.full((4, 1), 6.0))
    assert model.built
    assert not hasattr(model, "inputs")


@pytest.mark.parametrize("form", FORMS)
def test_it_is_saved(form: str, tmp_path: Any) -> None:
    model, x = stack(), FORMS[form](A, B)
    model.layers[1].kernel_initializer = "glorot_uniform"
    model(x)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", custom_objects={"Sum": Sum})
    np.testing.assert_allclose(loaded(x), model(x), rtol=1e-6)


class Untold(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return 2 * x

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("first", [[], [keras.Input((2,))]], ids=["", "input"])
def test_a_layer_that_does_not_say_what_comes_out(first: list[Any]) -> None:
    dense = Dense(1, kernel_initializer="ones")
    model = Sequential([*first, Untold(), dense])
    model.compile("sgd", "mse")
    np.testing.assert_allclose(model.predict(A, verbose=0), np.full((4, 1), 4.0))
    assert model.fit(A, Y, verbose=0).history["loss"] == [9.0]


class Twice(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return [x, x]


def test_several_tensors_between_layers() -> None:
    layers = [keras.Input((2,)), Twice(), keras.layers.Add()]
    np.testing.assert_allclose(keras.Sequential(layers)(A), 2 * A)
    assert [t.shape for t in keras.Sequential(layers[:2])(A)] == [(4, 2), (4, 2)]


GRAPH = "input inputs input_shape output outputs output_shape".split()


@pytest.mark.parametrize("name", GRAPH)
def test_what_only_a_graph_has_is_no_attribute_before(name: str) -> None:
    model: Any = Sequential([keras.layers.Dense(1)])
    assert not hasattr(model, name)
    assert getattr(model, name, None) is None
    for error in (AttributeError, ValueError):
        with pytest.raises(error, match="is not built, so it has no inputs"):
            getattr(model, name)
    model.build((None, 2))
    assert hasattr(model, name)


def test_it_is_not_built_for_another_shape() -> None:
    model = Sequential([keras.Input((2,), batch_size=3), Dense(2)])
    model.build((3, 2))
    model.build((None, 2))
    with pytest.raises(ValueError, match=r"takes inputs of shape \(3, 2\)"):
        model.build((3, 4))


def test_a_stack_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="has no layers"):
        Sequential()(A)


def test_a_layer_that_needs_more_than_one_argument_is_refused():
    class TwoArguments(keras.layers.Layer):
        def call(self, inputs, training):
            return inputs

    model = keras.Sequential([TwoArguments(name="two")])
    with pytest.raises(
        ValueError, match="'two' cannot stand .* needs training as well"
    ):
        model.build((None, 2))
