"""Prediction, compiled: weights are read, not donated, and outputs come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from carnyx._core.placement import Placement, peek_settled
from carnyx._core.scope import scoped
from carnyx._core.variable import Variable


class PredictProgram:
    """`predict_step` on the current values of the variables.

    Args:
        step: `((trainable, non_trainable), batch) -> (outputs, non_trainable)`.
        variables: the two lists of variables.
    """

    def __init__(
        self,
        step: Callable[..., Any],
        variables: tuple[Sequence[Variable], Sequence[Variable]],
        compiled: bool = True,
        placement: Placement | None = None,
    ) -> None:
        self.step, self.variables, self.compiled = step, variables, compiled
        self.placement = placement if compiled else None
        self.flat = [*variables[0], *variables[1]]
        self.key: Any = None  # under which it is known to fit
        self._changed: list[int] = []
        self._run = jax.jit(self._flat) if compiled else self._flat

    def fits(
        self,
        variables: tuple[Sequence[Any], Sequence[Any]],
        eager: bool,
        placement: Placement | None,
    ) -> bool:
        """Whether it is for these variables, on these devices."""
        flat = [*variables[0], *variables[1]]
        return (
            self.compiled is not eager
            and (eager or self.placement is placement)
            and len(flat) == len(self.flat)
            and all(a is b for a, b in zip(flat, self.flat, strict=True))
            and len(variables[0]) == len(self.variables[0])
        )

    def _flat(self, values: list[Any], batch: Any) -> tuple[Any, list[Any]]:
        cut = len(self.variables[0])
        before = values[cut:]
        if self.placement is not None:
            batch = self.placement.whole(batch)
        with scoped(placement=self.placement):
            outputs, after = self.step((values[:cut], before), batch)
        if self.placement is not None:
            outputs = self.placement.shown(outputs)
        # Most models change nothing here; only what changed need come back.
        self._changed = [
            cut + i
            for i, (a, b) in enumerate(zip(before, after, strict=True))
            if a is not b
        ]
        return outputs, [after[i - cut] for i in self._changed]

    def __call__(self, batch: Any) -> Any:
        placement = self.placement
        batch = batch if placement is None else placement.place_batch(batch)
        values = peek_settled(placement, self.flat)
        outputs, changed = self._run(values, batch)
        for index, value in zip(self._changed, changed, strict=True):
            self.flat[index].assign(value)
        return outputs

    def compilations(self) -> int:
        """How many programs have been compiled; for tests."""
        return self._run._cache_size() if self.compiled else 0  # type: ignore[attr-defined]
