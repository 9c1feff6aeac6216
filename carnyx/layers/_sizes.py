"""What layers ask about sizes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from carnyx._numbers import integers
from carnyx.errors import ArgumentError, ShapeError
from carnyx.layers.input_spec import label
from carnyx.typing import Shape


def sizes(value: object, rank: int, name: str, least: int = 1) -> tuple[int, ...]:
    """One integer for each of `rank` axes; a single one counts for all.

    >>> sizes(3, 2, "kernel_size")
    (3, 3)
    """
    return integers(value, rank, name, least)


def known_size(input_shape: Shape, axis: int, layer: Any) -> int:
    """The size of an axis that weights depend on.

    Raises:
        ShapeError: when it is not known, or there is no such axis.
    """
    rank = len(input_shape)
    if not -rank <= axis < rank:
        raise ShapeError(
            f"{label(layer)} got shape {input_shape}, which has no axis {axis}."
        )
    size = input_shape[axis]
    if size is None:
        raise ShapeError(
            f"{label(layer)} got shape {input_shape}; the size of axis {axis} must be "
            "known, since the weights depend on it. Give it in Input(shape=...)."
        )
    return size


def given_input_shape(kwargs: dict[str, Any]) -> Any:
    """The shape given to a first layer (`input_shape=`, `input_dim=`), or None."""
    batch_size = kwargs.pop("batch_size", None)
    kwargs.pop("input_dtype", None)
    for name in ("batch_input_shape", "batch_shape"):
        if name in kwargs:
            return _sizes_of(name, kwargs.pop(name))
    if "input_shape" in kwargs:
        return (batch_size, *_sizes_of("input_shape", kwargs.pop("input_shape")))
    if "input_dim" in kwargs:
        length = (kwargs.pop("input_length"),) if "input_length" in kwargs else ()
        return (batch_size, *length, kwargs.pop("input_dim"))
    return None


def _sizes_of(name: str, given: Any) -> tuple[Any, ...]:
    if not isinstance(given, Iterable) or isinstance(given, str):
        one = f"({given},)" if isinstance(given, int) else "(28, 28)"
        raise ArgumentError(
            f"{name} got {given!r}; expected a tuple of sizes, such as {one}."
        )
    return tuple(given)
