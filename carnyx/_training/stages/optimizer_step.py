"""An optimizer's step where its variables live on several devices.

The step is traced once, as on one device, and split: each device updates what lives
there, in a program of its own, and what is asked about all gradients (their norm,
whether all are finite) is put together from parts. A step in which arrays of several
devices meet runs as one program on one device, and what it changes goes back to where
it lives.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from carnyx._core.scope import pure, scoped
from carnyx._core.traces import Traces
from carnyx._core.variable import Variable
from carnyx._costs.flops import is_literal
from carnyx._training.stages.arrays import (
    Values,
    device_puts,
    distinct,
    moved_to,
    spec_of,
)
from carnyx._training.stages.split_program import (
    CannotSplit,
    Part,
    SplitProgram,
    packed,
    unpacked,
)

_SMALL = 1024  # elements; such numbers are moved to every device that needs them
Gradients = dict[Variable, tuple[Any, ...]]


class Share(NamedTuple):
    """What one device computes in one round, compiled.

    Attributes:
        donated, read: numbers of the arguments that its program replaces, and reads.
        received: numbers of the shares whose scalars it reads.
        targets: names of the scalars that it gives; in the last round the numbers of
            the variables that it updates.
        copies: numbers of those that live elsewhere and are read here in the next step;
            it computes their new values, too.
    """

    device: Any
    donated: list[int]
    read: list[int]
    received: list[int]
    targets: list[Any]
    copies: list[int]
    program: Callable[..., Any]


class OptimizerStep:
    """An optimizer's step, split over the homes of its variables.

    Args:
        trainable: in the order in which the optimizer was built.
        home_of: the device of a variable.
        last: the device that keeps what belongs to no variable.
    """

    def __init__(
        self, optimizer: Any, trainable: Sequence[Variable],
        home_of: Callable[[Variable], Any], last: Any,
    ) -> None:  # fmt: skip
        self.optimizer, self.trainable, self.last = optimizer, list(trainable), last
        self.variables = distinct([*trainable, *optimizer.variables])
        self.homes = [home_of(v) for v in self.variables]
        self._own = len(self.variables)
        self.traces = Traces()
        self._steps: dict[tuple[int, ...], SplitStep] = {}

    def __call__(self, values: Values, gradients: Gradients) -> Values:
        """The new values of all that changed."""
        parts = [gradients.get(v, ()) for v in self.trainable]
        key = tuple(map(len, parts))
        if key not in self._steps:
            step = self.traces.until_known(lambda: self._traced(parts))
            self._steps[key] = step
        arguments = [values[v] if v in values else v.peek() for v in self.variables]
        new = self._steps[key]([*arguments, *(x for part in parts for x in part)])
        return {self.variables[i]: value for i, value in new.items()}

    def programs(self) -> list[Any]:
        """The compiled functions, so far."""
        return [share.program for step in self._steps.values() for share in step.shares]

    def _traced(self, parts: Sequence[tuple[Any, ...]]) -> SplitStep:
        """The step for variables with so many gradients each."""
        for variable in self.traces.captured[len(self.variables) - self._own :]:
            self.variables.append(variable)  # of nobody, but the step reads it
            self.homes.append(self.last)
        trains = set(self.trainable)
        kept = [
            home if v in trains or v.like is not None or v.size > _SMALL else None
            for v, home in zip(self.variables, self.homes, strict=True)
        ]
        pairs = zip(self.homes, parts, strict=False)
        devices = [*kept, *(home for home, part in pairs for _ in part)]
        specs = [spec_of(v) for v in self.variables]
        shapes = jax.tree_util.tree_map(spec_of, parts)
        closed = jax.make_jaxpr(self._apply)(specs, shapes)
        try:
            split = SplitProgram(closed, devices)
        except CannotSplit:
            split = SplitProgram(closed, [self.last] * len(devices))
            devices = [self.last] * len(devices)
        return SplitStep(split, devices, self.homes, self.last)

    def _apply(self, values: list[Any], parts: list[tuple[Any, ...]]) -> list[Any]:
        """Of a variable that several stages use the sum; of an unused one zeros."""
        pairs = zip(values, parts, strict=False)
        gradients = [
            functools.reduce(jnp.add, part) if part else jnp.zeros_like(value)
            for value, part in pairs
        ]

        def apply() -> None:
            self.optimizer.apply(gradients, self.trainable)

        def run() -> list[Any]:
            return pure(apply, self.variables)(values)[1]

        with scoped(platform=self.last.platform, state=None):
            new, _ = self.traces.run(run, (), (), ())
        return list(map(_kept, new, self.variables))


def _kept(value: Any, variable: Variable) -> Any:
    same = value.dtype == variable.dtype and not getattr(value, "weak_type", False)
    return value if same else jnp.asarray(value).astype(variable.dtype)


class SplitStep:
    """A traced step as programs on devices.

    Args:
        split: a function of the variables' values and of their gradients, that gives
            the new values.
        devices: of the arguments; None for those that are moved to where they are read.
        homes: of the variables.
        last: where what belongs to no device is computed.
    """

    def __init__(
        self, split: SplitProgram, devices: Sequence[Any], homes: Sequence[Any],
        last: Any,
    ) -> None:  # fmt: skip
        self.split, self.devices = split, devices
        self.homes, self.last = homes, last
        # by device and number: a value at home, and its copy on the device
        self._copies: dict[tuple[Any, int], tuple[Any, Any]] = {}
        self.exchanges: list[Share] = []
        for round in range(split.rounds):
            self.exchanges += self._exchange(round)
        self.updates = self._updates()

    @property
    def shares(self) -> list[Share]:
        """All that is computed, in order."""
        return [*self.exchanges, *self.updates]

    def _exchange(self, round: int) -> list[Share]:
        """What gives the scalars of a round."""
        groups: dict[Any, list[Any]] = {}
        for x, at in self.split.exchanged.items():
            if at == round:
                groups.setdefault(self.split.places[x].device, []).append(x)
        return [
            self._share(self.split.part(x, device, round), device, x, packed)
            for device, x in groups.items()
        ]

    def _updates(self) -> list[Share]:
        """What gives the new values."""
        split, groups = self.split, dict[Any, list[int]]()
        for i, (x, before) in enumerate(zip(split.outputs, split.inputs, strict=False)):
            if x is not before:
                groups.setdefault(self._device_of(x, i), []).append(i)
        shares = []
        for device, numbers in groups.items():
            targets = [split.outputs[i] for i in numbers]
            needs = split.part(targets, device, split.rounds).needs
            copies = [i for i in needs if i not in numbers and self._is_common(i)]
            targets += [split.outputs[i] for i in copies]
            part = split.part(targets, device, split.rounds)
            shares.append(self._share(part, device, numbers, list, copies))
        return shares

    def _is_common(self, number: int) -> bool:
        """Whether every device can compute a variable's new value by itself."""
        if number >= len(self.split.outputs) or self.devices[number] is not None:
            return False
        x = self.split.outputs[number]
        changes = x is not self.split.inputs[number] and not is_literal(x)
        return changes and self.split.places[x].device is None

    def _device_of(self, x: Any, number: int) -> Any:
        """Where the new value of a variable is computed."""
        place = None if is_literal(x) else self.split.places[x]
        if place is not None and place.device is not None:
            return place.device
        device = self.devices[number]
        return self.homes[number] if device is None else device

    def _share(
        self, part: Part, device: Any, targets: list[Any], given: Callable[..., Any],
        copies: Sequence[int] = (),
    ) -> Share:  # fmt: skip
        own = {i for i in targets if isinstance(i, int) and self.devices[i] == device}
        donated = [i for i in part.needs if i in own]
        read = [i for i in part.needs if i not in own]
        order = [*donated, *read]
        reads = set(part.received)
        sources = {
            i: share.targets
            for i, share in enumerate(self.exchanges)
            if reads & set(share.targets)
        }

        def run(donated: list[Any], read: list[Any], received: list[Any]) -> list[Any]:
            values = dict(zip(order, [*donated, *read], strict=True))
            known: dict[Any, Any] = {}
            for names, arrays in zip(sources.values(), received, strict=True):
                known |= unpacked(arrays, names)
            return given(part.run([values[i] for i in part.needs], known))

        program = jax.jit(run, donate_argnums=0)
        received = list(sources)
        return Share(device, donated, read, received, targets, list(copies), program)

    # ---- running -----------------------------------------------------------------

    def __call__(self, arguments: Sequence[Any]) -> dict[int, Any]:
        """The new values by the variables' numbers, where those live."""
        scalars: list[list[Any]] = []
        for share in self.exchanges:
            scalars.append(self._run(share, arguments, scalars))
        new: dict[int, Any] = {}
        copied: list[tuple[Any, int, Any]] = []
        for share in self.updates:
            values = self._run(share, arguments, scalars)
            rest = iter(values)
            for number in share.targets:
                value, home = next(rest), self.homes[number]
                same = home is share.device
                new[number] = value if same else jax.device_put(value, home)
            copied += [(share.device, i, next(rest)) for i in share.copies]
        for device, number, copy in copied:
            self._copies[device, number] = new[number], copy
        return new

    def _run(
        self, share: Share, arguments: Sequence[Any], scalars: list[list[Any]]
    ) -> Any:
        donated = [arguments[i] for i in share.donated]
        read = [self._here(share.device, i, arguments[i]) for i in share.read]
        received = [scalars[i] for i in share.received]
        return share.program(*moved_to((donated, read, received), share.device))

    def _here(self, device: Any, number: int, value: Any) -> Any:
        """A value that every device needs: the copy of the last step, if still right;
        moving it takes the host as long as a program."""
        if self.devices[number] is not None or self.homes[number] == device:
            return value
        home, copy = self._copies.get((device, number), (None, None))
        if home is not value:
            (copy,) = device_puts([value], device)
            self._copies[device, number] = value, copy
        return copy
