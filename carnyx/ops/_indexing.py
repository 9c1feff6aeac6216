"""Where entries are: selecting, sorting, searching, counting."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from carnyx._core.memory import ensure_room
from carnyx._core.op import op
from carnyx._core.scope import current
from carnyx._numbers import REFUSED, integer
from carnyx.errors import ArgumentError, ShapeError
from carnyx.ops._dtypes import indices as as_indices
from carnyx.ops._dtypes import tensor
from carnyx.ops._thin import reduction
from carnyx.typing import ArrayLike, Tensor, TensorIndex

# fmt: off
__all__ = [
    "argmax", "argmin", "argpartition", "argsort", "bincount", "digitize", "get_item",
    "histogram", "isin", "nanargmax", "nanargmin", "nonzero", "searchsorted", "select",
    "sort", "take", "take_along_axis", "unique", "unravel_index", "where",
]
# fmt: on

argmax = reduction(jnp.argmax, "The index of the greatest entry, the first of equals.")
argmin = reduction(jnp.argmin, "The index of the least entry, the first of equals.")
nanargmax = reduction(jnp.nanargmax, "`argmax` of the entries that are not NaN.")
nanargmin = reduction(jnp.nanargmin, "`argmin` of the entries that are not NaN.")


def _known(x: Tensor, name: str, instead: str) -> jax.Array:
    """The array x, refused where it has no value: in a graph or under `jit`."""
    x = tensor(x)
    if isinstance(x, Tracer):
        raise ShapeError(
            f"{name} got a traced array of shape {x.shape}, but the size of its result "
            "depends on the values, which a graph and a compiled function do not know. "
            f"{instead}"
        )
    return x


@op
def get_item(x: Tensor, key: TensorIndex) -> Tensor:
    """x[key].

    An integer beyond the end is the last one, as everywhere in JAX; of a symbolic
    tensor, where it is known to be a mistake, it is refused.
    """
    x, state = tensor(x), current().state
    if state is not None and state.shapes_only:
        _check_integers(x, key)
    return x[key]


def _check_integers(x: jax.Array, key: Any) -> None:
    entries = list(key) if isinstance(key, tuple) else [key]
    entries = [_as_places(entry) for entry in entries if entry is not None]
    if REFUSED in entries or entries.count(...) > 1:
        return
    cut = entries.index(...) if ... in entries else len(entries)
    places = [*enumerate(entries[:cut]), *zip(range(-1, -x.ndim, -1), entries[:cut:-1])]
    for axis, entry in places:
        size = x.shape[axis] if axis < x.ndim else None
        if not isinstance(size, int) or isinstance(entry, slice):
            continue
        wrong = [n for n in entry if not -size <= n < size]
        if wrong:
            raise ShapeError(
                f"get_item got the index {wrong[0]} for axis {axis} of shape "
                f"{x.shape}, of size {size}; expected one from {-size} to {size - 1}."
            )


def _as_places(entry: Any) -> Any:
    """An index as the tuple of places that it takes along one axis."""
    if isinstance(entry, slice | EllipsisType):
        return entry
    if not isinstance(entry, int | np.integer | list | np.ndarray):
        return REFUSED
    places = np.asarray(entry)
    return tuple(places.ravel().tolist()) if places.dtype.kind in "iu" else REFUSED


@op
def take(x: Tensor, indices: Tensor, axis: int | None = None) -> Tensor:
    """The entries at `indices` along `axis` (None: of x flattened).

    An index beyond the end gives NaN, of integers the extreme one.

    Shapes: (…, n, …), indices (i, j) -> (…, i, j, …)
    """
    return jnp.take(tensor(x), as_indices(indices), axis)


@op
def take_along_axis(x: Tensor, indices: Tensor, axis: int | None = None) -> Tensor:
    """x at indices of its own along `axis`, as `argsort` gives them."""
    return jnp.take_along_axis(tensor(x), as_indices(indices), axis)


@op
def where(condition: Tensor, x1: Tensor = None, x2: Tensor = None) -> Any:
    """x1 where the condition holds, else x2; without them, where it holds."""
    if (x1 is None) != (x2 is None):
        raise ArgumentError("where got one of x1 and x2; expected both or neither.")
    if x1 is None:
        instead = "Give x1 and x2 to choose entry by entry."
        return jnp.nonzero(_known(condition, "where", instead))
    return jnp.where(tensor(condition), tensor(x1), tensor(x2))


@op
def select(
    condlist: Sequence[Tensor], choicelist: Sequence[Tensor], default: Tensor = 0
) -> Tensor:
    """For each entry the choice whose condition holds first, else `default`."""
    if not all(isinstance(given, list | tuple) for given in (condlist, choicelist)):
        raise ArgumentError(
            f"select got {type(condlist).__name__} and {type(choicelist).__name__}; "
            "expected a list of conditions and a list of choices."
        )
    if not condlist or not choicelist:
        raise ArgumentError("select got an empty list; expected one choice or more.")
    return jnp.select(
        [tensor(c) for c in condlist], [tensor(c) for c in choicelist], default
    )


@op
def nonzero(x: Tensor) -> tuple[Tensor, ...]:
    """The indices of the nonzero entries, one vector for each axis."""
    return jnp.nonzero(_known(x, "nonzero", "Use where(condition, x1, x2)."))


@op
def unravel_index(indices: Tensor, shape: Sequence[int]) -> tuple[Tensor, ...]:
    """Positions in an array of the given shape, of positions in it flattened."""
    return jnp.unravel_index(as_indices(indices), tuple(shape))


# Order


@op
def sort(x: Tensor, axis: int = -1) -> Tensor:
    """x in ascending order along `axis`."""
    return jnp.sort(tensor(x), axis)


@op
def argsort(x: Tensor, axis: int | None = -1) -> Tensor:
    """The indices that sort x along `axis`; equals keep their order."""
    x = tensor(x)
    return jnp.argsort(x, axis if x.ndim else None)


@op
def argpartition(x: Tensor, kth: int, axis: int | None = -1) -> Tensor:
    """Indices that put the k-th least entry in place, the lesser ones before it."""
    x, axis = (tensor(x).ravel(), 0) if axis is None else (tensor(x), axis)
    return jnp.argpartition(x, kth, axis)


@op
def searchsorted(sorted_sequence: Tensor, values: Tensor, side: str = "left") -> Tensor:
    """The indices at which `values` would enter a sorted vector, keeping it sorted."""
    sorted_sequence = tensor(sorted_sequence)
    if sorted_sequence.ndim != 1:
        raise ShapeError(
            f"searchsorted got a sequence of shape {sorted_sequence.shape}; expected "
            "a vector. Use vectorized_map for several."
        )
    return jnp.searchsorted(sorted_sequence, tensor(values), side=side)


@op
def digitize(x: Tensor, bins: Tensor) -> Tensor:
    """The number of the bin of each entry: bins[i - 1] <= x < bins[i]."""
    return jnp.digitize(tensor(x), tensor(bins))


@op
def isin(
    x1: Tensor, x2: Tensor, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each entry of x1 occurs in x2 (`invert`: does not)."""
    return jnp.isin(tensor(x1), tensor(x2), assume_unique, invert)


@op
def unique(
    x: Tensor,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The different entries of x (or slices along `axis`), each NaN one of its own.

    With a `return_…`, a tuple: the entries, the index of the first of each, for each
    entry of x its place among them, how often each occurs.

    Args:
        size: how many to return, for graphs and `jit`; `fill_value` fills up.
    """
    x = tensor(x) if size is not None else _known(x, "unique", "Give size=.")
    return jnp.unique(
        x,
        return_index,
        return_inverse,
        return_counts,
        axis,
        equal_nan=False,
        size=size,
        fill_value=fill_value,
        sorted=sorted,
    )


# Counts


@op
def bincount(
    x: Tensor,
    weights: ArrayLike | None = None,
    minlength: int = 0,
    sparse: bool = False,
) -> Any:
    """How often each of 0, 1, 2, … occurs in x (in each row of a matrix).

    The length is max(x) + 1, at least `minlength`.

    Args:
        weights: what each entry counts for, in the shape of x.
        sparse: give a `jax.experimental.sparse.BCOO`.
    """
    x = _known(x, "bincount", "Sum one_hot(x, size) instead.")
    length = max(minlength, int(x.max()) + 1 if x.size else 0)
    ensure_room((*x.shape[:-1], length), "int32", "Counts")
    weights = jnp.ones_like(x, "int32") if weights is None else tensor(weights)

    def count(row: jax.Array, weight: jax.Array) -> jax.Array:
        return jnp.bincount(row, weight, length=length)

    counts = (count if x.ndim < 2 else jax.vmap(count))(x, weights)
    if sparse:
        from jax.experimental.sparse import BCOO  # slow to import

        return BCOO.fromdense(counts)
    return counts


@op
def histogram(
    x: Tensor, bins: int = 10, range: tuple[float, float] | None = None
) -> tuple[Tensor, Tensor]:
    """Counts of a vector's entries in equal bins, and the `bins + 1` edges."""
    bins = integer(bins, "histogram: bins", 0)
    if range and (len(range) != 2 or range[1] < range[0]):
        raise ArgumentError(f"histogram got range={range}; expected (low, high).")
    x = tensor(x)
    if x.ndim > 1:
        raise ShapeError(f"histogram got x of shape {x.shape}; expected a vector.")
    return jnp.histogram(x, bins, range)
