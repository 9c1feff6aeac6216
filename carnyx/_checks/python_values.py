"""Random numbers and times that a traced `call` takes from Python.

A compiled step repeats what was traced: what `call` draws with NumPy or Python then is
one number for ever.
"""

from __future__ import annotations

import dis
import random
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from carnyx import registry
from carnyx._checks.told import warn_once
from carnyx.layers.base import Layer

_CLOCKS = frozenset(("time", "perf_counter", "monotonic", "time_ns", "now", "utcnow"))
_READS = ("LOAD_ATTR", "LOAD_METHOD")
_CLOCK_MODULES = frozenset(("time", "datetime"))


class PythonValues:
    """Looks after every layer of a user's own whether a generator has moved on."""

    def __init__(self, model: Any, told: set[str]) -> None:
        self.told = told
        own = [x for x in model._flatten_layers() if not _is_ours(x)]
        self._own = {id(layer): _generators(layer) for layer in own}
        shared = ["numpy.random", "random"] if self._own else []
        self._before = {name: _state(name) for name in shared}

    def own_draw(self, draw: Callable[[], int]) -> int:
        """A seed for something new: no number that `call` computes with."""
        still = self._before.get("random") == _state("random")
        drawn = draw()
        if still:
            self._before["random"] = _state("random")
        return drawn

    def look(self, layer: Layer) -> None:
        """A layer was called."""
        if id(layer) not in self._own:
            return
        for name, before in self._before.items():
            now = _state(name)
            if now != before:
                self._before[name] = now
                self._warn(layer, name)
        for name, (generator, before) in self._own[id(layer)].items():
            if _position(generator) != before:
                self._warn(layer, name)
        fresh = _named_in_call(layer)
        if fresh:
            self._warn(layer, fresh)

    def _warn(self, layer: Any, what: str) -> None:
        clock = what.split(".")[0] in _CLOCK_MODULES
        way = (
            "Pass it in as an input, or keep it in a weight that a callback assigns."
            if clock
            else "Use keras.random with a keras.random.SeedGenerator made in __init__."
        )
        warn_once(
            self.told,
            f"Layer {layer.name!r} ({type(layer).__name__}) uses {what} in its call(). "
            "A step is compiled: Python runs once, and the value that it gave then is "
            f"used in every step. {way}",
        )


def _is_ours(layer: Any) -> bool:
    cls = type(layer)
    return registry.is_own(cls) and layer._code() is cls.call


def _state(name: str) -> Any:
    if name == "random":
        return hash(random.getstate())
    kind, keys, position, *_ = np.random.get_state()
    return kind, position, keys.tobytes()


def _position(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return repr(generator.bit_generator.state)
    if isinstance(generator, np.random.RandomState):
        return repr(generator.get_state()[1:3])
    return hash(generator.getstate())


def _generators(layer: Any) -> dict[str, tuple[Any, Any]]:
    """The generators that `call` can reach, and where they stand: those in attributes
    of the layer and of its class, and global ones that it names."""
    reached: dict[str, Any] = {}
    call = layer._code()
    if isinstance(call, types.FunctionType):
        starts = [start for start, _ in _chains(call.__code__)]
        reached |= {start: call.__globals__.get(start) for start in starts}
    for holder in (*reversed(type(layer).__mro__), layer):
        if not registry.is_own(holder):
            held = getattr(holder, "__dict__", {})
            reached |= {f"self.{name}": value for name, value in held.items()}
    kinds = np.random.Generator | np.random.RandomState | random.Random
    found = {name: v for name, v in reached.items() if isinstance(v, kinds)}
    return {name: (value, _position(value)) for name, value in found.items()}


def _named_in_call(layer: Any) -> str:
    """A clock, or a new generator, that the code of `call` names."""
    call = layer._code()
    if not isinstance(call, types.FunctionType):
        return ""
    for start, attributes in _chains(call.__code__):
        owner = call.__globals__.get(start)
        module = str(getattr(owner, "__module__", "") or getattr(owner, "__name__", ""))
        clock = {start, *attributes[-1:]} & _CLOCKS
        if module in _CLOCK_MODULES and clock:
            return f"{module}.{attributes[-1] if attributes else start}"
        if owner is np and attributes == ["random", "default_rng"]:
            return "numpy.random.default_rng"
    return ""


def _chains(code: types.CodeType) -> list[tuple[str, list[str]]]:
    """The globals that code reads, each with the attributes read of it at once."""
    found: list[tuple[str, list[str]]] = []
    reading = False
    for step in dis.get_instructions(code):
        if step.opname == "LOAD_GLOBAL":
            found.append((step.argval, []))
        elif reading and step.opname in _READS:
            found[-1][1].append(step.argval)
        reading = step.opname == "LOAD_GLOBAL" or (reading and step.opname in _READS)
    return found
