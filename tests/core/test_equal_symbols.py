"""Symbolic tensors compare element by element, and Python may ask which one it has."""

import numpy as np
import pytest

import carnyx as keras
from carnyx.errors import NoValueError


def test_a_list_can_be_searched_for_a_tensor():
    a, b = keras.Input((3,)), keras.Input((3,))
    assert b in [a, b]
    assert [a, b].index(b) == 1
    assert a not in [b]
    assert not a != a


def test_the_comparison_is_a_tensor_all_the_same():
    a, b = keras.Input((3,)), keras.Input((3,))
    assert (a == b).shape == (None, 3)
    model = keras.Model([a, b], keras.ops.cast(a == b, "int32"))
    x, y = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 5.0, 3.0]])
    assert model([x, y]).tolist() == [[1, 0, 1]]


def test_a_comparison_with_numbers_has_no_truth():
    with pytest.raises(NoValueError, match="True or False"):
        bool(keras.Input((3,)) == 0)


def test_name_scopes_of_one_caller_are_entered_once():
    with keras.name_scope("outer"):
        with keras.name_scope("a", caller=1), keras.name_scope("a", caller=1):
            assert keras.Variable(0.0, name="v").path == "outer/a/v"
        with keras.name_scope("a"), keras.name_scope("a") as scope:
            assert scope.name == "a"
            assert keras.Variable(0.0, name="v").path == "outer/a/a/v"
        with keras.name_scope("m", override_parent="/else/where"):
            assert keras.Variable(0.0, name="v").path == "else/where/m/v"


def test_a_variable_of_many_values_has_no_truth():
    assert keras.Variable(1.0)
    with pytest.raises(TypeError, match="more than one value"):
        bool(keras.Variable([1.0, 2.0]))
