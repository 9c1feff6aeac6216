"""Equations of a traced program as functions, and choices between programs in parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.core import eval_jaxpr
from jax.extend.core import Jaxpr

from carnyx._costs.flops import is_literal


def runner(equation: Any, program: Any) -> Callable[..., Sequence[Any]]:
    """An equation of a program as a function."""
    variables = list(dict.fromkeys(x for x in equation.invars if not is_literal(x)))
    alone = Jaxpr(
        (), variables, equation.outvars, [equation],
        effects=equation.effects, debug_info=program.debug_info,
    )  # fmt: skip

    def run(*values: Any) -> Sequence[Any]:
        pairs = zip(equation.invars, values, strict=True)
        known = {x: value for x, value in pairs if not is_literal(x)}
        return eval_jaxpr(alone, (), *(known[x] for x in variables))

    return run


def needed_by(branches: Sequence[Any], output: int) -> set[int]:
    """Which operands an output of a choice depends on, on any side."""
    found: set[int] = set()
    for branch in branches:
        jaxpr = branch.jaxpr
        live = {x for x in [jaxpr.outvars[output]] if not is_literal(x)}
        for equation in reversed(jaxpr.eqns):
            if any(x in live for x in equation.outvars):
                live |= {x for x in equation.invars if not is_literal(x)}
        found |= {i for i, x in enumerate(jaxpr.invars) if x in live}
    return found


def passed_through(branches: Sequence[Any], output: int, given: list[Any]) -> Any:
    """The operand that an output is on all sides, or None."""
    places = set()
    for branch in branches:
        out = branch.jaxpr.outvars[output]
        own = [i for i, x in enumerate(branch.jaxpr.invars) if x is out]
        places.add(own[0] if own else None)
    place = places.pop()
    return None if places or place is None else given[place]


def chooser(
    branches: Sequence[Any], wanted: Sequence[int], needed: Sequence[int]
) -> Callable[..., Sequence[Any]]:
    """A choice that gives some of its outputs, from those operands that they need."""

    def side(branch: Any) -> Callable[..., list[Any]]:
        def run(*values: Any) -> list[Any]:
            known = dict(zip(needed, values, strict=True))
            given = [
                known[i] if i in known else jnp.zeros(x.aval.shape, x.aval.dtype)
                for i, x in enumerate(branch.jaxpr.invars)
            ]
            found = eval_jaxpr(branch.jaxpr, branch.consts, *given)
            return [found[i] for i in wanted]

        return run

    return lambda index, *values: lax.switch(index, list(map(side, branches)), *values)
