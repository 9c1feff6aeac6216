"""Initializers against Keras: the same numbers for the same seed, the same configs."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import carnyx
from carnyx import initializers
from carnyx.errors import ArgumentError, ShapeError, UnknownNameError
from carnyx.initializers import sampling
from carnyx.random import SeedGenerator

ROWS = [
    ("Zeros", {}, (2, 3)),
    ("Ones", {}, (2, 3)),
    ("Constant", {"value": 0.3}, (2, 3)),
    ("Constant", {"value": [1, 2, 3]}, (2, 3)),
    ("Identity", {"gain": 2.0}, (2, 3)),
    ("STFT", {}, (8, 1, 5)),
    ("STFT", {"side": "imag", "scaling": "spectrum", "periodic": True}, (8, 1, 5)),
    ("STFT", {"window": None, "scaling": None}, (6, 1, 5)),
    ("RandomNormal", {"mean": 0.5, "stddev": 0.2}, (3, 5)),
    ("RandomUniform", {"minval": -1.0, "maxval": 3.0}, (3, 5)),
    ("TruncatedNormal", {"mean": 0.5, "stddev": 0.2}, (3, 5)),
    ("VarianceScaling", {}, (3, 5)),
    (
        "VarianceScaling",
        {"scale": 2.0, "mode": "fan_out", "distribution": "uniform"},
        (3, 3, 2, 4),
    ),
    ("VarianceScaling", {"distribution": "untruncated_normal"}, (7,)),
    ("VarianceScaling", {"mode": "fan_avg", "distribution": "NORMAL"}, ()),
    ("GlorotUniform", {}, (3, 5)),
    ("GlorotUniform", {"input_axes": [0], "output_axes": [1, 2]}, (3, 5, 2)),
    ("GlorotNormal", {}, (3, 5)),
    ("LecunNormal", {}, (3, 5)),
    ("LecunUniform", {}, (2, 3, 5)),
    ("HeNormal", {}, (3, 5)),
    ("HeUniform", {}, (0, 5)),
    ("Orthogonal", {}, (5, 3)),
    ("Orthogonal", {"gain": 0.5}, (2, 2, 9)),
]
RANDOM = {n for n, _, _ in ROWS[8:]}


@pytest.mark.parametrize("name, arguments, shape", ROWS)
def test_values_and_configs_are_those_of_keras(keras_oracle, name, arguments, shape):
    if name in RANDOM:
        arguments = arguments | {"seed": 1234}
    ours, theirs = (
        getattr(module, name)(**arguments)
        for module in (initializers, keras_oracle.initializers)
    )
    exact = name in RANDOM and name != "Orthogonal" and "mean" not in arguments
    for dtype in (None, "float16"):
        if dtype and name == "Orthogonal":
            continue  # Keras has no QR of float16
        a, b = ours(shape, dtype=dtype), theirs(shape, dtype=dtype)
        assert isinstance(a, jax.Array) and a.dtype == b.dtype and a.shape == b.shape
        tolerance = 0 if exact and not dtype else 3e-3 if dtype else 1e-6
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)

    record = initializers.serialize(ours)
    expected = keras_oracle.initializers.serialize(theirs)
    if name == "Identity":  # Keras forgets the gain
        expected["config"] = arguments
    assert record == expected
    again = initializers.deserialize(record)
    assert (again(shape) == ours(shape)).all()
    assert initializers.serialize(ours.clone()) == record


def test_every_initializer_of_keras_is_here_with_its_signature(keras_oracle):
    for name, x in vars(keras_oracle.initializers).items():
        if not inspect.isclass(x):
            continue
        ours = getattr(initializers, name)
        assert ours.__name__ == x.__name__
        if x.__name__ == "Initializer":
            continue
        assert type(initializers.get(name)) is ours
        assert x.__name__ in {row[0] for row in ROWS}
        if ours._fields:
            a, b = (inspect.signature(c).parameters.values() for c in (ours, x))
            assert [(p.name, p.default) for p in a] == [(p.name, p.default) for p in b]


@pytest.mark.parametrize("name", ["normal", "uniform", "one", "zero"])
def test_old_names(keras_oracle, name):
    ours, theirs = initializers.get(name), keras_oracle.initializers.get(name)
    assert type(ours).__name__ == type(theirs).__name__


@pytest.mark.parametrize("sizes", [(3, 5462), (129, 127), (1, 1 << 20), (1200, 1000)])
def test_long_weights_have_the_numbers_of_jax(sizes):
    key = jnp.array([7, 0], "uint32")
    expected = jax.random.uniform(key, sizes, "float32", -0.05, 0.05)
    assert (initializers.RandomUniform(seed=7)(sizes) == expected).all()


def test_few_programs_serve_many_shapes():
    compiled = sampling._draw_compiled
    he = initializers.HeNormal(seed=0)
    he((3, 3))
    before = compiled._cache_size()
    for n in range(1, 30):
        he((n, 3 * n))
    assert compiled._cache_size() == before


def test_without_the_stable_bits_of_jax_numbers_are_those_of_the_shape():
    with jax.threefry_partitionable(False):
        key = jnp.array([7, 0], "uint32")
        expected = jax.random.normal(key, (3, 5)) * 0.05
        np.testing.assert_array_equal(
            initializers.RandomNormal(seed=7)((3, 5)), expected
        )


def test_seeds(keras_oracle):
    drawn = initializers.GlorotUniform()
    assert (drawn((2, 3)) == drawn((2, 3))).all()
    assert drawn.get_config()["seed"] is None and isinstance(drawn.seed, int)
    assert (drawn((2, 3)) != initializers.GlorotUniform()((2, 3))).any()

    generator = initializers.RandomNormal(seed=SeedGenerator(3))
    first = generator((2, 3))
    assert (first != generator((2, 3))).any()
    record = initializers.serialize(generator)
    again = initializers.deserialize(record)
    assert (again((2, 3)) == first).all()
    theirs = keras_oracle.initializers.deserialize(record)
    assert keras_oracle.initializers.serialize(theirs) == record
    np.testing.assert_allclose(theirs((2, 3)), first, rtol=1e-6)


def test_inside_a_traced_function():
    def total(seed):
        generator = SeedGenerator(0)

        def draw():
            return initializers.Orthogonal(seed=generator)((3, 3))

        return carnyx.pure(draw, [generator.state])([seed])[0]

    seed = jnp.array([0, 0], "uint32")
    inside = jax.jit(total)(seed)
    np.testing.assert_allclose(inside @ inside.T, np.eye(3), atol=1e-5)
    constant = jax.jit(lambda x: x + initializers.HeNormal(seed=1)((2,)))(0.0)
    np.testing.assert_allclose(constant, initializers.HeNormal(seed=1)((2,)))


def test_values_as_an_initializer():
    values = np.arange(6.0).reshape(2, 3)
    assert initializers.get(None) is None
    given = initializers.get(values)
    assert given((2, 3), dtype="float16").dtype == "float16"
    assert (initializers.get(jnp.asarray(values))((2, 3)) == values).all()
    with pytest.raises(ShapeError, match="shape .2, 3.; the weight has .3, 2."):
        given((3, 2))
    array = initializers.Constant(values)
    record = initializers.serialize(array)
    assert (initializers.deserialize(record)((2, 3)) == values).all()


def test_errors():
    with pytest.raises(ArgumentError, match="expected one of 'fan_in'"):
        initializers.VarianceScaling(mode="fan")
    with pytest.raises(ArgumentError, match="scale=0; expected a number above 0"):
        initializers.VarianceScaling(0)
    with pytest.raises(ArgumentError, match="expected one of uniform, truncated"):
        initializers.VarianceScaling(distribution="cauchy")
    with pytest.raises(ArgumentError, match="seed='a'; expected None, an integer"):
        initializers.HeNormal("a")
    with pytest.raises(ShapeError, match="expected a matrix"):
        initializers.Identity()((2, 2, 2))
    with pytest.raises(ShapeError, match="expected two axes or more"):
        initializers.Orthogonal()((2,))
    with pytest.raises(ShapeError, match="expected .8,., the first size"):
        initializers.STFT(window=np.ones(4))((8, 1, 5))
    with pytest.raises(UnknownNameError, match="Did you mean 'glorot_uniform'"):
        initializers.get("glorot_unifrom")
    with pytest.raises(NotImplementedError, match="needs a method __call__"):
        initializers.Initializer()((2,))
