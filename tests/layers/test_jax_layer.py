"""Functions of JAX as layers: arguments, weights, state, random numbers, files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import carnyx as keras

rng = np.random.default_rng(0)
X = rng.normal(size=(8, 3)).astype("float32")


@keras.saving.register_keras_serializable("tests")
def affine(params, inputs):
    return inputs @ params["w"] + params["b"]


@keras.saving.register_keras_serializable("tests")
def first_affine(rng, inputs):
    w = jax.random.normal(rng, (inputs.shape[-1], 2))
    return {"w": w, "b": jnp.zeros(2)}


def counted(params, state, rng, inputs, training):
    noise = 0.0 if rng is None else jax.random.normal(rng, inputs.shape)
    return params * inputs + noise, {"calls": state["calls"] + jnp.int32(training)}


def first_counted(rng, inputs, training):
    assert training is True and inputs.shape == (1, 3)
    return jnp.ones(()), {"calls": jnp.int32(0)}


def test_the_values_of_the_function_and_weights_by_name():
    layer = keras.layers.JaxLayer(affine, first_affine)
    y = layer(X)
    w, b = (np.asarray(v) for v in (layer.params["w"], layer.params["b"]))
    np.testing.assert_allclose(y, X @ w + b, rtol=1e-5)
    assert {v.name for v in layer.trainable_weights} == {"w", "b"}
    assert layer.compute_output_shape((None, 3)) == (None, 2)


def test_as_in_keras(keras_oracle):
    params = {
        "w": rng.normal(size=(3, 2)).astype("float32"),
        "b": np.ones(2, "float32"),
    }
    ours = keras.layers.JaxLayer(affine, params=params)
    theirs = keras_oracle.layers.JaxLayer(affine, params=params)
    np.testing.assert_allclose(ours(X), theirs(X), rtol=1e-6)
    assert [v.shape for v in ours.weights] == [tuple(v.shape) for v in theirs.weights]


def test_training_and_files(tmp_path):
    model = keras.Sequential([
        keras.Input((3,)), keras.layers.JaxLayer(affine, first_affine, seed=1),
        keras.layers.Dense(1),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.05), "mse")
    losses = model.fit(X, X[:, :1], epochs=40, verbose=0).history["loss"]
    assert losses[-1] < 0.1 * losses[0]
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again(X), model(X), rtol=1e-6)


def test_state_changes_in_training_and_keys_are_new_each_time():
    layer = keras.layers.JaxLayer(counted, first_counted, seed=3)
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    model.fit(X, X, epochs=2, batch_size=4, verbose=0)
    assert (
        int(layer.state["calls"].value) == 4 and len(layer.non_trainable_weights) == 1
    )
    assert (np.asarray(layer(X, training=True)) != layer(X, training=True)).any()
    np.testing.assert_array_equal(layer(X), layer(X))
    assert int(layer.state["calls"].value) == 6


def test_dtypes_and_parts_that_are_no_arrays():
    def scaled(params, inputs):
        return params["scale"] * inputs if params["how"] == "times" else inputs

    layer = keras.layers.JaxLayer(scaled, params={"scale": 2, "how": "times"},
                                  dtype="mixed_bfloat16")  # fmt: skip
    assert layer(X).dtype == "bfloat16" and layer.weights[0].dtype == "int32"
    floats = keras.layers.JaxLayer(affine, params={"w": np.eye(3), "b": 0.5})
    assert {v.dtype for v in floats.weights} == {"float32"}


def wrong_state(state, inputs):
    return inputs, {"other": state}


@pytest.mark.parametrize("make, words", [
    (lambda: keras.layers.JaxLayer(lambda params: 1), "`inputs`"),
    (lambda: keras.layers.JaxLayer(lambda inputs, key: 1), "`key`"),
    (lambda: keras.layers.JaxLayer(affine), "cannot all be None"),
    (lambda: keras.layers.JaxLayer(affine, lambda inputs, mode: 1), "`mode`"),
    (lambda: keras.layers.JaxLayer(wrong_state, state=np.ones(2))(X), "of structure"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_function_without_weights():
    layer = keras.layers.JaxLayer(lambda inputs: jnp.sin(inputs))
    np.testing.assert_allclose(layer(X), np.sin(X), rtol=1e-6)
    assert layer.weights == []
