"""Random numbers by place: what is drawn for an element of a feed depends on where it
stands, not on what was drawn before it.

Threads make elements in any order, and a resumed training makes only some of them. So
while an element is made, seed generators do not go on from where they are: they begin
at a key of their own seed, the pass and the element's place, and stay as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from carnyx._core.variable import Variable

STATE_NAME = "seed_generator_state"


class Position:
    """Where an element stands, as numbers; for one thread, while it is made."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers
        self._states: dict[Variable, Any] = {}

    def value(self, variable: Variable) -> jax.Array:
        """The state of a seed generator here; of any other variable, its value."""
        if variable not in self._states:
            if variable.name != STATE_NAME:
                return variable.peek()
            seed = int(np.asarray(variable.peek())[0])
            mixed = np.random.SeedSequence([seed, *self.numbers])
            self._states[variable] = jnp.asarray(mixed.generate_state(2))
        return self._states[variable]

    def keep(self, variable: Variable, value: jax.Array) -> None:
        """What a draw leaves behind, for the next draw at this place."""
        self._states[variable] = value
