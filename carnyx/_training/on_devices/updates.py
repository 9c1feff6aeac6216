"""An optimizer's step where its variables live on several devices.

Each device updates what lives there, in a program of its own. What an optimizer asks
about all gradients (their norm, whether all are finite) is computed in parts first,
and every device puts the parts together. An optimizer whose update of one variable may
depend on others (MultiOptimizer, Optax, a class with its own `apply` or `update`)
runs as one program on one device, and what it changes goes back to where it lives.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from carnyx._core.scope import State, scoped
from carnyx._core.variable import Variable
from carnyx._training.on_devices.flow import Values
from carnyx._training.on_devices.heads import Reads
from carnyx._training.on_devices.stages import device_puts
from carnyx.optimizers import LossScaleOptimizer, Nadam, Optimizer

_OWN = ("apply", "update", "update_step", "_step", "_clip", "_accumulate", "_average")
Gradients = dict[int, tuple[Any, ...]]


def updates_alone(optimizer: Any) -> bool:
    """Whether every variable's update depends on its own gradient and slots alone, but
    for what `of_all` is asked."""
    if type(optimizer) is LossScaleOptimizer:
        return updates_alone(optimizer.inner_optimizer)
    kind = type(optimizer)
    names = [n for n in _OWN if getattr(kind, n) is not getattr(Optimizer, n)]
    return not names or kind is Nadam


class Share:
    """What an optimizer is told while it updates some of its variables only.

    Args:
        own: ids of the variables that are updated.
        held: ids of all variables whose values are there.
        totals: what was computed about all gradients; None before it is known.
        search: run both sides of every choice, to see what they read and write.
    """

    def __init__(
        self, own: set[int], held: set[int], totals: list[Any] | None = None,
        search: bool = False,
    ) -> None:  # fmt: skip
        self.own, self.held, self.search = own, held, search
        self.final = totals is not None
        self._totals = iter(totals or ())
        self.parts: list[Any] = []
        self.kinds: list[str] = []

    def updates(self, variable: Variable) -> bool:
        return id(variable) in self.own

    def has(self, variable: Variable) -> bool:
        return id(variable) in self.held

    def both(self, then: Callable[[], Any], otherwise: Callable[[], Any]) -> None:
        """Before it is known which side is right: the one that asks, and in a search
        the other, too."""
        then()
        if self.search:
            otherwise()

    def of_all(self, part: Any, how: str) -> Any:
        if self.final:
            return next(self._totals)
        self.parts.append(part)
        self.kinds.append(how)
        return part


class _OnDevice:
    """The step of one device.

    Args:
        own: the trainable variables there.
        whole: these are all, wherever they live.

    Attributes:
        slots: what else it reads or writes and lives there.
        common: the rest: numbers that every device needs.
    """

    def __init__(
        self, optimizer: Any, device: Any, own: Sequence[Variable], whole: bool
    ) -> None:
        self.optimizer, self.device, self.own = optimizer, device, list(own)
        self.whole = whole
        self.ids = {id(v) for v in own}
        self.slots: list[Variable] = []
        self.common: list[Variable] = []
        self.kinds: list[str] = []
        self.ask = jax.jit(self._ask)
        self.update = jax.jit(self._update, donate_argnums=(0, 1))

    def find(self, slots: Sequence[Variable], home: Callable[[Variable], Any]) -> None:
        """See what of the optimizer's variables the step needs."""
        share = None if self.whole else Share(self.ids, set(), search=True)
        seen: set[int] = set()

        def run(own: list[Any], slots_values: list[Any]) -> None:
            pairs = [*zip(self.own, own), *zip(slots, slots_values)]
            state = Reads(pairs)
            with scoped(state=state, share=share):
                self.optimizer.apply([jnp.zeros_like(v) for v in own], self.own)
            seen.update(state.seen)

        jax.eval_shape(run, _specs(self.own), _specs(slots))
        self.kinds = [] if share is None else share.kinds
        found = [v for v in slots if id(v) in seen]
        self.slots = [v for v in found if home(v) == self.device and v.like is not None]
        rest = {id(v) for v in self.slots}
        self.common = [v for v in found if id(v) not in rest]

    def variables(self) -> list[Variable]:
        """All that the step reads or writes."""
        return [*self.own, *self.slots, *self.common]

    def _state(self, *values: list[Any]) -> State:
        return State(zip(self.variables(), itertools.chain(*values), strict=True))

    def _gradients(self, own: list[Any], gradients: list[tuple[Any, ...]]) -> list[Any]:
        """Of a variable that several stages use the sum; of an unused one zeros."""
        return [
            functools.reduce(jnp.add, parts) if parts else jnp.zeros_like(value)
            for value, parts in zip(own, gradients, strict=True)
        ]

    def _ask(
        self, own: list[Any], slots: list[Any], common: list[Any],
        gradients: list[tuple[Any, ...]],
    ) -> list[Any]:  # fmt: skip
        share = Share(self.ids, set())
        with scoped(state=self._state(own, slots, common), share=share):
            self.optimizer.apply(self._gradients(own, gradients), self.own)
        return share.parts

    def _update(
        self, own: list[Any], slots: list[Any], common: list[Any],
        gradients: list[tuple[Any, ...]], parts: list[list[Any]],
    ) -> tuple[list[Any], list[Any], dict[int, Any]]:  # fmt: skip
        joins = {"sum": lambda values: sum(values), "all": _all}
        totals = [
            joins[kind]([share[i] for share in parts])
            for i, kind in enumerate(self.kinds)
        ]
        state = self._state(own, slots, common)
        held = {id(v) for v in self.variables()}
        share = None if self.whole else Share(self.ids, held, totals)
        with scoped(state=state, share=share, platform=self.device.platform):
            self.optimizer.apply(self._gradients(own, gradients), self.own)
        new = [_kept(state, v) for v in [*self.own, *self.slots]]
        changed = {
            i: _kept(state, v)
            for i, (v, old) in enumerate(zip(self.common, common, strict=True))
            if state.values[id(v)] is not old
        }
        return new[: len(own)], new[len(own) :], changed


def _all(values: Sequence[Any]) -> Any:
    return functools.reduce(jnp.logical_and, values)


def _kept(state: State, variable: Variable) -> Any:
    value = jnp.asarray(state.values[id(variable)])
    return value.astype(variable.dtype)


def _specs(variables: Sequence[Variable]) -> list[Any]:
    return [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in variables]


class Updates:
    """An optimizer's step, split over the homes of its variables.

    Args:
        trainable: in the order in which the optimizer was built.
        home: the device of a variable.
        last: the device that keeps what belongs to no variable.
    """

    def __init__(
        self, optimizer: Any, trainable: Sequence[Variable],
        home: Callable[[Variable], Any], last: Any,
    ) -> None:  # fmt: skip
        self.optimizer, self.home = optimizer, home
        self.variables = list(optimizer.variables)
        devices = list(dict.fromkeys(home(v) for v in trainable)) or [last]
        devices.sort(key=lambda d: d != last)  # stable; the numbers' home comes first
        alone = updates_alone(optimizer)
        self.shares = [
            _OnDevice(optimizer, d, [v for v in trainable if home(v) == d], False)
            for d in devices
        ]
        if not alone or len(devices) < 2:
            device = last if not alone else devices[0]
            self.shares = [_OnDevice(optimizer, device, trainable, True)]
        for share in self.shares:
            share.find(self.variables, home)
        self._known = {id(v): v for s in self.shares for v in s.variables()}
        self._wanderers = {
            id(v) for s in self.shares for v in (s.variables() if s.whole else s.common)
        }
        self._copies: dict[Any, tuple[list[Any], list[Any]]] = {}

    def __call__(self, values: Values, gradients: Gradients) -> Values:
        """The new values of all that changed."""
        ready = [self._moved(share, values, gradients) for share in self.shares]
        parts: list[list[Any]] = []
        if self.shares[0].kinds:
            parts = [
                share.ask(*arguments)
                for share, arguments in zip(self.shares, ready, strict=True)
            ]
        new: Values = {}
        for share, arguments in zip(self.shares, ready, strict=True):
            leaves, form = jax.tree_util.tree_flatten(parts)
            moved = device_puts(leaves, share.device)
            result = share.update(*arguments, jax.tree_util.tree_unflatten(form, moved))
            self._keep(share, result, arguments[2], new)
        return self._brought_home(new)

    def _moved(self, share: _OnDevice, values: Values, gradients: Gradients) -> tuple:
        own = [values[id(v)] for v in share.own]
        slots = [values[id(v)] for v in share.slots]
        grads = [gradients.get(id(v), ()) for v in share.own]
        leaves, form = jax.tree_util.tree_flatten((own, slots, grads))
        own, slots, grads = jax.tree_util.tree_unflatten(
            form, device_puts(leaves, share.device)
        )
        return own, slots, self._common(share, values), grads

    def _common(self, share: _OnDevice, values: Values) -> list[Any]:
        """Numbers that every device needs: copies of the last step, if still right."""
        now = [values[id(v)] for v in share.common]
        before, copies = self._copies.get(share.device, ([], []))
        same = len(before) == len(now) and all(map(_is, before, now))
        return copies if same else device_puts(now, share.device)

    def _keep(
        self, share: _OnDevice, result: tuple, common: list[Any], new: Values
    ) -> None:
        own, slots, changed = result
        new |= {id(v): x for v, x in zip(share.own, own, strict=True)}
        new |= {id(v): x for v, x in zip(share.slots, slots, strict=True)}
        for i, value in changed.items():
            new.setdefault(id(share.common[i]), value)  # the same on every device
        copies = [changed.get(i, old) for i, old in enumerate(common)]
        self._copies[share.device] = [], copies

    def _brought_home(self, new: Values) -> Values:
        """What was updated elsewhere than where it lives, moved there."""
        for key in self._wanderers & new.keys():
            variable, value = self._known[key], new[key]
            home = self.home(variable)
            if value.devices() != {home}:
                new[key] = jax.device_put(value, home)
        return new

    def remember(self, values: Values) -> None:
        """These are now the values; the copies on the devices belong to them."""
        for share in self.shares:
            now = [values[id(v)] for v in share.common]
            self._copies[share.device] = now, self._copies[share.device][1]


def _is(a: Any, b: Any) -> bool:
    return a is b
