"""Cells of any kind: what one has to have, and several as one.

A cell is anything with `state_size` and `call(inputs, states) -> (output, states)`,
the user's own too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from carnyx import registry, tree
from carnyx.configurable import field
from carnyx.errors import ArgumentError
from carnyx.layers.base import Layer
from carnyx.ops._creation import zeros
from carnyx.typing import Shape, Tensor


class StackedRNNCells(Layer):
    """Cells one upon the other as one cell: the output of each is the next one's input.

    >>> import numpy as np
    >>> from carnyx.layers import RNN, GRUCell, LSTMCell
    >>> RNN([LSTMCell(3), GRUCell(4)])(np.ones((2, 5, 1))).shape
    (2, 4)
    """

    cells: Any = field(convert=lambda cells: [revived(c) for c in cells])

    def __post_init__(self) -> None:
        for cell in self.cells:
            check_cell(cell, type(self).__name__)

    @property
    def state_size(self) -> list[Any]:
        """The state sizes of each cell."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> Any:
        """That of the last cell."""
        return output_size(self.cells[-1])

    def get_initial_state(self, batch_size: int | None = None) -> list[Any]:
        """A list of states a cell."""
        return [initial_state(c, batch_size, self.compute_dtype) for c in self.cells]

    def build(self, input_shape: Shape) -> None:
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell.build(input_shape)
            input_shape = (input_shape[0], output_size(cell))

    @contextlib.contextmanager
    def held_masks(self, x_shape: Shape, states: Any, training: bool) -> Iterator[None]:
        """As for one cell, for each."""
        with contextlib.ExitStack() as stack:
            for cell, own in zip(self.cells, states, strict=True):
                if hasattr(cell, "held_masks"):
                    own = own if tree.is_nested(own) else [own]
                    stack.enter_context(cell.held_masks(x_shape, own, training))
                x_shape = (x_shape[0], output_size(cell))
            yield

    def call(self, inputs: Tensor, states: Any, training: bool = False) -> tuple:
        new = []
        for cell, own in zip(self.cells, states, strict=True):
            given = list(own) if tree.is_nested(own) else [own]
            how = {"training": training} if isinstance(cell, Layer) else {}
            call: Any = cell if callable(cell) else cell.call
            inputs, after = call(inputs, given, **how)
            new.append(tree.pack_sequence_as(own, tree.flatten(after)))
        return inputs, new


def revived(value: Any) -> Any:
    """An object from its config, or the object itself."""
    if registry.is_serialized(value):
        return registry.deserialize_keras_object(value)
    return value


def check_cell(cell: object, owner: str) -> None:
    """Raise ArgumentError for what is no cell."""
    for need in ("call", "state_size"):
        if getattr(cell, need, None) is None:
            raise ArgumentError(
                f"{owner} got cell={cell!r}, which has no {need!r}. A cell needs "
                "call(inputs, states) -> (output, new_states) and state_size, an "
                "integer or a list of integers."
            )


def output_size(cell: Any) -> Any:
    """How many features a cell gives: as it says, else the size of its first state."""
    said = getattr(cell, "output_size", None)
    return tree.flatten(cell.state_size)[0] if said is None else said


def initial_state(cell: Any, batch_size: Any, dtype: Any) -> Any:
    """The states that a cell begins with: as it says, else zeros."""
    make = getattr(cell, "get_initial_state", None)
    if make is not None:
        return make(batch_size=batch_size)
    return tree.map_structure(
        lambda size: zeros((batch_size, size), dtype), cell.state_size
    )


__all__ = ["StackedRNNCells"]
