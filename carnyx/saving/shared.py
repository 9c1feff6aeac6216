"""Values of a description that several processes hold together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from carnyx._core.global_arrays import is_shared, on_host
from carnyx._core.variable import Variable
from carnyx.saving.description import Group, ModelDescription


def are_split(description: ModelDescription) -> bool:
    """Whether a process has some of the values only in part."""
    return any(_is_split(v) for g in _groups(description) for v in g.arrays.values())


def gather(description: ModelDescription, keep: bool) -> None:
    """Bring together what is split, a value at a time; all processes take part.

    Args:
        keep: whether this process keeps the values.
    """
    for group in _groups(description):
        for name, value in group.arrays.items():
            if _is_split(value):
                whole = on_host(_array(value))
                if keep:
                    group.arrays[name] = whole


def _groups(description: ModelDescription) -> Iterator[Group]:
    for groups in (description.weights, description.optimizer):
        yield from (groups[path] for path in sorted(groups))


def _array(value: Any) -> Any:
    return value.peek() if isinstance(value, Variable) else value


def _is_split(value: Any) -> bool:
    array = _array(value)
    return is_shared(array) and not array.is_fully_replicated
