"""All of a model's variables as nested dicts by path, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from carnyx._core.variable import Variable
from carnyx.errors import ArgumentError, UnknownKeyError, nearest

_FORMATS = ("backend_tensor", "numpy_array")


def state_tree(
    groups: dict[str, list[Variable]], value_format: str
) -> dict[str, dict[str, Any]]:
    """`{group: {part of a path: ... value}}`.

    Raises:
        ArgumentError: for another format, or two variables of one path.
    """
    if value_format not in _FORMATS:
        raise ArgumentError(
            f"get_state_tree got value_format={value_format!r}; expected one of "
            f"{_FORMATS}."
        )
    as_numpy = value_format == "numpy_array"
    return {name: _nested(vs, as_numpy) for name, vs in groups.items()}


def _nested(variables: list[Variable], as_numpy: bool) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, variable in _by_path(variables).items():
        *above, last = path.split("/")
        place = tree
        for part in above:
            place = place.setdefault(part, {})
        place[last] = np.asarray(variable.value) if as_numpy else variable.value
    return tree


def _by_path(variables: list[Variable]) -> dict[str, Variable]:
    found: dict[str, Variable] = {}
    for variable in variables:
        if variable.path in found:
            raise ArgumentError(
                f"Two variables of the model have the path {variable.path!r}. Give the "
                "layers (or metrics) that they belong to names that differ."
            )
        found[variable.path] = variable
    return found


def assign_tree(groups: dict[str, list[Variable]], tree: dict[str, Any]) -> None:
    """Assign what `state_tree` gives; what is not in the tree stays as it is.

    Raises:
        UnknownKeyError: for a group or a path that the model does not have.
    """
    for name, values in tree.items():
        if name not in groups:
            raise UnknownKeyError(
                f"set_state_tree got {name!r}; expected {list(groups)}."
                f"{nearest(name, groups)}"
            )
        known = _by_path(groups[name])
        for path, value in _flat(values).items():
            if path not in known:
                raise UnknownKeyError(
                    f"set_state_tree got {path!r} among the {name}, which the model "
                    f"does not have.{nearest(path, known)}"
                )
            known[path].assign(value)


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{above}{name}/") if inner else {above + name: value}
    return flat
