"""Losses and metrics for each output: by position, by name, or one for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from carnyx import tree
from carnyx.errors import ArgumentError, DataError, nearest


class Output(NamedTuple):
    """One output: its name, and the key or index of each step down to it."""

    name: str
    path: tuple[Any, ...]


def list_outputs(y_pred: Any, names: Sequence[str] | None = None) -> list[Output]:
    """The outputs of a model in order, named by the model, else by their place."""
    paths = [path for path, _ in tree.flatten_with_path(y_pred)]
    if names and len(names) == len(paths):
        return [Output(n, p) for n, p in zip(names, paths, strict=True)]
    if paths == [()]:
        return [Output("output", ())]
    return [Output("_".join(str(k) for k in p), p) for p in paths]


def spread(
    given: Any,
    outputs: Sequence[Output],
    *,
    what: str,
    is_leaf: Callable[[Any], bool],
    shared: bool = True,
) -> list[Any]:
    """What was given for each output: a dict by name, a list by place, one for all.

    Args:
        is_leaf: says that a value is meant for one output.
        shared: whether a single value stands for every output.

    Raises:
        ArgumentError: for a name or a number that does not fit the outputs.
    """
    if given is None:
        return [None] * len(outputs)
    if is_leaf(given):
        if len(outputs) == 1 or shared:
            return [given] * len(outputs)
        names = [o.name for o in outputs]
        raise ArgumentError(
            f"{what} got one value for {len(outputs)} outputs {names}; give a list or "
            "a dict by name."
        )
    if isinstance(given, Mapping):
        return _by_name(given, outputs, what)
    if len(given) == len(outputs):
        return list(given)
    flat = tree.flatten(given)
    if len(flat) == len(outputs):
        return flat
    raise ArgumentError(
        f"{what} has {len(given)} entries for {len(outputs)} outputs "
        f"{[o.name for o in outputs]}."
    )


def _by_name(given: Mapping[Any, Any], outputs: Sequence[Output], what: str) -> list:
    names = [o.name for o in outputs]
    keys = [o.path[0] if len(o.path) == 1 else o.path for o in outputs]
    unknown = [k for k in given if k not in names and k not in keys]
    if unknown:
        deep = _walk(given, outputs)
        if deep is not None:
            return deep
        raise ArgumentError(
            f"{what} has the key {unknown[0]!r}, but the outputs are {names}."
            f"{nearest(unknown[0], names)}"
        )
    return [given.get(n, given.get(k)) for n, k in zip(names, keys, strict=True)]


def _walk(given: Any, outputs: Sequence[Output]) -> list[Any] | None:
    """Values in the very structure of the outputs, or None where it is another."""
    found = []
    for output in outputs:
        value = given
        for key in output.path:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return None
        found.append(value)
    return found


def match_targets(
    y: Any, outputs: Sequence[Output], *, what: str, shared: bool = False
) -> list[Any]:
    """The target (or sample weight) of each output, flat.

    Raises:
        DataError: where they do not fit the outputs.
    """
    leaves = tree.flatten(y)
    if y is None:
        return [None] * len(outputs)
    if isinstance(y, Mapping):
        try:
            return _by_name(y, outputs, what)
        except ArgumentError as error:
            raise DataError(str(error)) from None
    if len(leaves) == len(outputs):
        return leaves
    if len(leaves) == 1 and shared:
        return leaves * len(outputs)
    raise DataError(
        f"{what} has {len(leaves)} arrays but the model has {len(outputs)} outputs "
        f"{[o.name for o in outputs]}. Give one for each, as a list in that order or "
        "a dict by name (None for an output without a loss)."
    )


def trimmed(batch: tuple[Any, Any, Any]) -> tuple[Any, ...]:
    """`(x, y, sample_weight)` without the parts that were not given, as in Keras."""
    x, y, sample_weight = batch
    if sample_weight is not None:
        return x, y, sample_weight
    return (x,) if y is None else (x, y)


def unpack(data: Any) -> tuple[Any, Any, Any]:
    """`(x, y, sample_weight)` of what a feed or user gives as a batch."""
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ArgumentError(
            f"A batch has {len(data)} parts; expected (x,), (x, y) or "
            "(x, y, sample_weight)."
        )
    x, y, sample_weight, *_ = (*data, None, None)
    return x, y, sample_weight
