"""`carnyx.ops.linalg` against Keras 3.15 on JAX."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import carnyx.ops.linalg as ours
from tests.ops.parity import check, check_symbolic, same

rng = np.random.default_rng(0)
A = rng.normal(size=(2, 3, 3)).astype("float32") + 2 * np.eye(3, dtype="float32")
SPD = (A @ A.swapaxes(1, 2)).astype("float32")
LOW = np.linalg.cholesky(SPD).astype("float32")
UP = np.ascontiguousarray(LOW.swapaxes(1, 2))
B, V = A[:, :, :2].copy(), A[:, 0].copy()
TALL = rng.normal(size=(5, 3)).astype("float32")
INTS = np.array([[2, 1], [1, 3]])

ROWS = [
    ("cholesky", (SPD,), {}),
    ("cholesky", (SPD,), dict(upper=True)),
    ("cholesky_inverse", (LOW[0],), {}),
    ("cholesky_inverse", (UP[0],), dict(upper=True)),
    ("det", (A,), {}),
    ("det", (INTS,), {}),
    ("eigh", (SPD,), {}),
    ("inv", (A,), {}),
    ("inv", (INTS,), {}),
    ("lu_factor", (A,), {}),
    ("lu_factor", (A[0],), {}),
    ("solve", (A, B), {}),
    ("solve", (A[0], V[0]), {}),
    ("solve_triangular", (LOW, B), dict(lower=True)),
    ("solve_triangular", (UP, B), {}),
    ("qr", (TALL,), {}),
    ("qr", (TALL,), dict(mode="complete")),
    ("svd", (TALL,), dict(full_matrices=False)),
    ("svd", (TALL,), {}),
    ("svd", (A,), dict(compute_uv=False)),
    ("lstsq", (TALL, TALL[:, 0].copy()), {}),
    ("matrix_rank", (A,), {}),
    ("matrix_rank", (TALL @ np.ones((3, 3), "float32"),), dict(tol=1e-3)),
    ("pinv", (TALL,), {}),
    *[("norm", (A,), dict(axis=axis)) for axis in (None, -1, (1, 2))],
    *[("norm", (TALL,), dict(ord=o)) for o in ("fro", "nuc", 1, 2, -1)],
    *[("norm", (TALL[0],), dict(ord=o)) for o in (1, 3, np.inf, -np.inf, 0)],
    ("norm", (A,), dict(ord=1, axis=(-2, -1), keepdims=True)),
    ("norm", (INTS,), {}),
]
NO_GRADIENT = {"matrix_rank", "lu_factor"}  # (pivots are integers)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_values_dtypes_and_gradients_are_those_of_keras(row):
    name, args, kwargs = row
    smooth = name not in NO_GRADIENT and kwargs.get("mode") != "complete"
    smooth &= name != "svd" or len(kwargs) > 0
    theirs = getattr(keras.ops.linalg, name)
    check(getattr(ours, name), theirs, args, kwargs, 1e-4, smooth)


@pytest.mark.parametrize(
    "row", [r for r in ROWS if r[1][0].ndim == 3], ids=lambda row: row[0]
)
def test_static_shapes_of_an_unknown_batch_are_those_of_keras(row):
    name, args, kwargs = row
    if name in ("lu_factor", "matrix_rank"):
        pytest.skip("Keras infers no batch of pivots, or a float rank")
    check_symbolic(
        getattr(ours, name), getattr(keras.ops.linalg, name), args, kwargs, len(args)
    )


def test_eigenvectors_of_general_matrices():
    values, vectors = ours.eig(A)
    np.testing.assert_allclose(A @ vectors, vectors * values[:, None], atol=1e-4)


def test_a_vector_is_solved_for_in_a_batch():
    x = ours.solve(A, V)
    np.testing.assert_allclose((A @ x[..., None])[..., 0], V, atol=1e-4)
    same(ours.solve_triangular(LOW[0], V[0], lower=True)[:, None],
         ours.solve_triangular(LOW[0], V[0][:, None], lower=True))  # fmt: skip


def test_cholesky_inverse_takes_batches():
    np.testing.assert_allclose(
        ours.cholesky_inverse(LOW) @ SPD, np.broadcast_to(np.eye(3), A.shape), atol=1e-3
    )


def test_jvp_gives_the_derivative_along_the_tangents():
    out = ours.jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 10.0))
    assert tuple(map(float, out)) == (6.0, 23.0)
    out = ours.jvp(lambda x: (x**2, "aux"), (3.0,), (1.0,), has_aux=True)
    assert (float(out[0]), float(out[1]), out[2]) == (9.0, 6.0, "aux")


def test_cholesky_says_so_when_it_fails_but_only_where_it_can_know():
    with pytest.raises(ValueError, match="not positive definite"):
        ours.cholesky(-SPD)
    assert jnp.isnan(jax.jit(ours.cholesky)(-SPD)).any()


ERRORS = [
    ("expected \\(…, n, n\\)", "det", (TALL,), {}),
    ("expected \\(…, m, n\\)", "pinv", (V[0],), {}),
    ("expected b to have 3 rows", "solve", (A[0], TALL), {}),
    ("expected 'reduced' or 'complete'", "qr", (TALL, "x"), {}),
]


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: row[1])
def test_errors_say_what_they_got_and_what_is_expected(row):
    text, name, args, kwargs = row
    with pytest.raises(ValueError, match=text):
        getattr(ours, name)(*args, **kwargs)
