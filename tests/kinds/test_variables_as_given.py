"""Kind: something that cannot be right, kept by a variable or a scope until later.

A variable took a number for a name, text for a constraint, an axis of unknown size, and
did not know initializers by name; a stateless scope took values of other shapes. What
was wrong showed far away, or never. All is looked at where it is given.
"""

import numpy as np
import pytest

import carnyx as keras
from carnyx import Variable


@pytest.mark.parametrize("name", ["zeros", "ones", "glorot_uniform", "HeNormal"])
def test_initializers_by_name(keras_oracle, name):
    ours, theirs = (
        library.Variable(name, shape=(2, 3), dtype="float32")
        for library in (keras, keras_oracle)
    )
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    if name in ("zeros", "ones"):
        np.testing.assert_array_equal(ours, theirs)


WRONG = {
    "a name without a shape": {"initializer": "ones"},
    "an unknown initializer": {"initializer": "onez", "shape": (2,)},
    "a number as name": {"initializer": 1.0, "name": 12},
    "a path as name": {"initializer": 1.0, "name": "a/b"},
    "aggregation": {"initializer": 1.0, "aggregation": "average"},
    "synchronization": {"initializer": 1.0, "synchronization": "always"},
    "an unknown size": {"initializer": "ones", "shape": (None, 2)},
    "a size below 0": {"initializer": "ones", "shape": (-1, 2)},
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(keras_oracle, case):
    for library in (keras, keras_oracle):
        with pytest.raises(ValueError):
            library.Variable(**WRONG[case])


@pytest.mark.parametrize("what", ["regularizer", "constraint"])
def test_what_is_called_must_be_callable(keras_oracle, what):
    for v in (Variable(1.0), keras_oracle.Variable(1.0)):
        setattr(v, what, abs)
        setattr(v, what, None)
        with pytest.raises(ValueError):
            setattr(v, what, "l2")


def test_overwrite_with_gradient_is_yes_or_no(keras_oracle):
    for v in (Variable(1.0), keras_oracle.Variable(1.0)):
        v.overwrite_with_gradient = True
        with pytest.raises(TypeError):
            v.overwrite_with_gradient = "true"


@pytest.mark.parametrize("pair", [("x", 1), (Variable(1.0), [1.0, 2.0])])
def test_scopes_take_variables_and_values_of_their_shapes(pair):
    with pytest.raises(ValueError, match="StatelessScope got"):
        keras.StatelessScope(state_mapping=[pair])


def test_scopes_take_variables_as_values():
    v, other = Variable(1.0), Variable(2)
    with keras.StatelessScope([(v, other)]) as scope:
        assert float(v) == 2.0
        v.assign(3.0)
    assert float(scope.get_current_value(v)) == 3.0
    assert float(v) == 1.0


# ---- set afterwards

SET = {
    "activation": (lambda: keras.layers.Dense(1), "activation", None, "linear"),
    "by name": (lambda: keras.layers.Dense(1), "activation", "relu", "relu"),
    "initializer": (
        lambda: keras.layers.Dense(1), "bias_initializer", "ones", "Ones",
    ),
    "recurrent": (
        lambda: keras.layers.LSTMCell(1), "recurrent_activation", "tanh", "tanh",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SET)
def test_a_field_is_converted_whenever_it_is_set(case):
    make, name, value, expected = SET[case]
    layer = make()
    setattr(layer, name, value)
    kept = getattr(layer, name)
    name = getattr(kept, "__name__", type(kept).__name__)
    assert kept == expected or name == expected


def test_a_policy_by_name():
    layer = keras.layers.Dense(1)
    layer.dtype_policy = "mixed_bfloat16"
    assert (layer.compute_dtype, layer.variable_dtype) == ("bfloat16", "float32")
    assert str(layer(np.ones((1, 2))).dtype) == "bfloat16"
    layer.dtype_policy = keras.DTypePolicy("float32")
    assert str(layer(np.ones((1, 2))).dtype) == "float32"
