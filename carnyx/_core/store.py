"""Variables whose values go through programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carnyx._core import global_arrays, placement
from carnyx._core.abstract import refuse
from carnyx._core.variable import Variable


class Store:
    """Variables whose values go through a program, donated, and come back.

    Each keeps its value itself, so several stores may have a variable. An array that
    someone outside has read is lent: before it would be given away a copy takes its
    place, so that what a user holds stays valid.

    Args:
        placed: where the program needs the values; None is one device.
    """

    def __init__(
        self, variables: Sequence[Variable], placed: placement.Placement | None = None
    ) -> None:
        self.variables, self.placed = list(variables), placed

    @property
    def values(self) -> list[Any]:
        """The values as they are now."""
        return [v._value for v in self.variables]

    def settled(self) -> list[Any]:
        """The values where the program needs them, to look at; specs where abstract."""
        return [v.settle(self.placed) for v in self.variables]

    def ready(self) -> list[Any]:
        """The values, safe to donate.

        Raises:
            AbstractError: where variables have none.
        """
        placed = self.placed
        changed = [v for v in self.variables if v._lent or v._home is not placed]
        if changed:
            self._make_ready(changed)
        return [v._value for v in self.variables]

    def _make_ready(self, changed: list[Variable]) -> None:
        empty = [v for v in changed if v.abstract]
        if empty:
            refuse(empty)
        for variable in changed:
            variable.settle(self.placed)
        lent = [v for v in changed if v._lent]  # jnp.copy would compile once a shape
        copies = global_arrays.all_copied([v._value for v in lent])
        for variable, copy in zip(lent, copies, strict=True):
            variable._value, variable._lent = copy, False

    def take(self, values: Sequence[Any]) -> None:
        """What a program gave back."""
        for variable, value in zip(self.variables, values, strict=True):
            variable._value = value
