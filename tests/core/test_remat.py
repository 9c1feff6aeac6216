"""Rematerialization: the same numbers, and inner values that are not kept."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import carnyx as keras

rng = np.random.default_rng(0)
X = rng.normal(size=(8, 5)).astype("float32")
Y = rng.normal(size=(8, 2)).astype("float32")


def primitives(fn, *args):
    """The names of all operations in what is traced, inner programs included."""
    found = []

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            found.append(equation.primitive.name)
            for value in jax.tree.leaves(
                list(equation.params.values()),
                is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr"),
            ):
                inner = getattr(value, "jaxpr", value)
                if hasattr(inner, "eqns"):
                    walk(inner)

    walk(jax.make_jaxpr(fn)(*args).jaxpr)
    return found


def residuals(layer):
    """Entries that the forward pass keeps for the backward pass."""
    weights = [v.value for v in layer.trainable_variables]
    others = [v.value for v in layer.non_trainable_variables]

    def forward(weights, x):
        return layer.stateless_call(weights, others, x, training=True)[0].sum()

    _, back = jax.vjp(forward, weights, X)
    return sum(np.size(x) for x in jax.tree.leaves(back))


class Deep(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = [keras.layers.Dense(64, "tanh") for _ in range(4)]
        self.out = keras.layers.Dense(2)

    def call(self, x):
        for layer in self.inner:
            x = layer(x)
        return self.out(x)


def seeded(make):
    keras.utils.set_random_seed(3)
    keras.backend.clear_session()
    return make()


def network():
    layers = keras.layers
    return keras.Sequential([
        keras.Input((5,)), layers.Dense(16, "relu", kernel_regularizer="l2"),
        layers.BatchNormalization(), layers.Dropout(0.3, seed=1),
        layers.ActivityRegularization(l1=0.01), layers.GaussianNoise(0.1, seed=2),
        layers.Dense(2),
    ])  # fmt: skip


def trained(mode, **options):
    def make():
        if mode is None:
            return network()
        with keras.RematScope(mode, **options):
            return network()

    model = seeded(make)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    history = model.fit(X, Y, epochs=3, batch_size=4, shuffle=False, verbose=0)
    return [*model.get_weights(), np.array(history.history["loss"])]


@pytest.mark.parametrize("mode, options", [
    ("full", {}), ("activations", {}), ("larger_than", {"output_size_threshold": 9}),
    ("list_of_layers", {"layer_names": ["dense", "batch_normalization", "dropout"]}),
])  # fmt: skip
def test_training_gives_the_same_weights_buffers_and_losses(mode, options):
    for a, b in zip(trained(None), trained(mode, **options), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_less_is_kept():
    plain = seeded(Deep)
    plain.build((None, 5))
    plain(X)
    with keras.RematScope():
        less = seeded(Deep)
    less(X)
    np.testing.assert_allclose(less(X), plain(X), rtol=1e-6)
    assert residuals(less) < residuals(plain) - 3 * 8 * 64


@pytest.mark.parametrize("arguments, expected", [
    (("full",), 1), (("activations",), 1), ((None,), 0),
    (("larger_than", 8 * 3 - 1), 1), (("larger_than", 8 * 3), 0),
    (("list_of_layers", 0, ["mine"]), 1), (("list_of_layers", 0, ["other"]), 0),
])  # fmt: skip
def test_the_mode_says_which_layers(arguments, expected):
    with keras.RematScope(*arguments):
        layer = keras.layers.Dense(3, "relu", name="mine")
    layer.build((None, 5))
    assert (
        sum("remat" in p or "checkpoint" in p for p in primitives(layer, X)) == expected
    )


def test_an_inner_scope_wins_and_a_layer_keeps_its_own():
    with keras.RematScope("full"), keras.RematScope(None):
        layer = keras.layers.Dense(3)
    layer.build((None, 5))
    assert "checkpoint" not in " ".join(primitives(layer, X)).replace(
        "remat", "checkpoint"
    )
    with keras.RematScope("full"):
        kept = keras.layers.Dense(3)
    kept(X)
    again = pickle.loads(pickle.dumps(kept))
    np.testing.assert_array_equal(again(X), kept(X))


def test_a_function_with_state_and_arguments_that_are_no_arrays():
    count = keras.Variable(0.0)

    @keras.remat
    def scaled(x, scale=None, training=False):
        count.assign_add(1.0)
        return jnp.sin(x) * (2.0 if training else 1.0) * (scale or 1.0)

    def slope(x):
        return jax.grad(lambda v: scaled(v, None, training=True).sum())(x)

    step = jax.jit(keras.pure(slope, [count]))
    gradient, (after,) = step([count.value], X)
    np.testing.assert_allclose(gradient, 2 * np.cos(X), rtol=1e-5)
    assert float(after) == 1.0
    assert float(scaled(jnp.zeros(()))) == 0.0 and float(count.value) == 1.0


def test_masks_go_in_and_come_out():
    inputs = keras.Input((4,), dtype="int32")
    ids = np.array([[1, 2, 0, 0], [3, 0, 0, 0]])

    def make():
        x = keras.layers.Embedding(5, 3, mask_zero=True)(inputs)
        x = keras.layers.Dense(3)(x)
        return keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(x))

    plain = seeded(make)
    with keras.RematScope():
        less = seeded(make)
    np.testing.assert_allclose(
        less.predict(ids, verbose=0), plain.predict(ids, verbose=0), rtol=1e-6
    )


def test_another_mode_is_refused():
    with pytest.raises(ValueError, match="mode='all'; expected one of 'full'"):
        keras.RematScope("all")
