"""The same entries in another arrangement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
from jax import lax

from carnyx._core.memory import ensure_room
from carnyx._core.op import op
from carnyx._core.scope import is_tracer
from carnyx._numbers import REFUSED, as_integer, integer
from carnyx.errors import ArgumentError, ArgumentTypeError, ShapeError
from carnyx.ops._dtypes import given_dtype, tensor
from carnyx.ops._thin import axes, named, unary
from carnyx.typing import Axis, DTypeLike, ShapeLike, Tensor

# fmt: off
__all__ = [
    "append", "array_split", "broadcast_to", "column_stack", "concatenate", "diag",
    "diagflat", "diagonal", "diff", "dsplit", "dstack", "expand_dims", "flip", "fliplr",
    "flipud", "hsplit", "hstack", "moveaxis", "ndim", "pad", "ravel", "repeat",
    "reshape", "roll", "rot90", "size", "split", "squeeze", "stack", "swapaxes", "tile",
    "transpose", "tril", "triu", "view", "vsplit", "vstack",
]
# fmt: on

ravel = unary(jnp.ravel, "All entries in one axis.")
fliplr = unary(jnp.fliplr, "x with its second axis reversed.")
flipud = unary(jnp.flipud, "x with its first axis reversed.")
size = unary(jnp.size, "The number of entries.")


def ndim(x: Tensor) -> int:
    """The number of axes, known also of a symbolic tensor."""
    return len(x.shape) if hasattr(x, "shape") else np.ndim(x)


@op
def reshape(x: Tensor, newshape: ShapeLike | int) -> Tensor:
    """The entries of x, in order, in another shape.

    One size may be -1, None (as `ops.shape` says of what is not known) or computed in
    a compiled function: it is what is left.

    >>> reshape([[1, 2, 3], [4, 5, 6]], (-1, 2)).tolist()
    [[1, 2], [3, 4], [5, 6]]
    """
    shape: Any = tuple(newshape) if np.iterable(newshape) else (newshape,)  # type: ignore
    shape = [-1 if n is None or is_tracer(n) else n for n in shape]
    sizes = [n for n in shape if isinstance(n, int | np.integer)]  # others: symbolic
    if sizes.count(-1) > 1 or any(n < -1 for n in sizes):
        raise ArgumentError(
            f"reshape got {newshape}; expected sizes >= 0, of which one may be -1 or "
            "unknown: inside the call of a layer all are known."
        )
    return jnp.reshape(tensor(x), shape)


@op
def view(x: Tensor, dtype: DTypeLike = None) -> Tensor:
    """The bits of x read as another dtype."""
    return tensor(x).view(given_dtype(dtype))


@op
def transpose(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """x with its axes in another order (None: reversed)."""
    return jnp.transpose(tensor(x), axes)


@op
def moveaxis(x: Tensor, source: Axis, destination: Axis) -> Tensor:
    """x with the axes `source` at the places `destination`, the others in order."""
    return jnp.moveaxis(tensor(x), axes(source), axes(destination))  # type: ignore


@op
def swapaxes(x: Tensor, axis1: int, axis2: int) -> Tensor:
    """x with two axes exchanged."""
    return jnp.swapaxes(tensor(x), axis1, axis2)


@op
def expand_dims(x: Tensor, axis: Axis) -> Tensor:
    """x with new axes of size 1, which are at `axis` in the result."""
    return jnp.expand_dims(tensor(x), axes(axis))  # type: ignore[arg-type]


@op
def squeeze(x: Tensor, axis: Axis = None) -> Tensor:
    """x without its axes of size 1 (or without the given ones of them)."""
    return jnp.squeeze(tensor(x), axes(axis))


def _check_not_negative(op: str, name: str, numbers: Any) -> None:
    known = numbers if isinstance(numbers, list | tuple) else np.ravel(numbers).tolist()
    if any(isinstance(n, int | np.integer) and n < 0 for n in known):
        raise ArgumentError(f"{op} got {name}={numbers!r}; expected none below 0.")


@op
def broadcast_to(x: Tensor, shape: ShapeLike) -> Tensor:
    """x repeated along new axes and those of size 1, to the given shape."""
    sizes: Any = tuple(shape)
    _check_not_negative("broadcast_to", "shape", sizes)
    return jnp.broadcast_to(tensor(x), sizes)


@op
def flip(x: Tensor, axis: Axis = None) -> Tensor:
    """x with `axis` (None: every axis) reversed."""
    return jnp.flip(tensor(x), axes(axis))


@op
def roll(x: Tensor, shift: Any, axis: Axis = None) -> Tensor:
    """x moved on by `shift`; what falls off the end comes in at the start."""
    if isinstance(shift, float):
        raise ArgumentTypeError(f"roll got shift={shift!r}; expected an integer.")
    return jnp.roll(tensor(x), shift, axes(axis))


@op
def rot90(array: Tensor, k: int = 1, axes: Sequence[int] = (0, 1)) -> Tensor:
    """The plane of two axes turned k times by 90 degrees, from the first to the second.

    >>> rot90([[1, 2], [3, 4]]).tolist()
    [[2, 4], [1, 3]]
    """
    array = tensor(array)
    if array.ndim < 2:
        raise ShapeError(f"rot90 got shape {array.shape}; expected two axes or more.")
    if len(axes) != 2 or axes[0] == axes[1]:
        raise ArgumentError(f"rot90 got axes={axes}; expected two different ones.")
    return jnp.rot90(array, integer(k, "rot90: k"), (axes[0], axes[1]))


@op
def repeat(x: Tensor, repeats: object, axis: int | None = None) -> Tensor:
    """Each entry `repeats` times in a row along `axis` (None: of x flattened)."""
    repeats = repeats if isinstance(repeats, int) else np.asarray(repeats)
    _check_not_negative("repeat", "repeats", repeats)
    return jnp.repeat(tensor(x), repeats, axis)


@op
def tile(x: Tensor, repeats: object) -> Tensor:
    """x as a whole, `repeats` times along each axis."""
    _check_not_negative("tile", "repeats", repeats)
    return jnp.tile(tensor(x), repeats)


@op
def pad(
    x: Tensor,
    pad_width: Any,
    mode: str = "constant",
    constant_values: Tensor = None,
) -> Tensor:
    """x with entries added at the ends of its axes.

    Args:
        pad_width: a number, a pair (before, after), or a pair for each axis.
        mode: `"constant"`, `"edge"`, `"reflect"`, `"symmetric"` or another of NumPy's.
    """
    x = tensor(x)
    if np.ndim(pad_width) == 2 and len(pad_width) not in (1, x.ndim):
        raise ArgumentError(
            f"pad got {len(pad_width)} pairs of widths for x of shape {x.shape}; "
            "expected one for each axis."
        )
    if constant_values is None:
        return jnp.pad(x, pad_width, mode)
    if mode != "constant":
        raise ArgumentError(f"pad got constant_values with mode={mode!r}; drop one.")
    return jnp.pad(x, pad_width, mode, constant_values=constant_values)


# Joining and splitting


@op
def concatenate(xs: Sequence[Tensor], axis: int | None = 0) -> Tensor:
    """The arrays one after the other along `axis`."""
    return jnp.concatenate([tensor(x) for x in xs], axis)


@op
def stack(x: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The arrays one after the other along a new axis."""
    return jnp.stack([tensor(each) for each in x], axis)


@op
def column_stack(x: Sequence[Tensor]) -> Tensor:
    """Columns beside each other; an array of one axis is one column.

    >>> column_stack([jnp.array([1, 2]), jnp.array([3, 4])]).tolist()
    [[1, 3], [2, 4]]
    """
    return jnp.column_stack([tensor(each) for each in x])


@op
def append(x1: Tensor, x2: Tensor, axis: int | None = None) -> Tensor:
    """x2 after x1 along `axis` (None: both flattened)."""
    return jnp.append(tensor(x1), tensor(x2), axis)


class _Stack(Protocol):
    def __call__(self, xs: Sequence[Tensor]) -> Tensor: ...


class _Split(Protocol):
    def __call__(self, x: Tensor, indices_or_sections: Any) -> list[Tensor]: ...


def _stack(fn: Any, doc: str) -> _Stack:
    def apply(xs: Sequence[Tensor]) -> Tensor:
        return fn([tensor(x) for x in xs])

    return named(apply, fn.__name__, doc)


hstack = _stack(jnp.hstack, "The arrays joined along the second axis (first of 1-D).")
vstack = _stack(jnp.vstack, "The arrays joined along the first axis (1-D: as rows).")
dstack = _stack(jnp.dstack, "The arrays joined along the third axis, made if need be.")


@op
def split(x: Tensor, indices_or_sections: object, axis: int = 0) -> list[Tensor]:
    """x cut along `axis`: into equal parts, or before each of the given indices.

    >>> [part.tolist() for part in split([1, 2, 3, 4], 2)]
    [[1, 2], [3, 4]]
    >>> [part.tolist() for part in split([1, 2, 3, 4], [1])]
    [[1], [2, 3, 4]]
    """
    x, given = tensor(x), _sections(indices_or_sections)
    if isinstance(given, int) and not isinstance(x.shape[axis], int):
        return _equal_parts(x, given, axis)
    return jnp.split(x, given, axis)


def _equal_parts(x: Any, count: int, axis: int) -> list[Any]:
    """Parts of an axis whose size, a symbol of JAX, is taken to be a multiple."""
    size = x.shape[axis] // count
    return [lax.dynamic_slice_in_dim(x, i * size, size, axis) for i in range(count)]


def _sections(given: Any) -> Any:
    if as_integer(given) is not REFUSED:
        return integer(given, "split: indices_or_sections", 1)
    return tuple(np.asarray(given).tolist())


@op
def array_split(x: Tensor, indices_or_sections: int, axis: int = 0) -> list[Tensor]:
    """x cut along `axis` into parts whose sizes differ by 1 at most."""
    parts = integer(indices_or_sections, "array_split: indices_or_sections", 1)
    return jnp.array_split(tensor(x), parts, axis)


def _split(fn: Any, doc: str) -> _Split:
    def apply(x: Tensor, indices_or_sections: Any) -> list[Tensor]:
        return fn(tensor(x), _sections(indices_or_sections))

    return named(apply, fn.__name__, doc)


hsplit = _split(jnp.hsplit, "`split` along the second axis (the first of a vector).")
vsplit = _split(jnp.vsplit, "`split` along the first axis.")
dsplit = _split(jnp.dsplit, "`split` along the third axis.")


# Diagonals


class _Diagonal(Protocol):
    def __call__(self, x: Tensor, k: int = 0) -> Tensor: ...


def _diagonal(fn: Any, doc: str) -> _Diagonal:
    def apply(x: Tensor, k: int = 0) -> Tensor:
        x = tensor(x)
        grows = fn is jnp.diagflat or (fn is jnp.diag and x.ndim == 1)
        if grows and not is_tracer(x):
            side = math.prod(x.shape) + abs(k)
            ensure_room((side, side), x.dtype, f"The result of {fn.__name__}")
        return fn(x, k=k)

    return named(apply, fn.__name__, doc)


diag = _diagonal(jnp.diag, "The k-th diagonal of a matrix, or the matrix of a vector.")
diagflat = _diagonal(jnp.diagflat, "A matrix with the entries of x on its diagonal.")
tril = _diagonal(jnp.tril, "x with zeros above the k-th diagonal of its matrices.")
triu = _diagonal(jnp.triu, "x with zeros below the k-th diagonal of its matrices.")


@op
def diagonal(x: Tensor, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The diagonals of the planes of two axes, as a new last axis."""
    return jnp.diagonal(tensor(x), offset, axis1, axis2)


@op
def diff(a: Tensor, n: int = 1, axis: int = -1) -> Tensor:
    """Differences of neighbours along `axis`, taken n times."""
    return jnp.diff(tensor(a), n, axis)
