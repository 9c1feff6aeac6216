"""What layers ask about sizes."""

from __future__ import annotations

from typing import Any

from carnyx._numbers import integers
from carnyx.errors import ShapeError
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
