"""A graph of operations as one operation."""

import numpy as np
import pytest

import carnyx as keras

X = keras.KerasTensor((None, 3))
ONES = np.ones((2, 3), "float32")


def test_structures_in_and_out_and_calls_on_symbols():
    a, b = keras.KerasTensor((2, 3)), keras.KerasTensor((2, 3))
    both = keras.Function({"a": a, "b": b}, [a + b, {"product": a * b}], name="f")
    total, rest = both({"a": ONES, "b": 2 * ONES})
    assert both.name == "f" and (total == 3).all() and (rest["product"] == 2).all()
    symbol = keras.KerasTensor((2, 3))
    again = keras.Function(symbol, both({"a": symbol, "b": symbol})[0])
    assert (again(ONES) == 2).all() and len(both.inputs) == len(both.outputs) == 2


def test_it_begins_at_any_tensor_on_the_way():
    middle = 2 * X
    after = keras.Function(middle, middle + 1)
    assert [o.name.split("_")[0] for o in after.operations] == ["add"]
    assert (after(ONES) == 2).all()


def test_layers_in_it_have_their_weights():
    inputs = keras.Input((3,))
    dense = keras.layers.Dense(2)
    function = keras.Function(inputs, keras.ops.relu(dense(inputs)))
    np.testing.assert_allclose(
        function(ONES), np.maximum(ONES @ np.asarray(dense.kernel), 0), rtol=1e-6
    )


def test_shapes_of_other_inputs():
    function = keras.Function(X, X**2)
    assert function.compute_output_shape((7, 3)) == (7, 3)
    assert function.compute_output_spec(keras.KerasTensor((4, 3))).shape == (4, 3)


@pytest.mark.parametrize("call, words", [
    (lambda: keras.Function([], X), "`inputs` argument cannot be empty"),
    (lambda: keras.Function(X, []), "`outputs` argument cannot be empty"),
    (lambda: keras.Function(ONES, X), "expected symbolic tensors"),
    (lambda: keras.Function(X, keras.KerasTensor((1,)) + 1), "by hand"),
    (lambda: keras.Function([X], X + 1)(ONES), "invalid input structure"),
    (lambda: keras.Function(X, X + 1)(ONES[None]), "incompatible inputs"),
    (lambda: keras.Function(X, X + 1)(ONES[:, :2]), r"shape \(2, 2\)"),
    (lambda: keras.Model(X, X + 1), "by hand"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_symbolic_scope_keeps_assignments_inside():
    count = keras.Variable(1.0)
    with keras.SymbolicScope():
        count.assign(5.0)
    assert float(count.value) == 1.0
