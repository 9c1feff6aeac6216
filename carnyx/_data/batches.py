"""What may stand in a batch: names, dtypes, sizes, class weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from carnyx import tree
from carnyx._core.symbol import KerasTensor
from carnyx._data import mistakes
from carnyx._data.class_weights import weigh
from carnyx._data.hosts import as_array, target_dtype
from carnyx._numbers import check_narrow
from carnyx.errors import ArgumentError, DataError
from carnyx.typing import Tensor

PARTS = ("x", "y", "sample_weight")


def one_batch(x: object, most: int) -> np.ndarray | None:
    """A plain array of at most `most` samples as a batch; None for anything else."""
    if not isinstance(x, np.ndarray) or isinstance(x, np.ma.MaskedArray):
        return None
    if x.ndim == 0 or not 0 < len(x) <= most:
        return None
    check_narrow(x, "x")
    return x.astype(target_dtype(x.dtype, "x"), copy=False)


def named_leaves(batch: Any) -> list[tuple[str, Any]]:
    """Pairs of a name such as `x['a'][0]` and the leaf; without None."""
    pairs = []
    for part, structure in zip(PARTS, batch, strict=True):
        for path, leaf in tree.flatten_with_path(structure):
            if leaf is not None:
                pairs.append((part + "".join(f"[{key!r}]" for key in path), leaf))
    return pairs


def map_named(func: Callable[..., Any], batch: object) -> Any:
    """Apply `func(name, leaf)` to the leaves of a batch; None stays."""
    new = iter([func(name, leaf) for name, leaf in named_leaves(batch)])
    return tree.map_structure(lambda _: next(new), batch, none_is_leaf=False)


def common_size(named: list[tuple[str, Any]]) -> int:
    """The number of samples that all leaves share.

    Raises:
        DataError: where they do not, or there are none.
    """
    sizes = {name: leaf.shape[0] for name, leaf in named}
    if 0 in sizes.values():
        empty = next(name for name, size in sizes.items() if not size)
        raise DataError(f"{empty} has no samples: it is empty.")
    if len(set(sizes.values())) > 1:
        in_a_list = mistakes.of_samples_in_a_list(named)
        if in_a_list:
            raise DataError(in_a_list)
        listed = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise DataError(
            f"The numbers of samples differ: {listed}. Every input, target "
            "and weight needs one row for each sample."
        )
    return next(iter(sizes.values()))


def three_parts(data: object) -> tuple[Any, Any, Any]:
    """`(x, y, sample_weight)` of what a source or a user gives as a batch.

    >>> three_parts((1, 2)), three_parts({"a": 1})
    ((1, 2, None), ({'a': 1}, None, None))
    """
    if not isinstance(data, list | tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise DataError(
            f"A batch has {len(data)} parts; expected (x,), (x, y) or "
            "(x, y, sample_weight). Several inputs go into one part: ((x1, x2), y)."
        )
    x, y, weight = (*data, None, None)[:3]
    return x, y, weight


def to_batch(item: object, class_weight: Mapping[int, float] | None, where: str) -> Any:
    """A batch from what a source gave, cast and checked; JAX arrays stay on device."""
    try:
        x, y, weight = batch = three_parts(item)
        leaves, form = jax.tree_util.tree_flatten(batch)
        try:
            leaves = [_ready(leaf, "") for leaf in leaves]
            size = leaves[0].shape[0]
            fits = size > 0 and all(leaf.shape[0] == size for leaf in leaves)
        except (ArgumentError, DataError, IndexError):  # now with names
            fits = False
        if not fits:  # names are made only now that somebody reads them
            _refuse(batch)
        x, y, weight = jax.tree_util.tree_unflatten(form, leaves)
        return x, y, weigh(y, weight, class_weight)
    except DataError as error:
        raise DataError(
            f"In {where}: {error} A source gives batches, (x, y) or (x, y, "
            "sample_weight) with samples along the first axes; single samples have to "
            "be put into batches first."
        ) from None


def _refuse(batch: Any) -> None:
    """Say what is wrong with what a source gave."""
    for part, value in zip(PARTS, batch, strict=True):
        mistakes.refuse_plain(part, value)
    named = named_leaves(batch)
    if not named:
        raise DataError("The source gave None; expected arrays.")
    common_size([(name, _ready(leaf, name)) for name, leaf in named])


def _ready(leaf: Any, name: str) -> Any:
    if not isinstance(leaf, jax.Array) or leaf.ndim == 0:
        leaf = as_array(leaf, name)
    dtype = target_dtype(leaf.dtype, name)
    if isinstance(leaf, np.ndarray):
        check_narrow(leaf, name)
    return leaf if leaf.dtype == dtype else leaf.astype(dtype)


def spread_weights(y: object, sample_weight: Tensor) -> Any:
    """One array of weights for every output of several."""
    if sample_weight is None or not tree.is_nested(y):
        return sample_weight
    if tree.is_nested(sample_weight):
        try:
            tree.assert_same_structure(y, sample_weight)
        except ValueError as error:
            raise DataError(
                f"sample_weight and y have different forms: {error} Give one array of "
                "weights an output, or a single one for all."
            ) from None
        return sample_weight
    shape = as_array(sample_weight, "sample_weight").shape
    if shape[1:] not in ((), (1,)):
        raise DataError(
            f"sample_weight has shape {shape} for several outputs; expected one "
            "number a sample, or one array of weights an output."
        )
    return tree.map_structure(lambda _: sample_weight, y)


def spec_of(batches: list[Any]) -> Any:
    """Symbolic tensors for batches of one source; a size that varies is None."""

    def symbol(*leaves: Any) -> KerasTensor:
        shapes = [leaf.shape[1:] for leaf in leaves]
        if len({len(shape) for shape in shapes}) > 1:
            raise DataError(f"Batches of one source have different ranks: {shapes}.")
        sizes = [ns[0] if len(set(ns)) == 1 else None for ns in zip(*shapes)]
        dtype = target_dtype(leaves[0].dtype, "the data")
        return KerasTensor((None, *sizes), dtype.name, name="data")

    return tree.map_structure(symbol, *batches, none_is_leaf=False)
