"""The state of a training run: one flat list of arrays with four named parts."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from carnyx._core.placement import Placement
from carnyx._core.scope import current
from carnyx._core.store import Store
from carnyx._core.variable import Variable


class TrainState(NamedTuple):
    """What a step takes and gives, in the order of Keras; lists of arrays (or of
    variables)."""

    trainable_variables: list[Any]
    non_trainable_variables: list[Any]
    optimizer_variables: list[Any]
    metrics_variables: list[Any]


def are_identical(some: Sequence[Variable], others: Sequence[Variable]) -> bool:
    """Whether two lists have the same variables, whose `==` compares elements."""
    return len(some) == len(others) and all(map(operator.is_, some, others))


class HeldState:
    """Every variable of a training run, in one store.

    Their values go through the compiled step, donated, and come back to the variables:
    the newest state is always visible and never copied.

    Args:
        placement: how the values lie on devices; None is on one.
    """

    def __init__(self, parts: TrainState, placement: Placement | None = None) -> None:
        self.parts, self.placement = parts, placement
        flat = [v for part in parts for v in part]
        self.cuts = [0, *accumulate(len(p) for p in parts)]
        self.store = Store(flat, placement)
        self.dtypes = [v.dtype for v in flat]

    @property
    def training_variables(self) -> list[Any]:
        """All but the states of metrics."""
        return [v for part in self.parts[:3] for v in part]

    def fits(self, parts: TrainState, placement: Placement | None) -> bool:
        """Whether it is of these variables, for this placement."""
        same = all(map(are_identical, parts, self.parts))
        return same and placement is self.placement

    def split(self, values: Sequence[Any]) -> TrainState:
        """A flat list as the four parts."""
        pairs = zip(self.cuts, self.cuts[1:], strict=False)
        return TrainState(*(list(values[a:b]) for a, b in pairs))

    def join(self, state: Sequence[Sequence[Any]]) -> list[Any]:
        """The four parts as a flat list, each value in its variable's dtype.

        A weak or promoted dtype would make the next call of the program another one.
        """
        flat = [v for part in state for v in part]
        if len(flat) != len(self.dtypes):
            raise ValueError(
                f"train_step returned a state of {len(flat)} values; expected "
                f"{len(self.dtypes)}: the four lists that it was given, updated."
            )
        flat = [
            v.astype(d) if v.dtype != d or getattr(v, "weak_type", False) else v
            for v, d in zip(flat, self.dtypes, strict=True)
        ]
        placement = current().placement
        return flat if placement is None else placement.keep(self.store.variables, flat)
