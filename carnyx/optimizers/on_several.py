"""One step outside of programs, where variables lie on several devices.

Nothing moves by itself there: a norm of all gradients, or a learning rate, would be on
one device and what it is multiplied by on another. The step is made on copies on one
device, and every new value goes back to where the old one is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from carnyx._core.scope import current, is_tracer, pure
from carnyx._core.variable import Variable


def stepped_on_one(
    optimizer: Any, grads: Sequence[Any], variables: Sequence[Variable]
) -> bool:
    """Whether the step is done, on copies; False where all is on one device (or is
    part of a program, or spread over a mesh)."""
    if current().state is not None:
        return False
    held = list({id(v): v for v in [*variables, *optimizer.variables]}.values())
    if not _several([*grads, *(v.peek() for v in held)]):
        return False
    here = next(iter(variables[0].peek().devices()))
    values = jax.device_put([v.value for v in held], here)
    grads = [None if g is None else jax.device_put(g, here) for g in grads]
    _, new = pure(lambda: optimizer.apply(grads, variables), held)(values)
    for variable, old, value in zip(held, values, new, strict=True):
        if value is not old:
            variable.assign(value)
    return True


def _several(values: Sequence[Any]) -> bool:
    """Whether some arrays are bound to one device and some to another."""
    if any(map(is_tracer, values)):
        return False
    arrays = [v for v in values if isinstance(v, jax.Array) and v.committed]
    places = [v.devices() for v in arrays]
    return all(len(p) == 1 for p in places) and len(set().union(*places)) > 1
