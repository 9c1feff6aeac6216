"""Kind: a model made anew from its config: by a file, `from_config` or a clone.

What a subclass adds to the making of a graph, or to `compile`, is its own. A graph is
given back to every constructor that takes one, with what else its config has; a
`compile` that takes other arguments than the saved ones is left to the user.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

import carnyx as keras

Dense: Any = keras.layers.Dense
Sequential: Any = keras.Sequential

X, Y = np.ones((4, 3), "float32"), np.ones((4, 2), "float32")


def with_param(config: dict[str, Any], model: Any) -> dict[str, Any]:
    return {**config, "param": model.param}


@keras.saving.register_keras_serializable("kinds")
class Anything(keras.Model):
    def __init__(self, *args: Any, param: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.param = param

    def get_config(self) -> dict[str, Any]:
        return with_param(super().get_config(), self)


@keras.saving.register_keras_serializable("kinds")
class Named(keras.Model):
    def __init__(
        self, inputs: Any, outputs: Any, name: str | None = None, param: int = 1
    ) -> None:
        super().__init__(inputs, outputs, name=name)
        self.param = param

    def get_config(self) -> dict[str, Any]:
        return with_param(super().get_config(), self)


@keras.saving.register_keras_serializable("kinds")
class MakesItself(keras.Model):
    def __init__(self, param: int = 1, name: str | None = None) -> None:
        x = keras.Input((3,))
        super().__init__(x, keras.layers.Dense(2)(x), name=name)
        self.param = param

    def get_config(self) -> dict[str, Any]:
        return {"param": self.param, "name": self.name}


def made(cls: Any) -> Any:
    if cls is MakesItself:
        return cls(param=3)
    x = keras.Input((3,))
    return cls(inputs=x, outputs=keras.layers.Dense(2)(x), param=3)


@pytest.mark.parametrize("cls", [Anything, Named, MakesItself])
@pytest.mark.parametrize("how", ["config", "file", "clone"])
def test_arguments_beside_the_graph(cls: Any, how: str, tmp_path: Any) -> None:
    model = made(cls)
    if how == "config":
        again = cls.from_config(model.get_config())
    elif how == "clone":
        again = keras.models.clone_model(model)
    else:
        model.save(tmp_path / "m.keras")
        again = keras.saving.load_model(tmp_path / "m.keras")
        np.testing.assert_allclose(again(X), model(X), rtol=1e-6)
    assert type(again) is cls
    assert again.param == 3


@keras.saving.register_keras_serializable("kinds")
class TwoOptimizers(keras.Model):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(2)

    def compile(self, first: Any, second: Any) -> None:
        super().compile(optimizer=first, loss="mse")
        self.second = second

    def call(self, x: Any) -> Any:
        return self.dense(x)


@keras.saving.register_keras_serializable("kinds")
class Wrapped(TwoOptimizers):
    def compile(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        keras.Model.compile(self, *args, **kwargs)


def test_a_compile_of_other_arguments_is_left_to_the_user(tmp_path: Any) -> None:
    model = TwoOptimizers()
    model.compile("sgd", "adam")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m.keras")
    with pytest.warns(UserWarning, match=r"is not compiled: TwoOptimizers.compile\(\)"):
        again = keras.saving.load_model(tmp_path / "m.keras")
    assert not again.compiled
    np.testing.assert_allclose(again(X), model(X), rtol=1e-6)


def test_a_compile_that_takes_what_was_saved_is_called(tmp_path: Any) -> None:
    model = Wrapped()
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m.keras")
    assert keras.saving.load_model(tmp_path / "m.keras").compiled


@pytest.mark.parametrize("form", [tuple, list])
def test_outputs_keep_their_container(form: Any) -> None:
    x = keras.Input((3,))
    model = keras.Model(x, form([keras.layers.Dense(1)(x), keras.layers.Dense(1)(x)]))
    again = keras.Model.from_config(model.get_config())
    assert type(again(X)) is type(model(X)) is form


def test_clones_refuse_inputs_of_another_structure() -> None:
    a, b = keras.Input((1,), name="a"), keras.Input((1,), name="b")
    model = keras.Model({"a": a, "b": b}, a - b)
    with pytest.raises(ValueError, match="are {'a': 'a', 'b': 'b'}. Give them in that"):
        keras.models.clone_model(model, input_tensors=[a, b])
    fresh = {"a": keras.Input((1,)), "b": keras.Input((1,))}
    twin = keras.models.clone_model(model, input_tensors=fresh)
    assert twin.input["b"] is fresh["b"]


@pytest.mark.parametrize("value_format", ["backend_tensor", "numpy_array"])
def test_the_state_as_a_tree(value_format: str) -> None:
    def build() -> Any:
        dense = Dense(2, name="d")
        model = Sequential([keras.Input((3,)), dense], name="s")
        model.compile(
            cast("Any", keras.optimizers.Adam)(name="adam"), "mse", metrics=["mae"]
        )
        return model

    model, twin = build(), build()
    model.fit(X, Y, verbose=0)
    tree = model.get_state_tree(value_format)
    assert list(tree["trainable_variables"]["s"]["d"]) == ["kernel", "bias"]
    assert "mean_absolute_error" in tree["metrics_variables"]
    twin.fit(X, Y, verbose=0)
    twin.set_state_tree(tree)
    assert twin.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    assert int(twin.optimizer.iterations) == 1
    with pytest.raises(ValueError, match="'s/d/kernl'.* Did you mean 's/d/kernel'"):
        twin.set_state_tree({"trainable_variables": {"s": {"d": {"kernl": 1}}}})
    with pytest.raises(ValueError, match="value_format='torch'"):
        twin.get_state_tree("torch")


def test_inputs_under_their_names_of_keras_2() -> None:
    assert keras.layers.InputLayer(batch_input_shape=(None, 3)).batch_shape == (None, 3)
    assert keras.Input(batch_input_shape=(2, 3)).shape == (2, 3)
    with pytest.warns(UserWarning, match="today it is shape="):
        made = keras.layers.InputLayer(input_shape=(3,), batch_size=4)
    assert made.batch_shape == (4, 3)
    with pytest.raises(TypeError, match="argument 'shap'. Did you mean 'shape'"):
        keras.Input(shap=(3,))


@pytest.mark.parametrize(
    "more",
    [
        lambda: [keras.Variable(1.0), keras.Variable(2.0)],
        lambda: {"a": keras.Variable(1.0), "b": [keras.Variable(2.0)]},
        lambda: (keras.Variable(1.0), {"c": keras.Variable(2.0)}),
    ],
    ids=["list", "dict", "nested"],
)
def test_a_metrics_state_in_containers(more: Any) -> None:
    class Counts(keras.metrics.Metric):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.more = more()
            self.start = self.add_variable((2,), initializer=np.array([3.0, 4.0]))

        def update_state(
            self, y_true: Any, y_pred: Any, sample_weight: Any = None
        ) -> None:
            for variable in self.variables:
                variable.assign_add(variable.value * 0 + 1)

        def result(self) -> Any:
            return sum(keras.ops.sum(v.value) for v in self.variables)

    metric = Counts(name="counts")
    assert len(metric.variables) == 3
    model = Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=[metric])
    for _ in range(2):  # the second epoch begins at the first values again
        logs = model.fit(X, Y, batch_size=2, verbose=0).history
        assert logs["counts"] == [1 + 2 + 3 + 4 + 4 * 2]


def test_a_layer_that_returns_a_dict_has_shapes_in_the_summary() -> None:
    class Head(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="head")
            self.dense = keras.layers.Dense(10)

        def call(self, x: Any) -> Any:
            return {"out": self.dense(x)}

        def compute_output_shape(self, input_shape: Any) -> Any:
            return {"out": self.dense.compute_output_shape(input_shape)}

    class Outer(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.head = Head()

        def call(self, x: Any) -> Any:
            return self.head(x)

    model = Outer()
    model(np.zeros((1, 16)))
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert "(1, 10)" in "".join(lines)


def test_a_notebook_shows_a_table_and_curves() -> None:
    pytest.importorskip("matplotlib").use("agg")
    model = Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    assert "dense" in model._repr_html_() and "<pre" in model._repr_html_()
    model.compile("sgd", "mse")
    picture = model.fit(X, Y, epochs=2, verbose=0)._repr_png_()
    assert picture is not None and picture.startswith(b"\x89PNG")
    assert keras.callbacks.History()._repr_png_() is None


def test_loss_scaling_by_the_name_of_keras_2() -> None:
    inner = cast("Any", keras.optimizers.SGD)(0.5)
    assert keras.optimizers.LossScaleOptimizer(inner, dynamic=True).inner_optimizer
    with pytest.raises(ValueError, match=r"dynamic=False.*loss_scale_factor"):
        keras.optimizers.LossScaleOptimizer(inner, dynamic=False)


class Tower(keras.Model):
    """Given its layers in containers, and no config of its own."""

    def __init__(self, blocks: Any, heads: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.blocks, self.heads = blocks, heads

    def call(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return self.heads["a"](x) + self.heads["b"][0](x)


def test_objects_in_containers_among_the_arguments(tmp_path: Any) -> None:
    dense = keras.layers.Dense
    model = Tower([dense(4, "relu"), dense(5)], {"a": dense(2), "b": [dense(2)]})
    x = np.ones((2, 3), "float32")
    expected = model(x)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras", {"Tower": Tower})
    np.testing.assert_allclose(again(x), expected, rtol=1e-6)
