"""A traced function, split over the devices on which its inputs lie.

An equation runs where its arrays are. Scalars of several devices may meet (norms of
gradients, whether all are finite): each device computes its own, they are exchanged,
and what follows from them is computed wherever it is needed. Nothing is known of what
the function is: an optimizer's step is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from carnyx._costs.flops import Name, inner_programs, is_literal
from carnyx._training.stages.split_equations import (
    chooser,
    needed_by,
    passed_through,
    runner,
)

_CALLS = {"jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat2"}


class CannotSplit(Exception):
    """Arrays of several devices meet in one equation."""


class Equation(NamedTuple):
    """One operation: `run(*inputs)` gives its outputs."""

    run: Callable[..., Sequence[Any]]
    inputs: list[Any]
    outputs: list[Any]


class Place(NamedTuple):
    """Where a value is.

    Attributes:
        device: None for what every device that needs it computes by itself.
        round: after how many exchanges it is known.
    """

    device: Any
    round: int


class SplitProgram:
    """The equations of a traced function with their places.

    Args:
        closed: what `jax.make_jaxpr` gave.
        devices: of each input; None for a small one that is moved where it is needed.

    Attributes:
        inputs, outputs: names of values (or numbers), in the function's order.
        exchanged: what is sent to all devices, in each round.

    Raises:
        CannotSplit: where arrays of several devices meet.
    """

    def __init__(self, closed: Any, devices: Sequence[Any]) -> None:
        jaxpr = closed.jaxpr
        self.inputs = [Name(v.aval) for v in jaxpr.invars]
        self.places = {
            name: Place(device, 0)
            for name, device in zip(self.inputs, devices, strict=True)
        }
        self.equations: list[Equation] = []
        self.exchanged: dict[Any, int] = {}  # from a value to its round
        self.outputs = self._walk(jaxpr, closed.consts, self.inputs)

    @property
    def rounds(self) -> int:
        """How many exchanges there are."""
        return max(self.exchanged.values(), default=-1) + 1

    # ---- flat equations ----------------------------------------------------------

    def _walk(self, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any]) -> list:
        """Take in the equations of a program; the values of its outputs."""
        known = dict(zip(jaxpr.invars, inputs, strict=True))
        for variable, value in zip(jaxpr.constvars, consts, strict=True):
            known[variable] = Name(variable.aval)
            self._add(lambda value=value: [value], [], [known[variable]])

        def read(x: Any) -> Any:
            return x if is_literal(x) else known[x]

        for equation in jaxpr.eqns:
            given = [read(x) for x in equation.invars]
            found = self._take(equation, given, jaxpr)
            known.update(zip(equation.outvars, found, strict=True))
        return [read(x) for x in jaxpr.outvars]

    def _take(self, equation: Any, inputs: list[Any], program: Any) -> list[Any]:
        name = equation.primitive.name
        if name == "cond":
            return self._take_choice(equation.params["branches"], inputs)
        inner = inner_programs(equation.params) if name in _CALLS else []
        if len(inner) == 1:
            closed = (p for p in equation.params.values() if hasattr(p, "consts"))
            consts = next((p.consts for p in closed), [])
            return self._walk(inner[0], consts, inputs)
        outputs = [Name(v.aval) for v in equation.outvars]
        self._add(runner(equation, program), inputs, outputs)
        return outputs

    def _take_choice(self, branches: Sequence[Any], inputs: list[Any]) -> list[Any]:
        """Each device chooses for its own outputs; where one needs arrays of several
        devices, all sides are computed, and chosen from."""
        index, *given = inputs
        count = len(branches[0].jaxpr.outvars)
        needs = [needed_by(branches, i) for i in range(count)]
        outputs = [passed_through(branches, i, given) for i in range(count)]
        groups: dict[Any, list[int]] = {}
        for i in range(count):
            if outputs[i] is None:
                devices = self._devices_of_arrays(given[j] for j in needs[i])
                if len(devices) > 1:
                    return self._select(branches, index, given)
                groups.setdefault(next(iter(devices), None), []).append(i)
        for wanted in groups.values():
            needed = sorted({j for i in wanted for j in needs[i]})
            names = [Name(branches[0].jaxpr.outvars[i].aval) for i in wanted]
            run = chooser(branches, wanted, needed)
            self._add(run, [index, *(given[j] for j in needed)], names)
            for i, name in zip(wanted, names, strict=True):
                outputs[i] = name
        return outputs

    def _select(self, branches: Sequence[Any], index: Any, given: list) -> list[Any]:
        sides = [self._walk(b.jaxpr, b.consts, given) for b in branches]
        outputs = []
        for cases in zip(*sides, strict=True):
            if all(case is cases[0] for case in cases):
                outputs.append(cases[0])
                continue
            name = Name(cases[0].aval)
            self._add(lambda *x: [lax.select_n(*x)], [index, *cases], [name])
            outputs.append(name)
        return outputs

    # ---- places ------------------------------------------------------------------

    def _devices_of_arrays(self, names: Any) -> set[Any]:
        found = {self._place(x).device for x in names if not _is_scalar(x)}
        return found - {None}

    def _place(self, x: Any) -> Place:
        return Place(None, 0) if is_literal(x) else self.places[x]

    def _add(
        self, run: Callable[..., Any], inputs: list[Any], outputs: list[Any]
    ) -> None:
        self.equations.append(Equation(run, inputs, outputs))
        place = self._meeting(inputs)
        self.places.update((name, place) for name in outputs)

    def _meeting(self, inputs: list[Any]) -> Place:
        """Where values meet; scalars from elsewhere are exchanged for that."""
        places = [self._place(x) for x in inputs]
        homes = {place.device for place in places} - {None}
        scalars = all(map(_is_scalar, inputs))
        among_totals = scalars and any(p.round and p.device is None for p in places)
        if len(homes) > 1 or (homes and among_totals):
            arrays = self._devices_of_arrays(inputs)
            if len(arrays) > 1:
                raise CannotSplit
            homes = arrays
            for x, place in zip(inputs, places, strict=True):
                if place.device is not None and place.device not in homes:
                    self.exchanged.setdefault(x, place.round)
        rounds = [
            self.exchanged[x] + 1 if self._arrives(x, homes) else place.round
            for x, place in zip(inputs, places, strict=True)
        ]
        return Place(next(iter(homes), None), max(rounds, default=0))

    def _arrives(self, x: Any, homes: set[Any]) -> bool:
        """Whether a value has to come from another device."""
        if is_literal(x) or x not in self.exchanged:
            return False
        return self.places[x].device not in homes

    # ---- programs ----------------------------------------------------------------

    def part(self, targets: Sequence[Any], device: Any, round: int) -> Part:
        """What one device computes in a round.

        Args:
            targets: the values that are wanted; those of the round itself.
        """
        received = {
            x
            for x, at in self.exchanged.items()
            if at < round and self.places[x].device != device
        }
        wanted = {x for x in targets if not is_literal(x)}
        kept: list[Equation] = []
        for equation in reversed(self.equations):
            if any(x in wanted and x not in received for x in equation.outputs):
                kept.append(equation)
                wanted.update(x for x in equation.inputs if not is_literal(x))
        return Part(
            [i for i, x in enumerate(self.inputs) if x in wanted and x not in received],
            [x for x in self.exchanged if x in wanted and x in received],
            kept[::-1],
            list(targets),
            self.inputs,
        )


class Part(NamedTuple):
    """The equations of one device in one round.

    Attributes:
        needs: numbers of the function's inputs that it reads.
        received: the exchanged values that it reads.
    """

    needs: list[int]
    received: list[Any]
    equations: list[Equation]
    targets: list[Any]
    inputs: list[Any]

    def run(self, inputs: Sequence[Any], received: dict[Any, Any]) -> list[Any]:
        """The targets' values, from those of `needs` and of `received`."""
        known = dict(zip((self.inputs[i] for i in self.needs), inputs, strict=True))
        known |= received

        def read(x: Any) -> Any:
            return x.val if is_literal(x) else known[x]

        for run, given, outputs in self.equations:
            found = zip(outputs, run(*map(read, given)), strict=True)
            known |= {name: x for name, x in found if name not in received}
        return [read(x) for x in self.targets]


def packed(values: Sequence[Any]) -> list[Any]:
    """Scalars as one array for each dtype, so that few have to be moved."""
    groups: dict[Any, list[Any]] = {}
    for value in values:
        groups.setdefault(value.dtype, []).append(value.reshape(()))
    return [jnp.stack(group) for group in groups.values()]


def unpacked(arrays: Sequence[Any], names: Sequence[Any]) -> dict[Any, Any]:
    """The scalars of `packed` again, by name."""
    groups: dict[Any, list[Any]] = {}
    for name in names:
        groups.setdefault(name.aval.dtype, []).append(name)
    return {
        name: array[i].reshape(name.aval.shape)
        for array, group in zip(arrays, groups.values(), strict=True)
        for i, name in enumerate(group)
    }


def _is_scalar(x: Any) -> bool:
    return x.aval.size == 1
