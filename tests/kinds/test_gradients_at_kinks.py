"""Kind: the gradient of an op is NaN where the op itself has a value.

Why it happened: at 0, at equal entries or at the end of a domain one factor of the
chain rule is infinite and the next is 0. Training starts at such points (weights of 0,
padding, rows that are constant), and one NaN is in every weight after a step.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import carnyx
from carnyx import ops
from tests.ops import test_linalg, test_math, test_nn, test_numpy_values
from tests.ops.parity import find, is_float

# What has no gradient there in mathematics either: factors of singular matrices,
# eigenvectors of equal eigenvalues; and a search among paths.
SINGULAR = {"ctc_decode", "eigh", "lstsq", "lu_factor", "qr", "svd"}


def rows():
    """The first call of each op with arrays of floats, from the tables of values."""
    found = {}
    for module, home in (
        (test_numpy_values, "ops"), (test_nn, "ops"), (test_math, "ops"),
        (test_linalg, "ops.linalg"),
    ):  # fmt: skip
        for name, args, kwargs, *_ in module.ROWS:
            if any(map(is_float, jax.tree.leaves(args))) and name not in SINGULAR:
                found.setdefault(name, (f"{home}.{name}", args, kwargs))
    return found


ROWS = rows()
POINTS = {
    "zeros": np.zeros_like,
    "ones": np.ones_like,
    "some zeros": lambda x: (np.arange(x.size).reshape(x.shape) % 3).astype(x.dtype),
}


@pytest.mark.parametrize("name", ROWS)
def test_where_there_is_a_value_the_gradient_is_a_number(name):
    path, args, kwargs = ROWS[name]
    flat, form = jax.tree.flatten(args)
    places = [i for i, x in enumerate(flat) if is_float(x)]

    def total(floats):
        now = list(flat)
        for i, x in zip(places, floats, strict=True):
            now[i] = x
        out = find(carnyx, path)(*jax.tree.unflatten(form, now), **kwargs)
        inexact = [o for o in jax.tree.leaves(out) if jnp.result_type(o).kind in "fc"]
        return sum(jnp.sum(jnp.real(o)) for o in inexact)

    for point, at in POINTS.items():
        floats = [jnp.asarray(at(flat[i])) for i in places]
        try:
            value, gradients = jax.value_and_grad(total)(floats)
        except (TypeError, ValueError, NotImplementedError):  # no gradient at all
            return
        if np.isfinite(value):
            assert not any(np.isnan(g).any() for g in gradients), point


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 3.0])
def test_powers_at_zero_have_all_derivatives(exponent):
    expected = {0: (1, 0, 0), 1: (0, 1, 0), 2: (0, 0, 2), 3: (0, 0, 0)}
    for given in (exponent, jnp.array(exponent)):
        fns = [functools.partial(lambda n, x: ops.power(x, n), given)]
        for _ in range(2):
            fns.append(jax.grad(fns[-1]))
        assert tuple(float(f(0.0)) for f in fns) == expected[exponent]


def test_powers_have_the_gradients_of_mathematics():
    x, y = jnp.array([0.5, 2.0, 3.0]), jnp.array([-1.5, 0.3, 2.0])
    by_x, by_y = jax.grad(lambda x, y: ops.power(x, y).sum(), (0, 1))(x, y)
    np.testing.assert_allclose(by_x, y * x ** (y - 1), 1e-6)
    np.testing.assert_allclose(by_y, x**y * np.log(x), 1e-6)
    jax.test_util.check_grads(ops.power, (x, y), 2, modes=["fwd", "rev"], rtol=2e-2)


@pytest.mark.parametrize("order", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
@pytest.mark.parametrize("x", [np.zeros((2, 3)), np.ones((2, 3)), np.eye(3)], ids=len)
def test_norms_of_matrices(order, x):
    gradient = jax.grad(lambda a: ops.norm(a, ord=order, axis=(0, 1)))
    assert np.isfinite(gradient(x.astype("float32"))).all()


@pytest.mark.parametrize("order", [None, 0, 0.5, 1, -1, 2, 3, -2, np.inf, -np.inf])
@pytest.mark.parametrize("x", [[0.0] * 3, [0.0, 1, 2], [1.0] * 3], ids=str)
def test_norms_of_vectors(order, x):
    gradient = jax.grad(lambda a: ops.norm(a, ord=order))(jnp.array(x))
    assert np.isfinite(gradient).all()
    if order != 0:
        with np.errstate(divide="ignore"):
            expected = np.linalg.norm(np.array(x), order) if any(x) else 0
        np.testing.assert_allclose(ops.norm(jnp.array(x), ord=order), expected, 1e-6)


def test_the_correlations_of_other_rows_are_learned_from():
    x = jnp.array([[1.0, 1, 1], [1, 2, 4], [1, 5, 3]])
    found = ops.corrcoef(x)
    np.testing.assert_allclose(found[1:, 1:], np.corrcoef(x[1:]), 1e-6)
    assert np.isnan(found[0]).all() and np.isnan(found[:, 0]).all()
    gradient = jax.grad(lambda x: ops.corrcoef(x)[1, 2])(x)
    alone = jax.grad(lambda x: ops.corrcoef(x)[0, 1])(x[1:])
    np.testing.assert_allclose(gradient, np.r_[np.zeros((1, 3)), alone], 1e-5, 1e-6)
