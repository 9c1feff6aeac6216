"""Where in a file the weights of each part of a model stand.

The rules are those of Keras 3's files: a layer stands at the path of the attributes
that lead to it, taken in the order of the alphabet with private ones last; in a list,
tuple or dict at its class name in snake case, numbered. Sequential and functional
models begin with their `layers`. Who is reached twice stands where it is reached
first. (Seed generators are our addition: Keras does not save them and reads past.)
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from carnyx._core.naming import to_snake_case
from carnyx._core.seed import SeedGenerator
from carnyx.errors import ArgumentError
from carnyx.layers._children import own_variables
from carnyx.layers.base import Layer
from carnyx.saving.description import TOP, Group
from carnyx.saving.matching import weights_in_order

_NEVER = frozenset({"_given", "_inbound_nodes", "_functional", "_stack"})


def objects(root: Any, skip: Iterable[Any] = ()) -> Iterator[tuple[str, Any]]:
    """Each part that has variables of its own or might, with its path.

    Args:
        skip: parts to leave out, with what is reached through them.
    """
    seen = {id(item): item for item in skip}  # alive: no id may be given out again
    waiting = [("", root)]  # a stack: models may be deeper than Python's recursion
    while waiting:
        path, item = waiting.pop()
        if id(item) in seen:
            continue
        seen[id(item)] = item
        if _is_saved(item):
            yield path, item
            children = _members(item)
        else:
            children = _numbered(item)
        places = [
            (f"{path}/{name}" if path else name, child) for name, child in children
        ]
        waiting += reversed(places)


def _is_saved(item: Any) -> bool:
    return isinstance(item, SeedGenerator) or (
        hasattr(type(item), "save_own_variables")
        and hasattr(type(item), "load_own_variables")
    )


def _is_walked(item: Any) -> bool:
    return isinstance(item, list | tuple | dict) or _is_saved(item)


def _members(item: Any) -> Iterable[tuple[str, Any]]:
    """The saved parts and containers among the attributes, in order."""
    if isinstance(item, SeedGenerator):
        return
    first = getattr(type(item), "saved_first", ())
    for name in first:
        yield name, getattr(item, name)
    hidden = set(getattr(item, "_hidden_attributes", ())) | _NEVER | set(first)
    names = dir(item) if isinstance(item, Layer) else list(vars(item))
    if isinstance(item, Layer):
        hidden |= _names_of_any_layer()
    for name in sorted(names, key=lambda n: (n.startswith("_"), n)):
        if name.startswith("__") or name in hidden:
            continue
        try:
            value = getattr(item, name)
        except Exception:  # a property that has no value yet  # noqa: S112
            continue
        if _is_walked(value):
            yield name, value


@functools.cache
def _names_of_any_layer() -> frozenset[str]:
    return frozenset(dir(Layer(name="any")))


def _numbered(container: Any) -> Iterable[tuple[str, Any]]:
    counts: dict[str, int] = {}
    items = container.values() if isinstance(container, dict) else container
    for item in list(items):
        if not _is_walked(item):
            continue
        name = to_snake_case(type(item).__name__) if _is_saved(item) else "container"
        number = counts[name] = counts.get(name, -1) + 1
        yield (f"{name}_{number}" if number else name), item


def is_optimizer(item: object) -> bool:
    """True for optimizers, whose state a file may bring or not."""
    return hasattr(item, "apply_gradients") and not isinstance(item, Layer)


def variables_of(item: Any) -> list[Any] | None:
    """The variables that stand under `0`, `1`, … in order.

    None where the class writes and reads them in its own way.
    """
    if isinstance(item, SeedGenerator):
        return [item.state]
    if isinstance(item, Layer):
        own = type(item).load_own_variables is Layer.load_own_variables
        return own_variables(item) if own else None
    return list(item.variables) if is_optimizer(item) else None


def paths_to(root: Any, items: Iterable[Any]) -> tuple[str, ...]:
    """Where these parts stand."""
    wanted = {id(item) for item in items}
    return tuple(path for path, item in objects(root) if id(item) in wanted)


def collect(root: Any, skip: Iterable[Any] = ()) -> dict[str, Group]:
    """The arrays of a model by path."""
    groups = {}
    for path, item in objects(root, skip):
        store: dict[str, Any] = {}
        if isinstance(item, SeedGenerator):
            store["0"] = item.state
        else:
            item.save_own_variables(store)
        name = getattr(item, "name", None)
        groups[path] = Group(name if isinstance(name, str) else None, store)
        groups[path].trained = trained_by(item, root)
    return groups


def trained_by(item: Any, model: Any) -> list[int] | None:
    """Which weights of the model an optimizer has a state for; None for other items."""
    if not is_optimizer(item) or not hasattr(item, "_trainable_variables"):
        return None
    places = {id(v): i for i, (_, v) in enumerate(weights_in_order(model))}
    return [places.get(id(v), -1) for v in item._trainable_variables]


def collect_by_layer(model: Layer) -> dict[str, Group]:
    """The arrays of a model by the name of its layers.

    They stand in the order of the HDF5 layout that Keras 2 and 3 share, trainable ones
    first; which weight each is, is said beside.
    """
    names = [layer.name for layer in model.layers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ArgumentError(
            f"{model.name!r} has several layers of the name {twice[0]!r}, and .h5 "
            "files go by name. Give each a name of its own, or save as .keras or "
            ".weights.h5."
        )
    groups = {layer.name: _listed(layer) for layer in model.layers}
    return groups | {TOP: Group(None, _by_name(own_variables(model)))}


def _listed(layer: Any) -> Group:
    places = {id(v): i for i, (_, v) in enumerate(weights_in_order(layer))}
    weights = [*layer.trainable_weights, *layer.non_trainable_weights]
    order = [places[id(v)] for v in weights]
    return Group(layer.name, _by_name(weights), order)


def _by_name(variables: Iterable[Any]) -> dict[str, Any]:
    named: dict[str, np.ndarray] = {}
    for variable in variables:
        name, number = variable.path, 1
        while name in named:  # two of the same path, in a user's layer
            name, number = f"{variable.path}_{number}", number + 1
        named[name] = variable
    return named


def collect_optimizer(optimizer: Any, model: Any) -> Group:
    """An optimizer's variables by name."""
    named = _by_name(optimizer.variables)
    return Group(optimizer.name, named, trained=trained_by(optimizer, model))
