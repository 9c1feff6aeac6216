"""Products that sum over axes, and what belongs to matrices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from carnyx._core.op import op
from carnyx._core.scope import distributed, fast_gradients
from carnyx.errors import ArgumentError
from carnyx.ops._dtypes import tensor
from carnyx.ops._spatial import known, on_cpu
from carnyx.ops._thin import binary
from carnyx.typing import Tensor

# fmt: off
__all__ = [
    "correlate", "cross", "dot", "einsum", "inner", "kron", "matmul", "outer",
    "slogdet", "tensordot", "trace", "vdot", "vectorize",
]
# fmt: on

dot = binary(
    jnp.dot, "Sums over the last axis of x1 and the last but one of x2.", False
)
vdot = binary(jnp.vdot, "sum(conj(x1) x2) of both flattened.", False)
inner = binary(jnp.inner, "Sums of products over the last axes of both.", False)
outer = binary(jnp.outer, "x1[i] x2[j] of both flattened.", False)
kron = binary(jnp.kron, "Kronecker's product: the matrix of blocks x1[i, j] x2.", False)


_INT8 = np.dtype("int8")


def _accumulator(*operands: jax.Array) -> str | None:
    """int32 for products of int8 alone, which would overflow; else the default."""
    return "int32" if all(x.dtype == _INT8 for x in operands) else None


@jax.custom_vjp
def _tall_product(x: jax.Array, w: jax.Array) -> jax.Array:
    return x @ w


def _tall_backward(saved: Any, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, w = saved
    # As the transpose of g'x, which without the barrier XLA makes x'g again.
    return g @ w.T, lax.optimization_barrier(g.T @ x).T


_tall_product.defvjp(lambda x, w: (x @ w, (x, w)), _tall_backward)


def _product(x: jax.Array, w: jax.Array) -> jax.Array:
    """x @ w of two matrices.

    A CPU forms the gradient of a w with many more rows than columns faster transposed:
    12.4 ms for 21 (4096 x 1024 by 1024 x 256), 2.5 for 4.1 (128 x 9216 by 9216 x 128).
    """
    tall = known(w) and w.shape[0] >= 2 * w.shape[1] and on_cpu()
    if tall and fast_gradients() and x.dtype == w.dtype and x.dtype.kind != "i":
        return _tall_product(x, w)
    return jnp.matmul(x, w, preferred_element_type=_accumulator(x, w))


@op
def matmul(x1: Tensor, x2: Tensor) -> Tensor:
    """The product of matrices, broadcasting over the axes before the last two.

    Shapes: (…, n, k), (…, k, m) -> (…, n, m); a vector is a row before, a column after
    """
    x1, x2 = tensor(x1), tensor(x2)
    if x1.ndim < 2 or x2.ndim != 2 or x1.shape[-1] != x2.shape[0]:
        return jnp.matmul(x1, x2, preferred_element_type=_accumulator(x1, x2))
    # One matrix on the right: as a product of two matrices, whose gradients take a CPU
    # 8.3 ms where those of the batched one take 12.6 (32 x 128 x 256 by 256 x 512).
    rows = x1.reshape(math.prod(x1.shape[:-1]), x1.shape[-1])
    return _product(rows, x2).reshape(*x1.shape[:-1], x2.shape[-1])


def _contracted(subscripts: str, x: jax.Array, w: jax.Array) -> int:
    """How many axes c end x and begin w in "…c,cw->…w"; 0: it is not of that form."""
    operands, _, out = subscripts.replace(" ", "").partition("->")
    left, _, right = operands.partition(",")
    fits = len(right) == w.ndim and ("..." in left or len(left) == x.ndim)
    for n in range(1, len(right) + 1) if fits else ():
        letters = left.removeprefix("...") + right[n:]
        plain = letters.isalpha() and len(set(letters)) == len(letters)
        if plain and left[-n:] == right[:n] and out == left[:-n] + right[n:]:
            return n if left[:-n] and x.shape[-n:] == w.shape[:n] else 0
    return 0


@op
def einsum(subscripts: str, *operands: Tensor, **kwargs: Any) -> Tensor:
    """Einstein's summation: sums over the letters that the result does not have.

    >>> einsum("ij,j->i", [[1, 2], [3, 4]], [1, 10]).tolist()
    [21, 43]

    Args:
        **kwargs: those of `jax.numpy.einsum`, such as `precision`.
    """
    arrays = [tensor(x) for x in operands]
    if len(arrays) == 2 and not (kwargs or distributed()) and all(map(known, arrays)):
        x, w = arrays
        n = _contracted(subscripts, x, w)
        if n:  # a projection, for which a product of matrices is faster (see matmul)
            rows = x.reshape(-1, math.prod(w.shape[:n]))
            y = _product(rows, w.reshape(rows.shape[1], -1))
            return y.reshape(*x.shape[:-n], *w.shape[n:])
    kwargs.setdefault("preferred_element_type", _accumulator(*arrays))
    return jnp.einsum(subscripts, *arrays, **kwargs)


@op
def tensordot(x1: Tensor, x2: Tensor, axes: Any = 2) -> Tensor:
    """Sums over the last n axes of x1 and first n of x2, or two lists of axes."""
    return jnp.tensordot(tensor(x1), tensor(x2), axes)


@op
def cross(
    x1: Tensor,
    x2: Tensor,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Tensor:
    """The cross product of vectors along an axis.

    The third entry of vectors of 2 is 0; of two of them the result is its third entry.

    Args:
        axisa, axisb, axisc: where the vectors are in x1, in x2, in the result.
        axis: one for all three.
    """
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    a, b = jnp.moveaxis(tensor(x1), axisa, -1), jnp.moveaxis(tensor(x2), axisb, -1)
    if a.shape[-1] == b.shape[-1] == 2:
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    a, b = (_in_space(v) for v in (a, b))
    return jnp.moveaxis(jnp.cross(a, b), -1, axisc)


def _in_space(v: jax.Array) -> jax.Array:
    return jnp.pad(v, [(0, 0)] * (v.ndim - 1) + [(0, 1)]) if v.shape[-1] == 2 else v


@op
def correlate(x1: Tensor, x2: Tensor, mode: str = "valid") -> Tensor:
    """sum_n x1[n + k] conj(x2[n]) for each shift k of two vectors.

    Args:
        mode: the shifts: `"valid"` full overlap, `"same"` as many as x1, `"full"` all.
    """
    return jnp.correlate(tensor(x1), tensor(x2), mode)


@op
def trace(x: Tensor, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sum of a diagonal of the planes of two axes."""
    return jnp.trace(tensor(x), offset, axis1, axis2)


@op
def slogdet(x: Tensor) -> tuple[Tensor, Tensor]:
    """The sign of the determinant and the logarithm of its absolute value.

    Shapes: (…, n, n) -> (…,), (…,)
    """
    return tuple(jnp.linalg.slogdet(tensor(x)))


def vectorize(
    pyfunc: Callable[..., Any],
    *,
    excluded: set[int | str] | None = None,
    signature: str | None = None,
) -> Callable[..., Any]:
    """A function of single entries made one of arrays, broadcasting.

    Args:
        excluded: positions and names of arguments to pass as they are.
        signature: the axes that `pyfunc` takes itself, as in `"(n,m),(m)->(n)"`.
    """
    if not callable(pyfunc):
        raise ArgumentError(f"vectorize got {pyfunc!r}; expected a function.")
    return jnp.vectorize(pyfunc, excluded=excluded or set(), signature=signature)
