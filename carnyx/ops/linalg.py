"""`keras.ops.linalg`: decompositions and solutions, on the last two axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnyx._core.op import op
from carnyx._core.scope import is_tracer
from carnyx._numbers import integer
from carnyx.errors import ArgumentError, ShapeError
from carnyx.ops._dtypes import tensor, to_float, to_floats
from carnyx.ops._once import once
from carnyx.ops._safe import power, root
from carnyx.ops._thin import axes as hashable
from carnyx.typing import Axis, Tensor, Tensors

# fmt: off
__all__ = [
    "cholesky", "cholesky_inverse", "det", "eig", "eigh", "inv", "jvp", "lstsq",
    "lu_factor", "matrix_power", "matrix_rank", "norm", "pinv", "qr", "solve",
    "solve_triangular", "svd",
]
# fmt: on


def _matrix(x: Tensor, square: bool = False) -> jax.Array:
    x = to_float(x)
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        wanted = "(…, n, n)" if square else "(…, m, n)"
        raise ShapeError(f"Got an array of shape {x.shape}; expected {wanted}.")
    return x


def _system(a: Tensor, b: Tensor) -> tuple[jax.Array, jax.Array]:
    a, b = _matrix(a, square=True), to_float(b)
    rows = -2 if a.ndim == b.ndim else -1
    if b.ndim < 1 or b.shape[rows] != a.shape[-1]:
        raise ShapeError(
            f"Got a of shape {a.shape} and b of shape {b.shape}; expected b to have "
            f"{a.shape[-1]} rows."
        )
    return a, b


@op
def cholesky(x: Tensor, upper: bool = False) -> Tensor:
    """The triangular L with x = L L' (or U with x = U' U).

    Raises:
        ArgumentError: when x is not positive definite, and not traced.
    """
    factor = jnp.linalg.cholesky(_matrix(x, square=True), upper=upper)
    if not is_tracer(factor) and bool(jnp.isnan(factor).any()):
        raise ArgumentError("cholesky got a matrix that is not positive definite.")
    return factor


@op
def matrix_power(x: Tensor, n: int) -> Tensor:
    """x multiplied with itself n times; for n < 0 the inverse of x, for 0 the identity.

    >>> matrix_power(jnp.array([[1.0, 1.0], [0.0, 1.0]]), -3).tolist()
    [[1.0, -3.0], [0.0, 1.0]]
    """
    return jnp.linalg.matrix_power(_matrix(x, square=True), integer(n, "n"))


@op
def cholesky_inverse(x: Tensor, upper: bool = False) -> Tensor:
    """The inverse of a matrix from its Cholesky factor."""
    factor = _matrix(x, square=True)
    identity = jnp.broadcast_to(jnp.eye(factor.shape[-1], dtype=factor.dtype), x.shape)
    inverse = jax.scipy.linalg.solve_triangular(factor, identity, lower=not upper)
    other = jnp.swapaxes(inverse, -1, -2)
    return inverse @ other if upper else other @ inverse


@op
def det(x: Tensor) -> Tensor:
    """The determinant."""
    return jnp.linalg.det(_matrix(x, square=True))


@op
def eig(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors (columns), complex; on a CPU only."""
    values, vectors = jnp.linalg.eig(_matrix(x, square=True))
    return values, vectors


@op
def eigh(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and eigenvectors (columns) of a symmetric matrix."""
    values, vectors = jnp.linalg.eigh(_matrix(x, square=True))
    return values, vectors


@op
def inv(x: Tensor) -> Tensor:
    """The inverse."""
    return jnp.linalg.inv(_matrix(x, square=True))


@op
def lu_factor(x: Tensor) -> tuple[Tensor, Tensor]:
    """L (unit diagonal left out) and U in one matrix, and the rows exchanged."""
    factors, pivots = jax.scipy.linalg.lu_factor(_matrix(x))
    return factors, pivots


@op
def norm(
    x: Tensor, ord: int | float | str | None = None, axis: Axis = None,
    keepdims: bool = False,
) -> Tensor:  # fmt: skip
    """The norm of vectors (one axis) or matrices (two), as `numpy.linalg.norm`.

    The gradient of a length of 0 is 0.

    >>> float(norm([3.0, 4.0]))
    5.0
    """
    x, over = to_float(x), hashable(axis)
    over = range(x.ndim) if over is None else np.atleast_1d(over)
    if ord in (np.inf, -np.inf) or (ord in (1, -1) and len(over) == 2):
        return _extreme_norm(x, ord, [int(a) for a in over], keepdims)
    one_axis = len(over) == 1
    if ord is None or (ord == 2 and one_axis) or (ord == "fro" and len(over) == 2):
        squares = jnp.real(x * jnp.conj(x))
        return root(jnp.sum(squares, tuple(int(a) for a in over), keepdims=keepdims))
    if one_axis and isinstance(ord, int | float) and ord not in (0, 1):
        powers = jnp.sum(power(jnp.abs(x), ord), int(over[0]), keepdims=keepdims)
        return power(powers, 1 / ord)
    return jnp.linalg.norm(x, ord, hashable(axis), keepdims)


def _extreme_norm(x: jax.Array, ord: Any, axes: list[int], keepdims: bool) -> jax.Array:
    """The largest or least size of an entry, or sum of sizes of a row or column."""
    if len(axes) > 2:
        raise ArgumentError(f"norm got ord={ord} for {len(axes)} axes; give axis=.")
    extreme, sizes = jnp.max if ord > 0 else jnp.min, jnp.abs(x)
    if len(axes) == 2:
        sizes = jnp.sum(sizes, axes[0 if abs(ord) == 1 else 1], keepdims=True)
    out = extreme(once(sizes), tuple(axes), keepdims=True)
    return out if keepdims else jnp.squeeze(out, tuple(axes))


@op
def pinv(x: Tensor, rcond: float | None = None) -> Tensor:
    """The pseudo-inverse; singular values below rcond times the largest count as 0."""
    return jnp.linalg.pinv(_matrix(x), rcond)


@op
def qr(x: Tensor, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    """Q with orthonormal columns and upper triangular R with x = Q R."""
    if mode not in ("reduced", "complete"):
        raise ArgumentError(f"qr got mode={mode!r}; expected 'reduced' or 'complete'.")
    q, r = jnp.linalg.qr(_matrix(x), mode)
    return q, r


@op
def solve(a: Tensor, b: Tensor) -> Tensor:
    """x with a x = b, for a vector b or the columns of a matrix b."""
    a, b = _system(a, b)
    if a.ndim == b.ndim:
        return jnp.linalg.solve(a, b)
    return jnp.linalg.solve(a, b[..., None])[..., 0]


@op
def solve_triangular(a: Tensor, b: Tensor, lower: bool = False) -> Tensor:
    """x with a x = b, reading only one triangle of a."""
    a, b = _system(*to_floats(a, b))
    if a.ndim == b.ndim:
        return jax.scipy.linalg.solve_triangular(a, b, lower=lower)
    x = jax.scipy.linalg.solve_triangular(a, b[..., None], lower=lower)
    return x[..., 0]


@op
def svd(x: Tensor, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """U, s, V' with x = U diag(s) V', or the singular values alone, descending."""
    out = jnp.linalg.svd(_matrix(x), full_matrices, compute_uv)
    return tuple(out) if compute_uv else out


@op
def lstsq(a: Tensor, b: Tensor, rcond: float | None = None) -> Tensor:
    """x with the least |a x - b|, and among those the least |x|."""
    return jnp.linalg.lstsq(to_float(a), to_float(b), rcond)[0]


@op
def matrix_rank(x: Tensor, tol: float | None = None) -> Tensor:
    """How many singular values are above `tol`."""
    return jnp.linalg.matrix_rank(_matrix(x), tol).astype("int32")


@op
def jvp(
    fun: Callable[..., Tensors],
    primals: Tensors,
    tangents: Tensors,
    has_aux: bool = False,
) -> Any:
    """`fun(*primals)`, its derivative along `tangents`, and what else `fun` returns."""
    arrays = (jax.tree.map(tensor, tuple(a)) for a in (primals, tangents))
    return jax.jvp(fun, *arrays, has_aux=has_aux)
