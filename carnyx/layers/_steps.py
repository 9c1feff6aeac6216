"""A layer called once a step of a loop: what it changes goes round with the loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from carnyx._core.scope import State, scoped


class Loop:
    """Calls of `layer` as a pure function of what it changes.

    Attributes:
        variables: what the layer may assign: seeds, moving statistics, states.
        values: what they held when the loop was made.
        owners: the layers whose losses the last call gave.

    Use `loop(values, fn, *args) -> (fn(*args), new values, losses)` in a `lax.scan` or
    `jax.vmap`, then `loop.finish(values, losses)`.
    """

    def __init__(self, layer: Any) -> None:
        self.variables = list(getattr(layer, "non_trainable_variables", ()))
        with scoped(autocast=None):
            self.values = [v.value for v in self.variables]
        self.owners: list[Any] = []

    def __call__(
        self, values: Sequence[Any], fn: Callable[..., Any], *args: Any
    ) -> tuple[Any, list[Any], list[Any]]:
        state = State(zip(self.variables, values, strict=True))
        with scoped(state=state):
            out = fn(*args)
        self.owners = [owner for owner, _ in state.losses]
        new = [state.values[v] for v in self.variables]
        return out, new, [loss for _, loss in state.losses]

    def finish(self, values: Sequence[Any], losses: Sequence[Any] = ()) -> None:
        """Assign the last values; add the losses, summed over the steps."""
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)
        self.add_losses(losses)

    def add_losses(self, losses: Sequence[Any]) -> None:
        """Add the losses of all steps, stacked on axis 0."""
        for owner, loss in zip(self.owners, losses, strict=False):
            owner.add_loss(jnp.sum(loss))
