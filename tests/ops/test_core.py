"""`carnyx.ops.core` against Keras 3.15 on JAX."""

import jax
import jax.numpy as jnp
import keras
import ml_dtypes
import numpy as np
import pytest

import carnyx.ops.core as ours
from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable
from tests.ops.parity import check, check_symbolic, same

rng = np.random.default_rng(0)
X = rng.normal(size=(3, 4)).astype("float32")
V, INTS = X[0].copy(), np.array([-300, -1, 0, 7, 255, 70_000], "int32")
BIG = np.array([-np.inf, -1e9, -0.5, 0.5, 3e9, 1e38, np.inf], "float32")
AT = np.array([[0, 1], [2, 3], [0, 1]])
NEW = np.array([5.0, -6.0, 7.0], "float32")
DTYPES = "bool int8 uint8 int32 uint32 float16 bfloat16 float32".split()


def add(a, b):
    return a + b


ROWS = [
    ("map", (lambda x: 2 * x[0], X), {}),
    ("vectorized_map", (lambda x: x.sum(), X), {}),
    ("vectorized_map", (lambda xs: xs[0] * xs[1], [X, X]), {}),
    *[
        ("scan", (lambda c, x: (c + x, c * x), V, X), dict(reverse=r, unroll=u))
        for r, u in ((False, 1), (True, 2), (False, True))
    ],
    ("scan", (lambda c, _: (c * 2, c), V), dict(length=3)),
    ("associative_scan", (add, X), {}),
    ("associative_scan", (add, X), dict(reverse=True, axis=1)),
    ("associative_scan", (lambda a, b: [a[0] + b[0], a[1] * b[1]], [X, X]), {}),
    ("while_loop", (lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), (0, 1.5)), {}),
    ("while_loop", (lambda i: i < 9, lambda i: i + 2, 0), {}),
    ("while_loop", (lambda i: i < 9, lambda i: i + 2, 0), dict(maximum_iterations=2)),
    ("while_loop", (lambda i, j: i < 9, lambda i, j: [i + 2, j], [0, 1]), {}),
    ("fori_loop", (1, 4, lambda i, x: x * i, V), {}),
    *[("cond", (p, lambda: V + 1, lambda: V), {}) for p in (True, False)],
    *[("switch", (i, [lambda x: x, lambda x: -x], X), {}) for i in (0, 1, 7)],
    *[("cast", (INTS, d), {}) for d in DTYPES],
    *[("saturate_cast", (x, d), {}) for x in (BIG, BIG > 0) for d in DTYPES],
    *[("saturate_cast", (INTS, d), {}) for d in DTYPES[:6]],  # Keras fails for more
    ("convert_to_tensor", ([1, 2],), {}),
    ("convert_to_tensor", (X,), dict(dtype="bfloat16")),
    ("convert_to_tensor", (2.5,), {}),
    ("scatter", (AT, NEW, (3, 4)), {}),
    ("scatter", (AT[:, :1], X, (5, 4)), {}),
    *[
        ("scatter_update", (X, AT[:2], NEW[:2]), dict(reduction=r))
        for r in (None, "add", "max", "min", "mul")
    ],
    ("scatter_update", (X, AT[:2, :1], X[:2] + 1), {}),
    ("slice", (X, [1, 0], [2, -1]), {}),
    ("slice", (X, [0, 1], [1, 2]), {}),
    ("slice_update", (X, [1, 2], X[:2, :2] * 9), {}),
    ("stop_gradient", (X,), {}),
    ("unstack", (X,), {}),
    ("unstack", (X, 4, 1), {}),
]  # fmt: skip
FORWARD = {"while_loop", "saturate_cast", "fori_loop", "cast"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_values_dtypes_and_gradients_are_those_of_keras(row):
    name, args, kwargs = row
    gradient = name not in FORWARD and "mul" not in kwargs.values()
    mine, theirs = getattr(ours, name), getattr(keras.ops, name)
    if not any(isinstance(a, np.ndarray) for a in jax.tree.leaves(args)):
        same(mine(*args, **kwargs), theirs(*args, **kwargs))
        return
    check(mine, theirs, args, kwargs, gradient=gradient)


SYMBOLIC = ["cast", "saturate_cast", "stop_gradient", "scatter_update", "slice_update"]


@pytest.mark.parametrize("name", SYMBOLIC)
def test_static_shapes_of_an_unknown_batch_are_those_of_keras(name):
    args, kwargs = next((a, k) for n, a, k in ROWS if n == name)
    check_symbolic(getattr(ours, name), getattr(keras.ops, name), args, kwargs)


def test_control_flow_takes_symbolic_tensors():
    x = KerasTensor((None, 4))
    carry, out = ours.scan(lambda c, row: (c + row, c.sum()), np.zeros(4, "float32"), x)
    assert (carry.shape, out.shape) == ((4,), (None,))
    assert ours.vectorized_map(lambda row: row[:2], x).shape == (None, 2)
    assert ours.slice(x, [0, 1], [2, 2]).shape == (2, 2)
    assert [part.shape for part in ours.unstack(x, axis=1)] == [(None,)] * 4
    assert ours.shape(x) == (None, 4) and ours.dtype(x) == "float32"


def test_integers_saturate_to_wide_floats_unchanged():
    for wide in ("bfloat16", "float32"):  # Keras 3.15 gives -2**31 for all
        same(ours.saturate_cast(INTS, wide), INTS.astype(wide))


def test_variables_are_read():
    v = Variable(X)
    same(ours.slice(v, [0, 0], [1, 2]), X[:1, :2])
    same(ours.convert_to_tensor(v), X)
    assert type(ours.convert_to_numpy(v)) is np.ndarray


def test_conversions_keep_values_and_identity():
    x = jnp.ones(2)
    assert ours.convert_to_tensor(x) is x
    assert ours.convert_to_numpy(jnp.ones(2, "bfloat16")).dtype == ml_dtypes.bfloat16
    out = ours.convert_to_numpy(x)
    out[0] = 7  # a copy that may be written
    assert x[0] == 1
    assert ours.is_tensor(x) and not ours.is_tensor(out)
    assert not ours.is_tensor(KerasTensor((1,)))
    assert ours.shape([[1, 2]]) == (1, 2)


def test_custom_gradient_rules_and_leaves_operators_alone():
    @ours.custom_gradient
    def add(x, y):
        return x + y, lambda g: (10 * g, -g)

    gradients = jax.grad(lambda x, y: add(x, y), (0, 1))(1.0, 2.0)
    assert tuple(map(float, gradients)) == (10.0, -1.0)
    assert float(add(Variable(1.0), 2.0)) == 3.0
    assert float(Variable(1.0) + 1.0) == 2.0


ERRORS = [
    ("unroll got 0", "scan", (add, V, X), dict(unroll=0)),
    ("reduction='x'", "scatter_update", (X, AT, NEW), dict(reduction="x")),
    ("dense tensors only", "convert_to_tensor", (X,), dict(sparse=True)),
    ("num=3", "unstack", (X, 3, 1), {}),
    ("no value yet", "convert_to_numpy", (KerasTensor((2,)),), {}),
]


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: row[1])
def test_errors_say_what_they_got_and_what_is_expected(row):
    text, name, args, kwargs = row
    with pytest.raises(ValueError, match=text):
        getattr(ours, name)(*args, **kwargs)
