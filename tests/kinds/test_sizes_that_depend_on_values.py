"""Kind: a size, index or number that is known only when values are.

Why it happened: an op asked a symbolic tensor for a number, so a graph could not have
it at all; or a trace was left to JAX, which speaks of its own inside. In a graph such a
size is None. Where values are there it is computed; a compiled function, which has to
know every size, says what to give.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import carnyx as keras
from carnyx import ops

X = np.arange(12, dtype="float32").reshape(4, 3)


def symbol(*shape, dtype="float32"):
    return keras.KerasTensor(shape, dtype=dtype)


def number():
    return symbol(dtype="int32")


# the op on symbolic tensors, and the shapes that are known
IN_GRAPHS = {
    "segment_sum": (lambda: ops.segment_sum(symbol(None, 4), number_of(10)), (None, 4)),
    "segment_max": (lambda: ops.segment_max(symbol(10), number_of(10)), (None,)),
    "segments known": (
        lambda: ops.segment_sum(symbol(3, 2), np.array([0, 0, 4])),
        (5, 2),
    ),
    "slice": (lambda: ops.slice(symbol(4, 3), number_of(2), (-1, 2)), (None, 2)),
    "slice by numbers": (lambda: ops.slice(symbol(4, 3), [1, 1], (-1, 2)), (3, 2)),
    "reshape by None": (
        lambda: ops.reshape(symbol(None, 6), (None, 3, 2)),
        (None, 3, 2),
    ),
    "reshape by shape": (
        lambda: ops.reshape(x := symbol(None, 6), (ops.shape(x)[0], 2, 3)),
        (None, 2, 3),
    ),
    "reshape by a tensor": (lambda: ops.reshape(symbol(4, 6), (number(), 3)), (8, 3)),
    "hsplit": (lambda: ops.hsplit(symbol(3, None), 2)[1], (3, None)),
    "vsplit": (lambda: ops.vsplit(symbol(None, 4), 2)[1], (None, 4)),
    "dsplit": (lambda: ops.dsplit(symbol(2, 3, None), 2)[1], (2, 3, None)),
    "array_split": (lambda: ops.array_split(symbol(None, 4), 3)[2], (None, 4)),
}


def number_of(n):
    return symbol(n, dtype="int32")


@pytest.mark.parametrize("name", IN_GRAPHS)
def test_in_a_graph_the_size_is_not_known(name):
    make, expected = IN_GRAPHS[name]
    assert make().shape == expected


def test_where_there_are_values_the_size_is_computed():
    assert ops.segment_sum(X, [0, 0, 2, 2]).tolist() == [
        [3, 5, 7],
        [0] * 3,
        [15, 17, 19],
    ]
    assert ops.slice(X, jnp.array([2, 1]), (-1, -1)).tolist() == [[7, 8], [10, 11]]
    assert ops.reshape(X, (jnp.array(6), -1)).shape == (6, 2)


def test_a_model_takes_sizes_from_what_it_is_given():
    x, ids = keras.Input((6,)), keras.Input((), dtype="int32")
    model = keras.Model(
        [x, ids],
        [ops.reshape(x, (ops.shape(x)[0], 2, 3)), ops.segment_sum(x, ids, 2)],
    )
    rows, sums = model([np.ones((3, 6), "float32"), np.array([0, 1, 1])])
    assert rows.shape == (3, 2, 3) and sums[:, 0].tolist() == [1, 2]


WHILE_COMPILED = {
    "slice": (lambda n: ops.slice(X, n, (-1, -1)), "Give the size, or the start"),
    "segment_sum": (lambda n: ops.segment_sum(X[:2], n), "Give num_segments="),
    "reshape": (lambda n: ops.reshape(X, n), "of which one may be -1 or unknown"),
}


@pytest.mark.parametrize("name", WHILE_COMPILED)
def test_a_compiled_function_says_what_to_give(name):
    fn, said = WHILE_COMPILED[name]
    with pytest.raises(ValueError, match=said):
        jax.jit(fn)(jnp.array([1, 1]))


def test_one_computed_size_is_what_is_left():
    assert jax.jit(lambda n: ops.reshape(X, (n, 2)))(6).shape == (6, 2)


FLOATS = {
    "scatter": (lambda i: ops.scatter(i, symbol(5), (4, 4)), (5, 2), (4, 4)),
    "scatter_update": (lambda i: ops.scatter_update(symbol(4, None), i, symbol(5)),
                       (5, 2), (4, None)),
    "slice": (lambda i: ops.slice(symbol(4, None), i, (2, 2)), (2,), (2, 2)),
    "slice_update": (lambda i: ops.slice_update(symbol(4, None), i, symbol(2, 2)),
                     (2,), (4, None)),
    "take": (lambda i: ops.take(symbol(5, 3), i, 0), (None,), (None, 3)),
    "take_along_axis": (lambda i: ops.take_along_axis(symbol(5, 3), i, 1),
                        (5, 1), (5, 1)),
    "in_top_k": (lambda i: ops.in_top_k(i, symbol(None, 10), 1), (None,), (None,)),
    "switch": (lambda i: ops.switch(i, [abs, ops.sin], symbol(5, 2)), (), (5, 2)),
    "unravel_index": (lambda i: ops.unravel_index(i, (3, 4))[1], (None,), (None,)),
}  # fmt: skip


@pytest.mark.parametrize("name", FLOATS)
def test_indices_in_a_graph_may_be_of_floats_until_they_have_values(name):
    fn, shape, expected = FLOATS[name]
    assert fn(symbol(*shape)).shape == expected


def test_floats_with_values_are_no_indices():
    model = keras.Model(i := keras.Input((2,)), ops.take(X, i, axis=0))
    with pytest.raises(ValueError, match="take got"):
        model(np.ones((1, 2), "float32"))


def test_a_symbolic_tensor_takes_no_argument_that_it_does_not_know():
    with pytest.raises(TypeError, match="foo"):
        keras.KerasTensor((2,), foo=3)
