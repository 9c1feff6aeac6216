"""Constraints against Keras."""

import inspect

import jax
import numpy as np
import pytest

from carnyx import Variable, constraints
from carnyx.errors import ArgumentError, UnknownNameError

W = 2 * np.random.default_rng(0).normal(size=(4, 3)).astype("float32")

ROWS = [
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 0.5, "axis": [0, 1]}),
    ("NonNeg", {}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": 1}),
    ("MinMaxNorm", {}),
    ("MinMaxNorm", {"min_value": 0.5, "max_value": 2.0, "rate": 0.7, "axis": 1}),
]


@pytest.mark.parametrize("name, arguments", ROWS)
def test_values_and_configs_are_those_of_keras(keras_oracle, name, arguments):
    ours, theirs = (
        getattr(module, name)(**arguments)
        for module in (constraints, keras_oracle.constraints)
    )
    expected = theirs(W)
    for w in (W, Variable(W), W.tolist()):
        np.testing.assert_allclose(ours(w), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(ours)(W), expected, rtol=1e-6)
    assert ours(W.astype("bfloat16")).dtype == theirs(W.astype("bfloat16")).dtype

    record = constraints.serialize(ours)
    assert record == keras_oracle.constraints.serialize(theirs)
    assert constraints.deserialize(record).get_config() == ours.get_config()


def test_every_constraint_of_keras_is_here(keras_oracle):
    for name, x in vars(keras_oracle.constraints).items():
        if inspect.isclass(x):
            ours = getattr(constraints, name)
            assert ours.__name__ == x.__name__
            assert type(constraints.get(name)) is ours
            assert x.__name__ in {row[0] for row in ROWS} | {"Constraint"}


def test_a_users_class():
    class Centered(constraints.Constraint):
        def __call__(self, w):
            return w - w.mean()

    record = constraints.serialize(Centered())
    again = constraints.deserialize(record, custom_objects={"Centered": Centered})
    assert abs(again(W).mean()) < 1e-6
    assert constraints.get(None) is None


def test_errors():
    with pytest.raises(UnknownNameError, match="Did you mean 'max_norm'"):
        constraints.get("maxnorm")
    with pytest.raises(ArgumentError, match="Got 2 as constraint"):
        constraints.get(2)
