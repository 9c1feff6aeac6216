"""`carnyx.random` against Keras 3.15 on JAX: the same numbers for the same seed."""

import inspect

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import carnyx.random as ours
from carnyx._core.scope import pure
from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable

X = np.arange(24, dtype="float32").reshape(2, 3, 4)
LOGITS = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], "float32"))

ROWS = [
    ("normal", ((2, 3),), {}),
    ("normal", ((2, 3), 5.0, 0.1, "bfloat16"), {}),
    ("truncated_normal", ((40,), 1.0, 2.0), {}),
    ("uniform", ((2, 3),), {}),
    ("uniform", ((5,), -3.0, 2.0, "float16"), {}),
    ("randint", ((20,), -3, 9), {}),
    ("randint", ((20,), 0, 9), dict(dtype="uint8")),
    ("categorical", (jnp.asarray(LOGITS), 7), {}),
    ("categorical", (jnp.asarray(LOGITS), 7), dict(dtype="int8")),
    ("dropout", (jnp.asarray(X), 0.4), {}),
    ("dropout", (jnp.asarray(X), 0.4), dict(noise_shape=(None, 1, 4))),
    ("dropout", (jnp.asarray(X), 0.0), {}),
    ("dropout", (jnp.asarray(X), 1.0), {}),
    ("shuffle", (jnp.asarray(X),), {}),
    ("shuffle", (jnp.asarray(X),), dict(axis=2)),
    ("gamma", ((2, 3), 2.5), {}),
    ("beta", ((2, 3), 2.0, [0.5, 1.0, 3.0]), {}),
    ("binomial", ((2, 3), 9, [0.1, 0.5, 0.9]), {}),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_numbers_of_a_seed_are_those_of_keras(row):
    name, args, kwargs = row
    out = getattr(ours, name)(*args, seed=1337, **kwargs)
    expected = getattr(keras.random, name)(*args, seed=1337, **kwargs)
    assert (out.dtype, out.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(
        np.asarray(out, "float32"), np.asarray(expected, "float32"), rtol=1e-5
    )


@pytest.mark.parametrize("name", sorted({row[0] for row in ROWS}))
def test_signatures_are_those_of_keras(name):
    mine = inspect.signature(getattr(ours, name)).parameters
    theirs = inspect.signature(getattr(keras.random, name)).parameters
    assert [(p.name, p.default) for p in mine.values()] == [
        (p.name, p.default) for p in theirs.values()
    ]


MOMENTS = [
    ("normal", (2.0, 3.0), 2, 9),
    ("truncated_normal", (0.0, 1.0), 0, 0.7737),
    ("uniform", (-1.0, 3.0), 1, 16 / 12),
    ("gamma", (3.0,), 3, 3),
    ("beta", (2.0, 3.0), 0.4, 0.04),
    ("binomial", (10, 0.3), 3, 2.1),
]


@pytest.mark.parametrize("row", MOMENTS, ids=lambda row: row[0])
def test_mean_and_variance_are_those_of_the_distribution(row):
    name, args, mean, variance = row
    sample = getattr(ours, name)((20_000,), *args, seed=0)
    np.testing.assert_allclose(sample.mean(), mean, atol=0.1)
    np.testing.assert_allclose(sample.var(), variance, rtol=0.06)


def test_an_integer_repeats_a_generator_goes_on():
    generator = ours.SeedGenerator(7)
    first, second = (ours.normal((3,), seed=generator) for _ in range(2))
    np.testing.assert_array_equal(first, ours.normal((3,), seed=7))
    assert not np.allclose(first, second)
    assert not np.allclose(ours.normal((3,)), ours.normal((3,)))


def test_a_traced_function_carries_the_state_of_its_generator():
    generator = ours.SeedGenerator(7)
    draw = jax.jit(pure(lambda: ours.uniform((3,), seed=generator), [generator.state]))
    first, state = draw([generator.state.value])
    second, _ = draw(state)
    np.testing.assert_array_equal(first, ours.uniform((3,), seed=7))
    assert not np.allclose(first, second)


def test_shuffling_keeps_what_there_is():
    out = ours.shuffle(X, axis=1, seed=2)
    np.testing.assert_array_equal(np.sort(out, 1), X)


def test_arrays_may_be_lists_variables_or_symbols():
    assert ours.dropout([1.0, 2.0], 0.5, seed=1).shape == (2,)
    assert ours.dropout(Variable(X), 0.5, seed=1).shape == X.shape
    assert ours.dropout(KerasTensor((None, 3)), 0.5, seed=1).shape == (None, 3)


ERRORS = [
    ("for integers use randint", "uniform", ((2,), 0, 1, "int32"), {}),
    ("expected an integer dtype", "randint", ((2,), 0, 1, "float32"), {}),
    ("rate=2", "dropout", (X, 2), {}),
    ("seed='x'", "normal", ((2,),), dict(seed="x")),
]


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: row[1])
def test_errors_say_what_they_got_and_what_is_expected(row):
    text, name, args, kwargs = row
    with pytest.raises(ValueError, match=text):
        getattr(ours, name)(*args, **kwargs)


@pytest.mark.parametrize("p", [1e-6, 0.1, 1 / 3, 0.5, 0.8, 0.9999])
def test_dropout_draws_the_bits_of_jax(p):
    key = jnp.array([2**32 - 5, 7], "uint32")
    kept = ours.dropout(jnp.ones((33, 5, 7)), 1 - p, seed=key) > 0
    assert (kept == jax.random.bernoulli(key, 1 - (1 - p), (33, 5, 7))).all()
