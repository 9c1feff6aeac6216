"""What learns a state from data before training: `adapt`, in one pass."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np

from carnyx.errors import ArgumentError, ArgumentTypeError, DataError
from carnyx.layers.preprocessing._host import as_numpy
from carnyx.typing import Data

_ROWS = 1 << 16  # of what is mapped or read from files, at a time


class Adapts:
    """Mixin: a subclass writes `update_state`, `finalize_state` and `reset_state`."""

    _lists_are_data = True  # and no batches

    def adapt(self, data: Data, steps: int | None = None) -> None:
        """Learn the state from data, instead of what was learned before.

        Args:
            data: an array, a list, a table, or anything that gives batches: a
                generator, `Dataset`, `PyDataset`, `DataLoader`, `tf.data`. Of batches
                `(x, y)`, x is taken. It is read once, a batch at a time.
            steps: how many batches to take of a source that has no end.
        """
        self._adapt(batches(data, steps, self._lists_are_data))

    def _adapt(self, given: Iterable[np.ndarray]) -> None:
        self.reset_state()
        for batch in given:
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Data) -> None:
        """Add a batch to what is known."""
        raise NotImplementedError(f"{type(self).__name__} must define update_state.")

    def finalize_state(self) -> None:
        """Make the state of what is known."""

    def reset_state(self) -> None:
        """Forget the batches seen."""


def batches(
    data: Data, steps: int | None, lists_are_data: bool, size: int | None = None
) -> Iterator[np.ndarray]:
    """The batches of anything that has some, as arrays of NumPy.

    Args:
        size: how many rows of an array to give at a time; None gives it as a whole,
            unless it is larger than memory may be.
    """
    if is_array(data) or (lists_are_data and isinstance(data, list | tuple)):
        if steps is not None:
            raise ArgumentError(
                f"adapt got steps={steps} with an array or a list, which has no "
                "batches. Leave it out, or cut the array."
            )
        yield from _parts(data, size)
        return
    if not hasattr(data, "__iter__") and not hasattr(data, "__getitem__"):
        raise ArgumentTypeError(
            f"adapt got {type(data).__name__}; expected an array, a list, a table, or "
            "what gives batches of them."
        )
    empty = True
    for item in itertools.islice(_items(data), steps):
        empty = False
        yield as_numpy(_inputs_of(item))
    if empty:
        raise DataError("adapt got no batches: the source is empty.")


def is_array(data: Data) -> bool:
    """An array or a table, of any library."""
    return isinstance(data, np.ndarray | jax.Array) or (
        hasattr(data, "__array__") and hasattr(data, "shape")
    )


def _parts(data: Data, size: int | None) -> Iterator[np.ndarray]:
    in_memory = isinstance(data, np.ndarray | jax.Array | list | tuple)
    mapped = isinstance(data, np.memmap)
    if hasattr(data, "columns") or (in_memory and not mapped and size is None):
        yield as_numpy(data)
        return
    rows = size or _ROWS
    for first in range(0, len(data), rows):
        yield as_numpy(data[first : first + rows])


def _items(data: Data) -> Iterator[Any]:
    """One pass over a source."""
    if hasattr(data, "num_batches") and hasattr(data, "__getitem__"):
        count: Any = data.num_batches
        count = count() if callable(count) else count
        yield from (data[i] for i in range(int(count)))
    else:
        yield from data


def _inputs_of(item: Data) -> Any:
    """x of `(x, y)`; a list of texts or numbers is x itself."""
    several = isinstance(item, tuple) or (
        isinstance(item, list) and item and all(hasattr(v, "shape") for v in item)
    )
    return item[0] if several else item
