"""Regularizers against Keras."""

import inspect

import jax
import numpy as np
import pytest

from carnyx import Variable, regularizers
from carnyx.errors import ArgumentError, ShapeError, UnknownNameError

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")

ROWS = [
    ("L1", {}),
    ("L1", {"l1": 0.3}),
    ("L2", {}),
    ("L2", {"l2": None}),
    ("L1L2", {}),
    ("L1L2", {"l1": 0.5, "l2": 1}),
    ("OrthogonalRegularizer", {}),
    ("OrthogonalRegularizer", {"factor": 0.5, "mode": "columns"}),
]


def same(a, b):
    """Equal but for rounding: some factors are float32 in Keras's configs."""
    if isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in b)
    return a == (pytest.approx(b, rel=1e-7) if isinstance(b, float) else b)


@pytest.mark.parametrize("name, arguments", ROWS)
def test_values_gradients_and_configs_are_those_of_keras(keras_oracle, name, arguments):
    ours, theirs = (
        getattr(module, name)(**arguments)
        for module in (regularizers, keras_oracle.regularizers)
    )
    (a, da), (b, db) = (jax.jit(jax.value_and_grad(r))(X) for r in (ours, theirs))
    assert a.dtype == b.dtype and a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=1e-6)
    np.testing.assert_allclose(da, db, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(ours(Variable(X)), b, rtol=1e-6)
    assert ours(X.astype("bfloat16")).dtype == "bfloat16"

    record = regularizers.serialize(ours)
    assert same(record, keras_oracle.regularizers.serialize(theirs))
    assert regularizers.deserialize(record).get_config() == ours.get_config()
    assert same(
        keras_oracle.regularizers.deserialize(record).get_config(), record["config"]
    )


def test_every_regularizer_of_keras_is_here(keras_oracle):
    theirs = vars(keras_oracle.regularizers)
    for name, x in theirs.items():
        if inspect.isclass(x):
            ours = getattr(regularizers, name)
            assert ours.__name__ == x.__name__
            if x.__name__ != "Regularizer":
                assert type(regularizers.get(name)) is ours
                assert x.__name__ in {row[0] for row in ROWS}


def test_a_row_of_zeros_has_no_angle(keras_oracle):
    x = X.copy()
    x[1] = 0
    expected = keras_oracle.regularizers.OrthogonalRegularizer()(x)
    assert regularizers.OrthogonalRegularizer()(x) == pytest.approx(float(expected))


def test_a_users_class_and_function():
    class Sparse(regularizers.Regularizer):
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, x):
            return self.rate * abs(x).mean()

    record = regularizers.serialize(Sparse(0.5))
    again = regularizers.deserialize(record, custom_objects={"Sparse": Sparse})
    assert again(X) == Sparse(0.5)(X)
    assert regularizers.get(abs) is abs and regularizers.get(None) is None


def test_errors():
    for bad in (-1, float("inf"), float("nan"), "0.1"):
        with pytest.raises(ArgumentError, match="L2 got l2=.*expected a finite number"):
            regularizers.L2(bad)
    with pytest.raises(ArgumentError, match="expected one of 'rows', 'columns'"):
        regularizers.OrthogonalRegularizer(mode="both")
    with pytest.raises(ShapeError, match="expected a matrix"):
        regularizers.OrthogonalRegularizer()(X[0])
    with pytest.raises(UnknownNameError, match="Unknown regularizer 'l3'"):
        regularizers.get("l3")
