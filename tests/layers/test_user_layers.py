"""Layers as users write them, for Keras 3 and for Keras 2.1: they work unchanged."""

from __future__ import annotations

import traceback
from typing import Any

import numpy as np
import pytest

import carnyx as keras
from carnyx import layers, ops

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


class Keras3Style(layers.Layer):
    def __init__(self, units=2, activation="relu", **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="ones", name="kernel"
        )
        self.seen = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="seen"
        )

    def call(self, inputs, training=False):
        if training:
            self.seen.assign_add(1)
        return self.activation(ops.matmul(inputs, self.kernel))

    def get_config(self):
        config = super().get_config()
        config.update({"units": self.units})
        return config


class Keras2Style(layers.Layer):
    """The layer of the Keras 2.1 documentation."""

    def __init__(self, output_dim, **kwargs):
        self.output_dim = output_dim
        super().__init__(**kwargs)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[1], self.output_dim),
            initializer="random_uniform",
            trainable=True,
        )
        super().build(input_shape)

    def call(self, x):
        return ops.dot(x, self.kernel)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.output_dim)


class Unwritten(layers.Layer):
    """Neither build nor get_config: both come from the base."""

    def __init__(self, units, scale=2.0, inner=None, **kwargs):
        super().__init__(**kwargs)
        self._hidden = units
        self.scale = scale
        self.blocks = [layers.Dense(units), layers.Dense(units)]
        self.named = {"last": layers.Dense(1), "inner": inner}

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        if self.named["inner"] is not None:
            x = self.named["inner"](x)
        return self.named["last"](x) * self.scale


def test_keras_3_style() -> None:
    layer = Keras3Style(2)
    np.testing.assert_allclose(
        layer(X), np.maximum(X.sum(1, keepdims=True), 0) + [0, 0], 1e-5
    )
    layer(X, training=True)
    assert float(layer.seen.value) == 1.0
    assert [v.path.split("/")[-1] for v in layer.weights] == ["kernel", "seen"]
    assert len(layer.trainable_weights) == 1 and layer.count_params() == 7
    again = Keras3Style.from_config(layer.get_config())
    assert again.units == 2 and again.name == layer.name


def test_keras_2_style() -> None:
    layer = Keras2Style(5)
    symbol = layer(keras.Input((3,)))
    assert symbol.shape == (None, 5) and layer.built
    model = keras.Sequential([keras.Input((3,)), layer, layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, np.ones((4, 1)), verbose=0)
    positional = layers.Layer()
    weight = positional.add_weight("w", (2,), None, "ones")
    assert weight.shape == (2,) and float(weight.value.sum()) == 2.0


def test_layers_in_lists_and_dicts_are_found_and_configs_written() -> None:
    layer = Unwritten(3, inner=layers.Dense(4, name="given"))
    layer(X)
    assert len(layer.weights) == 8
    config = layer.get_config()
    assert config["units"] == 3 and config["scale"] == 2.0
    assert config["inner"]["class_name"] == "Dense"
    again = Unwritten.from_config(config)
    assert again.named["inner"].units == 4
    layer.trainable = False
    assert layer.trainable_weights == [] and not layer.blocks[1].trainable
    layer.trainable = True
    assert len(layer.trainable_weights) == 8


def test_a_subclass_of_a_library_layer_needs_no_config() -> None:
    class Scaled(layers.Dense):
        def __init__(self, units, factor=1.0, **kwargs):
            super().__init__(units, **kwargs)
            self.factor = factor

        def call(self, x):
            return super().call(x) * self.factor

    layer = Scaled(2, factor=3.0, activation="tanh", use_bias=False)
    again = Scaled.from_config(layer.get_config())
    assert (again.factor, again.use_bias, again.units) == (3.0, False, 2)
    assert again.activation is keras.activations.tanh


def test_masks_and_training_reach_the_layers_that_ask() -> None:
    seen = {}

    class Looks(layers.Layer):
        supports_masking = True

        def call(self, x, mask=None, training=None):
            seen["mask"], seen["training"] = mask, training
            return x

    embed = layers.Embedding(5, 2, mask_zero=True)
    looks = Looks()
    model = keras.Sequential([embed, layers.Dropout(0.0), looks, layers.LSTM(1)])
    tokens = np.array([[1, 2, 0], [3, 0, 0]])
    model(tokens, training=True)
    assert seen["training"] is True
    np.testing.assert_array_equal(seen["mask"], tokens != 0)
    model(tokens)
    assert not seen["training"]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_dtype_policies(policy: str) -> None:
    layer = layers.Dense(2, dtype=policy)
    out = layer(X)
    half = policy.removeprefix("mixed_")
    assert out.dtype == half and layer.compute_dtype == half
    assert layer.kernel.dtype == ("float32" if "mixed" in policy else half)
    assert layers.Dense.from_config(layer.get_config()).dtype_policy.name == policy
    whole = layers.Dense(2, autocast=False, dtype=policy)
    assert whole(X).dtype == "float32" or "mixed" not in policy


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_training_in_mixed_precision(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        model = keras.Sequential(
            [keras.Input((3,)), layers.Dense(8, "relu"), layers.Dense(1)]
        )
        model.compile("adam", "mse")
    finally:
        keras.config.set_dtype_policy("float32")
    scaled = isinstance(model.optimizer, keras.mixed_precision.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    y = X[:, :1] - X[:, 1:2]
    losses = model.fit(X, y, epochs=60, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    assert all(v.dtype == "float32" for v in model.trainable_variables)


def test_a_shape_mismatch_names_layer_shape_and_expectation() -> None:
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, name="head")], name="mlp"
    )
    with pytest.raises(ValueError, match="Dense 'mlp/head'.*axis -1.*expected 3") as e:
        model.get_layer("head")(np.ones((2, 9)))
    assert isinstance(e.value, keras.errors.ShapeError)
    assert "called with float32[2, 9]" in "\n".join(e.value.__notes__)
    with pytest.raises(ValueError, match=r"got shape \(2, 9\), expected \(None, 3\)"):
        model(np.ones((2, 9)))
    with pytest.raises(ValueError, match="Is the batch axis missing"):
        layers.Dense(1)(np.ones(3))


def test_an_error_inside_a_model_tells_the_way_down() -> None:
    class Broken(layers.Layer):
        def call(self, x):
            raise RuntimeError("wrong here")

    class Net(keras.Model):
        def __init__(self):
            super().__init__(name="net")
            self.broken = Broken(name="broken")

        def call(self, x):
            return self.broken(x)

    with pytest.raises(RuntimeError) as e:
        Net()(X)
    notes = "\n".join(e.value.__notes__)
    assert notes.index("Broken 'net/broken'") < notes.index("Net 'net'")
    shown = "".join(traceback.format_tb(e.value.__traceback__))
    assert "test_user_layers.py" in shown
    assert shown.count("/carnyx/") <= 1, shown  # our frames stay out of the way
    keras.config.disable_traceback_filtering()
    try:
        with pytest.raises(RuntimeError) as e:
            Net()(X)
    finally:
        keras.config.enable_traceback_filtering()
    assert "".join(traceback.format_tb(e.value.__traceback__)).count("/carnyx/") > 3


def test_forgetting_super_init_is_explained() -> None:
    class Forgot(layers.Layer):
        def __init__(self):
            self.units = 3

        def call(self, x):
            return x

    with pytest.raises(AttributeError, match="call super"):
        Forgot()(X)


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="unknown argument 'unit'"):
        layers.Dense(3, unit=4)
    with pytest.raises(ValueError, match="units=-1; expected an integer above 0"):
        layers.Dense(-1)


def test_set_weights_checks_before_it_changes() -> None:
    layer = layers.Dense(2)
    layer.build((None, 3))
    before = layer.get_weights()
    with pytest.raises(ValueError, match="has 2 weights but got 1"):
        layer.set_weights(before[:1])
    with pytest.raises(ValueError, match=r"has shape \(2,\) but got \(3,\)"):
        layer.set_weights([np.zeros((3, 2)), np.zeros(3)])
    np.testing.assert_array_equal(layer.get_weights()[0], before[0])


def test_losses_of_a_layer_called_alone() -> None:
    layer = layers.Dense(
        2, kernel_regularizer=keras.regularizers.L2(0.5), activity_regularizer="l1"
    )
    out: Any = layer(X)
    added, regularized = layer.losses
    np.testing.assert_allclose(added, 0.01 * np.abs(out).sum() / len(X), 1e-5)
    np.testing.assert_allclose(
        regularized, 0.5 * (layer.kernel.numpy() ** 2).sum(), 1e-5
    )
    layer(X)
    assert len(layer.losses) == 2  # of the last call
