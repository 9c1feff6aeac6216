"""The operations of a traced program, told from its jaxpr.

They are counted with the repeats of their loops, which XLA's own analysis of a program
that is not compiled leaves out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

FUSED = "fused_"  # a jitted function named so is one kernel, such as flash attention
LOOPS = {"scan", "while", "cond"}
MATRIX = {"dot_general", "conv_general_dilated"}
REDUCTIONS = ("reduce", "arg", "cum", "scatter", "select_and")
_NO_WORK = {
    "broadcast_in_dim", "slice", "optimization_barrier", "pad", "rev", "iota",
    "concatenate", "convert_element_type", "gather", "dynamic_slice",
    "dynamic_update_slice", "sharding_constraint", "select_n", "stop_gradient", "split",
    "bitcast_convert_type", "reshape", "squeeze", "expand_dims", "transpose", "copy",
}  # fmt: skip


class Equation(NamedTuple):
    """An equation of a flat program: its variables stand for themselves everywhere."""

    name: str
    inputs: list[Any]
    outputs: list[Any]
    params: dict[str, Any]


class Name:
    """A variable of a flat program: a jaxpr that is called twice has but one set."""

    __slots__ = ("aval",)

    def __init__(self, aval: object) -> None:
        self.aval = aval


def is_literal(x: object) -> bool:
    """Whether it is a number written into the program."""
    return hasattr(x, "val")


def nbytes(x: Any) -> float:
    """The bytes of a variable."""
    dtype = getattr(x.aval, "dtype", None)
    if dtype is None:
        return 0.0
    if jnp.issubdtype(dtype, jax.dtypes.extended):
        return 8 * _size(x)  # a random key
    return _size(x) * np.dtype(dtype).itemsize


def inner_programs(params: dict[str, Any]) -> list[Any]:
    """The programs inside an equation: of a loop, a conditional, a custom rule."""
    found = []
    for value in params.values():
        for item in value if isinstance(value, list | tuple) else [value]:
            item = getattr(item, "jaxpr", item)
            if hasattr(item, "eqns"):
                found.append(item)
    return found


def flatten(jaxpr: Any) -> tuple[list[Equation], list[Any]]:
    """The equations of a program, with those of what it calls in their places and
    without what nothing reads; and its outputs."""
    flat: list[Equation] = []

    def run(program: Any, known: dict[Any, Any]) -> list[Any]:
        def read(x: Any) -> Any:
            return x if is_literal(x) else known[x]

        for equation in program.eqns:
            inputs = [read(x) for x in equation.invars]
            called = _called(equation)
            if called is None:
                outputs = [Name(v.aval) for v in equation.outvars]
                name = equation.primitive.name
                flat.append(Equation(name, inputs, outputs, equation.params))
            else:
                start = dict(zip(called.invars, inputs, strict=True))
                start |= {v: Name(v.aval) for v in called.constvars}
                outputs = run(called, start)
            known.update(zip(equation.outvars, outputs, strict=True))
        return [read(x) for x in program.outvars]

    outputs = run(jaxpr, {v: v for v in [*jaxpr.invars, *jaxpr.constvars]})
    return _alive(flat, outputs), outputs


def _called(equation: Any) -> Any:
    """The program that an equation merely calls, or None."""
    name = equation.primitive.name
    if name in LOOPS or str(equation.params.get("name", "")).startswith(FUSED):
        return None
    found = inner_programs(equation.params)
    fits = len(found) == 1 and len(found[0].invars) == len(equation.invars)
    fits = fits and len(found[0].outvars) == len(equation.outvars)
    calls = ("jit", "call", "remat", "checkpoint")
    return found[0] if fits and any(c in name for c in calls) else None


def _alive(equations: list[Equation], outputs: list[Any]) -> list[Equation]:
    wanted = {x for x in outputs if not is_literal(x)}
    kept = []
    for equation in reversed(equations):
        if any(v in wanted for v in equation.outputs):
            kept.append(equation)
            wanted |= {x for x in equation.inputs if not is_literal(x)}
    return kept[::-1]


class Work(NamedTuple):
    """Floating-point operations.

    Attributes:
        matrix: of matrix products and convolutions, a multiplication and an addition
            being two.
        other: an operation for each element.
        unseen: how many of both an analysis leaves out that takes the body of every
            loop once.
    """

    matrix: float = 0.0
    other: float = 0.0
    unseen: float = 0.0

    def __add__(self, more: Any) -> Work:  # type: ignore[override]
        return Work(*(a + b for a, b in zip(self, more, strict=True)))

    def __mul__(self, repeats: Any) -> Work:  # type: ignore[override]
        once = self.matrix + self.other
        unseen = self.unseen + (repeats - 1) * once
        return Work(repeats * self.matrix, repeats * self.other, unseen)

    @property
    def all(self) -> float:
        return self.matrix + self.other


def work_of(equations: Sequence[Any]) -> Work:
    """The operations of equations, flat or of a jaxpr, and of what they call."""
    total = Work()
    for equation in equations:
        if not isinstance(equation, Equation):
            name, params = equation.primitive.name, equation.params
            equation = Equation(name, equation.invars, equation.outvars, params)
        total = total + _work(equation)
    return total


def _work(equation: Equation) -> Work:
    name, inputs, outputs, params = equation
    if name in MATRIX:
        return Work(_product(equation))
    inside = [] if name.startswith(REDUCTIONS) else inner_programs(params)
    if inside:
        parts = [work_of(program.eqns) for program in inside]
        if name == "cond":
            return max(parts)
        total = sum(parts, Work())
        # how often a while loop runs is not known
        return total * params["length"] if name == "scan" else total
    if name in _NO_WORK:
        return Work()
    over = inputs if name.startswith(REDUCTIONS) else outputs
    return Work(0.0, max((_size(x) for x in over), default=0.0))


def _size(x: Any) -> float:
    return float(math.prod(getattr(x.aval, "shape", ())))


def _product(equation: Equation) -> float:
    name, inputs, outputs, params = equation
    size = 2 * _size(outputs[0])
    numbers = params["dimension_numbers"]
    if name == "dot_general":
        (contracted, _), _ = numbers
        shape = inputs[0].aval.shape
        return size * math.prod(shape[axis] for axis in contracted)
    kernel = inputs[1]  # padding and zeros between are counted with the rest
    size *= _size(kernel) / kernel.aval.shape[numbers.rhs_spec[0]]
    return size / params["batch_group_count"]
