"""Prediction, compiled: weights are read, not donated, and outputs come back."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax

from carnyx._core.compilations import compilations
from carnyx._core.placement import Placement, peek_settled
from carnyx._core.scope import scoped
from carnyx._core.traces import Traces, Variants
from carnyx._core.variable import Variable
from carnyx._training.protocols import Batch
from carnyx._training.state import are_identical


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
        self._variants = Variants(lambda: _Function(self))

    def fits(
        self,
        variables: tuple[Sequence[Any], Sequence[Any]],
        eager: bool,
        placement: Placement | None,
    ) -> bool:
        """Whether it is for these variables, on these devices."""
        same = all(map(are_identical, variables, self.variables))
        here = eager or self.placement is placement
        return same and here and self.compiled is not eager

    def run(
        self, traces: Traces, values: list[Any], captured: list[Any], batch: Batch
    ) -> tuple[Any, dict[int, Any], dict[int, Any]]:
        """Outputs, and by their places the values that are others than before; most
        models change nothing here."""
        cut = len(self.variables[0])
        before, placement = values[cut:], self.placement
        if placement is not None:
            batch = placement.whole(batch)

        def step() -> Any:
            outputs, after = self.step((values[:cut], before), batch)
            return (outputs if placement is None else placement.shown(outputs)), after

        with scoped(placement=placement):
            (outputs, after), more = traces.run(step, self.flat, values, captured)
        pairs = enumerate(zip(before, after, strict=True), cut)
        return outputs, {i: new for i, (old, new) in pairs if new is not old}, more

    def __call__(self, batch: Batch) -> Any:
        placement = self.placement
        batch = batch if placement is None else placement.place_batch(batch)
        now = self._variants.now()
        traces: Traces = now.traces

        def call() -> Any:
            values = peek_settled(placement, self.flat)
            return now.run(values, traces.values(placement), batch)

        outputs, changed, more = traces.until_known(call)
        for place, value in changed.items():
            self.flat[place].assign(value)
        traces.keep(more)
        return outputs

    def compilations(self) -> int:
        """How many programs have been compiled; for tests."""
        functions = (f.run for f in self._variants.all)
        return compilations(functions) if self.compiled else 0


class _Function:
    """The jitted function, and what its traces met."""

    def __init__(self, program: PredictProgram) -> None:
        self.traces = Traces(program.compiled)
        run = functools.partial(program.run, self.traces)
        self.run: Any = jax.jit(run) if program.compiled else run
