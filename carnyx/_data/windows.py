"""Which part of a pass over the data an epoch is, where it has fewer steps."""

from __future__ import annotations

import warnings
from typing import NamedTuple


class Window(NamedTuple):
    """The batches of an epoch: `count` of them, from the `first` of a pass on."""

    number: int  # of the pass
    first: int
    count: int


class Windows:
    """Epochs of `steps` batches; the last of a pass has what is left of it.

    So a pass ends with an epoch, and each begins with all samples in a new order.

    >>> [Windows(5, 2).of(epoch)[1:] for epoch in range(4)]
    [(0, 2), (2, 2), (4, 1), (0, 2)]
    """

    def __init__(self, batches: int, steps: int | None) -> None:
        self.batches, self.steps = batches, min(steps or batches, batches)
        self._told = False

    def of(self, epoch: int) -> Window:
        """The batches of an epoch."""
        number, place = divmod(epoch, -(-self.batches // self.steps))
        first = place * self.steps
        return Window(number, first, min(self.steps, self.batches - first))

    def tell(self, epoch: int, name: str) -> None:
        """Warn, once, where an epoch was shorter than was asked for."""
        count = self.of(epoch).count
        if count == self.steps or self._told:
            return
        self._told = True
        warnings.warn(
            f"The data ran out after {count} of {self.steps} batches in epoch "
            f"{epoch + 1}: {name} has {self.batches} batches, and the next epoch "
            "begins them anew. Give a number of steps that divides them, or none.",
            stacklevel=2,
        )
