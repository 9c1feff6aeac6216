"""Which gradient is of which variable."""

from __future__ import annotations

import warnings
from typing import Any

from carnyx._core.variable import Variable
from carnyx.errors import ArgumentError, NotBuiltError
from carnyx.optimizers.options import as_array


def matched(o: Any, grads: list[Any], variables: Any) -> list[Variable]:
    """The variables that gradients are for, an optimizer built on them.

    Raises:
        ArgumentError: for variables that it does not know, or another number of them.
    """
    if variables is None:
        if not o.built:
            raise NotBuiltError(
                f"{o.name!r} got gradients without variables and is not built; "
                "pass the variables, or call build(trainable_variables) first."
            )
        variables = o._trainable_variables
    variables = list(variables)
    if not o.built:
        o.build(variables)
    for v in variables:
        if id(v) not in o._index:
            raise ArgumentError(
                f"Variable {v.path!r} is unknown to {o.name!r}, which was built "
                f"with {len(o._index)} other variables; make a new optimizer "
                "for another set of variables."
            )
    if len(grads) != len(variables):
        raise ArgumentError(
            f"{o.name!r} got {len(grads)} gradients for {len(variables)} "
            "variables; expected one for each."
        )
    return variables


def with_gradients(grads: list, variables: list) -> tuple[list, list]:
    """The gradients that are there, with their variables.

    Raises:
        ArgumentError: where there is none.
    """
    pairs = [(as_array(g), v) for g, v in zip(grads, variables) if g is not None]
    missing = [v.path for g, v in zip(grads, variables) if g is None]
    if not pairs:
        raise ArgumentError("No gradient is there for any variable: all are None.")
    if missing:
        warnings.warn(
            f"Variables {missing} have no gradient (None) and are left as they "
            "are; does the loss depend on them?",
            stacklevel=3,
        )
    return [g for g, _ in pairs], [v for _, v in pairs]
