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
from carnyx.layers._children import own_variables
from carnyx.layers.base import Layer
from carnyx.saving.description import TOP, Group

_NEVER = frozenset({"_given", "_inbound_nodes", "_functional", "_stack"})


def objects(root: Any) -> Iterator[tuple[str, Any]]:
    """Each part that has variables of its own or might, with its path."""
    seen: dict[int, Any] = {}  # kept alive: an id must not be given out again
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


def is_optimizer(item: Any) -> bool:
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


def collect(root: Any) -> dict[str, Group]:
    """The arrays of a model by path."""
    groups = {}
    for path, item in objects(root):
        store: dict[str, Any] = {}
        if isinstance(item, SeedGenerator):
            store["0"] = item.state
        else:
            item.save_own_variables(store)
        name = getattr(item, "name", None)
        groups[path] = Group(name if isinstance(name, str) else None, store)
    return groups


def legacy_variables(layer: Any) -> list[Any]:
    """The order of weights in the HDF5 layout that Keras 2 and 3 share."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def collect_by_layer(model: Any) -> dict[str, Group]:
    """The arrays of a model by the name of its layers."""
    groups = {
        layer.name: Group(layer.name, _by_name(legacy_variables(layer)))
        for layer in model.layers
    }
    return groups | {TOP: Group(None, _by_name(own_variables(model)))}


def _by_name(variables: Iterable[Any]) -> dict[str, Any]:
    named: dict[str, np.ndarray] = {}
    for variable in variables:
        name, number = variable.path, 1
        while name in named:  # two of the same path, in a user's layer
            name, number = f"{variable.path}_{number}", number + 1
        named[name] = variable
    return named


def collect_optimizer(optimizer: Any) -> Group:
    """An optimizer's variables by name."""
    return Group(optimizer.name, _by_name(optimizer.variables))
