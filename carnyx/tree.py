"""Nested structures: dicts, lists, tuples and named tuples of anything.

As in `keras.tree`: a dict is walked in the order of its sorted keys, and None is
a leaf (JAX's own tree functions drop it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax

from carnyx.errors import ArgumentError

MAP_TO_NONE = object()
"""What a function given to `traverse` returns to put None in place of a node."""


def is_nested(structure: object) -> bool:
    """True for a dict, list, tuple or registered JAX container."""
    if isinstance(structure, dict | list | tuple):
        return True
    return not jax.tree_util.all_leaves([structure], is_leaf=_is_leaf)


def _is_leaf(x: Any) -> bool:
    # An iterator is a leaf, too: JAX warns of those unless it is told.
    return x is None or hasattr(x, "__next__")


def flatten(structure: object) -> list[Any]:
    """The leaves, in order.

    >>> flatten({"b": [2, 3], "a": 1})
    [1, 2, 3]
    """
    return jax.tree_util.tree_leaves(structure, is_leaf=_is_leaf)


def flatten_with_path(structure: object) -> list[tuple[tuple[Any, ...], Any]]:
    """Pairs of path and leaf; a path is a tuple of keys and indices."""
    pairs, _ = jax.tree_util.tree_flatten_with_path(structure, is_leaf=_is_leaf)
    return [(tuple(_key(k) for k in path), leaf) for path, leaf in pairs]


def _key(entry: Any) -> Any:
    for attribute in ("key", "idx", "name"):
        if hasattr(entry, attribute):
            return getattr(entry, attribute)
    return entry


def map_structure(
    func: Callable[..., Any], *structures: Any, none_is_leaf: bool = True
) -> Any:
    """Apply `func` leaf by leaf to structures of the same form.

    >>> map_structure(lambda x, y: x + y, {"a": 1}, {"a": 2})
    {'a': 3}
    """
    if not structures:
        raise ArgumentError("map_structure got no structure; pass at least one.")
    is_leaf = _is_leaf if none_is_leaf else None
    try:
        return jax.tree_util.tree_map(func, *structures, is_leaf=is_leaf)
    except ValueError:
        for other in structures[1:]:
            assert_same_structure(structures[0], other)
        raise


def map_structure_up_to(
    shallow_structure: object, func: Callable[..., Any], *structures: Any
) -> Any:
    """Apply `func` to what stands at the leaves of `shallow_structure`."""
    definition = jax.tree_util.tree_structure(shallow_structure, is_leaf=_is_leaf)
    columns = [definition.flatten_up_to(s) for s in structures]
    results = [func(*row) for row in zip(*columns, strict=True)]
    return jax.tree_util.tree_unflatten(definition, results)


def assert_same_structure(a: object, b: object) -> None:
    """Raise ArgumentError where two structures differ in form.

    >>> assert_same_structure([1, 2], [3, 4])
    """
    first, second = (jax.tree_util.tree_structure(s, is_leaf=_is_leaf) for s in (a, b))
    if first != second:
        raise ArgumentError(
            f"Two structures differ: {first} and {second}. "
            "They must have the same containers, keys and lengths."
        )


def assert_same_paths(a: object, b: object) -> None:
    """Raise ArgumentError where the paths to the leaves differ."""
    first, second = ([p for p, _ in flatten_with_path(s)] for s in (a, b))
    if first != second:
        raise ArgumentError(f"Two structures have different paths: {first}, {second}.")


def pack_sequence_as(structure: object, flat_sequence: Sequence[Any]) -> Any:
    """Put a flat sequence into the form of `structure`.

    >>> pack_sequence_as({"a": 0, "b": [0, 0]}, [1, 2, 3])
    {'a': 1, 'b': [2, 3]}
    """
    definition = jax.tree_util.tree_structure(structure, is_leaf=_is_leaf)
    flat = list(flat_sequence)
    if len(flat) != definition.num_leaves:
        raise ArgumentError(
            f"Got {len(flat)} values for a structure of {definition.num_leaves} leaves."
        )
    return jax.tree_util.tree_unflatten(definition, flat)


def lists_to_tuples(structure: object) -> Any:
    """The same structure with a tuple for every list."""
    if isinstance(structure, dict):
        return {k: lists_to_tuples(v) for k, v in structure.items()}
    if isinstance(structure, list | tuple) and not hasattr(structure, "_fields"):
        return tuple(lists_to_tuples(v) for v in structure)
    return structure


def map_shape_structure(func: Callable[[Any], Any], structure: Any) -> Any:
    """Like `map_structure`, with a tuple of sizes as one leaf."""
    if is_shape(structure):
        return func(tuple(structure))
    if isinstance(structure, dict):
        return {k: map_shape_structure(func, v) for k, v in structure.items()}
    if isinstance(structure, list | tuple):
        return type(structure)(map_shape_structure(func, v) for v in structure)
    return func(structure)


def is_shape(value: object) -> bool:
    """True for a list or tuple of sizes (integers and None)."""
    return isinstance(value, list | tuple) and all(
        d is None or (isinstance(d, Iterable) is False and _is_size(d)) for d in value
    )


def _is_size(d: Any) -> bool:
    return isinstance(d, int) or hasattr(d, "__index__")


def traverse(
    func: Callable[[Any], Any], structure: object, top_down: bool = True
) -> Any:
    """Walk every node; what `func` returns, unless None, takes the node's place.

    >>> traverse(lambda x: sum(x) if isinstance(x, tuple) else None, [(1, 2), 3])
    [3, 3]
    """
    if top_down:
        replaced = func(structure)
        if replaced is not None:
            return None if replaced is MAP_TO_NONE else replaced
    rebuilt = structure
    if isinstance(structure, Mapping):
        rebuilt = type(structure)(
            {k: traverse(func, v, top_down) for k, v in structure.items()}  # type: ignore[call-arg]
        )
    elif isinstance(structure, list | tuple):
        items = [traverse(func, v, top_down) for v in structure]
        named = hasattr(structure, "_fields")
        rebuilt = type(structure)(*items) if named else type(structure)(items)
    if top_down:
        return rebuilt
    replaced = func(rebuilt)
    if replaced is None:
        return rebuilt
    return None if replaced is MAP_TO_NONE else replaced
