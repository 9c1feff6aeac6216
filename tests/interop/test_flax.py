"""Modules of Flax as layers: values of the module itself, training, state, refusals."""

import numpy as np
import pytest

import carnyx as keras

linen = pytest.importorskip("flax.linen")
X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")


class Net(linen.Module):
    @linen.compact
    def __call__(self, inputs, training=False):
        x = linen.Dense(8)(inputs)
        x = linen.BatchNorm(use_running_average=not training)(x)
        x = linen.Dropout(0.5, deterministic=not training)(linen.relu(x))
        return linen.Dense(1)(x)

    def doubled(self, inputs):
        return 2 * inputs


def test_the_values_are_those_of_the_module():
    import jax

    variables = Net().init(jax.random.key(0), X)
    layer = keras.layers.FlaxLayer(Net(), variables=variables)
    np.testing.assert_allclose(layer(X), Net().apply(variables, X), rtol=1e-5)
    assert len(layer.trainable_weights) == 6 and len(layer.non_trainable_weights) == 2


def test_training_changes_weights_and_state():
    model = keras.Sequential([keras.Input((3,)), keras.layers.FlaxLayer(Net(), seed=1)])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    before = model.get_weights()
    losses = model.fit(X, X[:, :1], epochs=60, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for a, b in zip(before, model.get_weights()):
        assert (a != b).any()


def test_methods_by_name_and_as_functions():
    assert (keras.layers.FlaxLayer(Net(), method="doubled")(X) == 2 * X).all()
    own = keras.layers.FlaxLayer(
        Net(), method=lambda module, inputs: module.doubled(inputs)
    )
    assert (own(X) == 2 * X).all()


def test_another_kind_of_module_is_refused():
    from flax import nnx

    with pytest.raises(ValueError, match=r"expected a flax\.linen\.Module"):
        keras.layers.FlaxLayer(nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
