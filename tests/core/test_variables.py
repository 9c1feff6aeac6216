"""Variables, the state scope, seeds, names."""

from __future__ import annotations

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import carnyx as keras
from carnyx._core.naming import auto_name
from carnyx._core.store import Store


def test_assigning_keeps_shape_and_dtype() -> None:
    v = keras.Variable(np.zeros((2, 3)), name="w")
    assert v.shape == (2, 3) and v.dtype == "float32" and v.trainable
    v.assign(np.ones((2, 3), "int64"))
    assert v.numpy().dtype == np.float32
    with pytest.raises(ValueError, match=r"'w' got a value of shape \(3,\)"):
        v.assign(np.ones(3))
    v.assign_sub(v)
    np.testing.assert_array_equal(v, np.zeros((2, 3)))


# No numbers whose products or halves are subnormal: XLA takes those for zero.
NUMBERS = st.floats(-9, 9, width=32).filter(lambda x: x == 0 or abs(x) > 1e-15)


@given(st.lists(NUMBERS, min_size=1, max_size=4))
def test_arithmetic_is_that_of_arrays(values: list[float]) -> None:
    a = np.array(values, "float32")
    v = keras.Variable(a)
    np.testing.assert_allclose(v + 1, a + 1, rtol=1e-6)
    np.testing.assert_allclose(1 - v, 1 - a, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(v * v, a * a)
    np.testing.assert_allclose(v / 2, a / 2)
    np.testing.assert_allclose(-v, -a)
    np.testing.assert_allclose(abs(v), abs(a))
    np.testing.assert_array_equal(v > 0, a > 0)
    np.testing.assert_allclose(v[0], a[0])
    np.testing.assert_allclose(jnp.ones(len(a)) @ v, a.sum(), rtol=1e-4, atol=1e-4)


def test_a_variable_needs_a_shape_for_an_initializer_and_no_slash_in_its_name() -> None:
    with pytest.raises(ValueError, match="no shape"):
        keras.Variable(keras.initializers.Zeros())
    with pytest.raises(ValueError, match="'/'"):
        keras.Variable(0.0, name="a/b")


def test_host_data_is_copied() -> None:
    a = np.ones((16, 16), "float32")
    v = keras.Variable(a)
    w = keras.Variable(np.zeros((16, 16)))
    w.assign(a)
    a[:] = 7
    assert float(v.value.max()) == float(w.value.max()) == 1.0


def test_pure_leaves_variables_alone_and_refuses_unknown_ones() -> None:
    count, other = keras.Variable(0.0, name="count"), keras.Variable(0.0, name="other")
    step = jax.jit(keras.pure(lambda x: count.assign_add(x) * 2, [count]))
    out, (new,) = step([jnp.float32(3)], 4.0)
    assert (float(out), float(new), float(count)) == (14.0, 7.0, 0.0)
    with pytest.raises(ValueError, match="'other' is assigned in a function that is"):
        keras.pure(lambda: other.assign(1.0), [count])([jnp.float32(0)])


def test_pure_is_differentiable_and_vectorizable() -> None:
    w = keras.Variable([1.0, 2.0])

    def loss(values: list, x: jax.Array) -> jax.Array:
        return keras.pure(lambda x: jnp.sum(w.value * x**2), [w])(values, x)[0]

    gradient = jax.grad(loss)([w.value], jnp.array([3.0, 4.0]))
    np.testing.assert_allclose(gradient[0], [9, 16])
    many = jax.vmap(loss, (None, 0))([w.value], jnp.ones((5, 2)))
    np.testing.assert_allclose(many, 3 * np.ones(5))


def test_scopes_belong_to_a_thread() -> None:
    v = keras.Variable(1.0)
    seen = []
    with keras.StatelessScope([(v, jnp.float32(5))]):
        thread = threading.Thread(target=lambda: seen.append(float(v.value)))
        thread.start()
        thread.join()
        assert float(v.value) == 5.0
    assert seen == [1.0]


def test_stateless_scope_collects() -> None:
    v = keras.Variable(1.0)
    with keras.StatelessScope([(v, jnp.float32(2))], collect_losses=True) as scope:
        v.assign_add(1.0)
        scope.add_loss(4.0)
    assert float(scope.get_current_value(v)) == 3.0 and scope.losses == [4.0]
    assert float(v.value) == 1.0


def test_a_store_shows_and_takes_the_newest_values() -> None:
    a, b = keras.Variable(1.0), keras.Variable([2.0])
    store, other = Store([a, b]), Store([b])
    store.take([jnp.float32(5), jnp.array([6.0])])
    assert float(a.value) == 5.0 and float(other.values[0][0]) == 6.0
    a.assign(7.0)
    assert float(store.values[0]) == 7.0
    mine = b.value
    assert other.ready()[0] is not mine  # lent arrays are not given away
    assert other.ready()[0] is store.ready()[1]


def test_seed_generators_repeat_and_continue() -> None:
    a, b = keras.random.SeedGenerator(3), keras.random.SeedGenerator(3)
    first, second = a.next(), a.next()
    np.testing.assert_array_equal(first, b.next())
    assert not np.array_equal(first, second)
    with pytest.raises(ValueError, match="expected an integer"):
        keras.random.SeedGenerator("x")


def test_set_random_seed_makes_everything_repeat() -> None:
    def draw() -> list[np.ndarray]:
        keras.utils.set_random_seed(9)
        layer = keras.layers.Dense(3)
        layer.build((None, 2))
        noise = keras.random.normal((2,))
        dropout = keras.layers.Dropout(0.5)(np.ones(20, "float32"), training=True)
        return [layer.get_weights()[0], np.array(noise), np.array(dropout)]

    for one, two in zip(draw(), draw(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_names_are_those_of_keras() -> None:
    keras.utils.clear_session()
    names = [keras.layers.Dense(1).name for _ in range(2)]
    assert names == ["dense", "dense_1"]
    assert keras.layers.LayerNormalization().name == "layer_normalization"
    assert auto_name("GRU") == "gru"
    with keras.name_scope("outer"), keras.name_scope("inner"):
        assert keras.Variable(0.0, name="v").path == "outer/inner/v"
