"""A dense layer of -1, 0 and 1 (Keras 3.15 does not have it yet)."""

import jax
import numpy as np
import pytest

import carnyx as keras

rng = np.random.default_rng(0)
X = rng.normal(size=(16, 5)).astype("float32")


def test_weights_are_signs_and_small_ones_count_as_nothing():
    layer = keras.layers.TernaryDense(3, use_bias=False)
    y, kernel = layer(X), np.asarray(layer.kernel)
    ternary = np.sign(kernel) * (np.abs(kernel) > np.abs(kernel).mean())
    np.testing.assert_allclose(y, X @ ternary, rtol=1e-5)
    assert set(np.unique(np.round(layer.ternary_kernel, 6))) == {-1, 0, 1}


@pytest.mark.parametrize("threshold, left", [(0, 15), (1e9, 0)])
def test_the_threshold_says_how_many_remain(threshold, left):
    layer = keras.layers.TernaryDense(3, threshold)
    layer.build((None, 5))
    assert np.count_nonzero(np.round(layer.ternary_kernel, 6)) == left


def test_the_gradient_goes_straight_through():
    layer = keras.layers.TernaryDense(3, use_bias=False)
    layer.build((None, 5))

    def loss(kernel):
        return layer.stateless_call([kernel], [], X)[0].sum()

    gradient = jax.grad(loss)(layer.kernel.value)
    np.testing.assert_allclose(gradient, np.tile(X.sum(0)[:, None], 3), rtol=1e-5)


def test_it_learns_and_comes_back_from_a_file(tmp_path):
    y = X[:, :1] - X[:, 1:2]
    model = keras.Sequential([keras.Input((5,)), keras.layers.TernaryDense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    losses = model.fit(X, y, epochs=60, verbose=0).history["loss"]
    assert losses[-1] < 0.1 * losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model.predict(X), again.predict(X))


def test_config_and_refusals():
    layer = keras.layers.TernaryDense(4, 0.1, "relu", name="t")
    config = layer.get_config()
    assert (config["units"], config["threshold"], config["activation"]) == (
        4,
        0.1,
        "relu",
    )
    assert keras.layers.TernaryDense.from_config(config).get_config() == config
    for wrong in (-1, "a", float("nan"), True):
        with pytest.raises(ValueError, match="threshold"):
            keras.layers.TernaryDense(4, wrong)
