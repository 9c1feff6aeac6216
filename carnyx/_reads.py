"""Which attributes a trace read, and whether they still are what they were.

A program has in it what its trace found in attributes: a dropout's rate, a layer's
activation, a number of the user's own. While a program is traced, reading an attribute
of anything that has a config (layers, losses, metrics, optimizers, …) is noted;
setting one that was noted moves a counter, which programs compare before they run. So
what nobody reads may be set as often as one likes, and a step costs nothing more.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np

_PLAIN = (str, bytes, int, float, bool, type(None), tuple, np.generic)
_MISSING = object()
# Frozen by `compile`, bookkeeping of calls, and what belongs to a loop, not a step.
_NOT_READ = frozenset(
    {"_trainable", "built", "stop_training", "_losses", "_compiled", "_predictor"}
)

C = TypeVar("C")
_recording: ContextVar[Reads | None] = ContextVar("carnyx_reads", default=None)
_names: set[str] = set()  # of attributes that some trace read
_NOTED = "_noted"  # which of its attributes, in an object's own attributes
_count = 0
_lock = threading.Lock()
_recorders = 0
_root: list[type] = []  # the class whose instances are watched


def watch(cls: type[C]) -> type[C]:
    """Class decorator: reads of its instances' attributes are noted in traces."""
    _root.append(cls)
    return cls


def version() -> int:
    """Equal between two calls when nothing that a trace read was set in between."""
    return _count


def move() -> None:
    """Say that something which a trace has read is another now."""
    global _count
    _count += 1


def note_set(instance: object, name: str, value: object) -> None:
    """To be called before an attribute is set."""
    if name not in _names or _recording.get() is not None:
        return
    own = instance.__dict__
    if name in own.get(_NOTED, ()) and not _same(own.get(name, _MISSING), value):
        move()


class Reads:
    """The attributes that the traces of one program read, with their values."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[dict[str, Any], set[str]]] = {}
        self._values: list[tuple[dict[str, Any], str, Any]] = []

    @contextlib.contextmanager
    def recorded(self) -> Iterator[None]:
        """Note what is read inside."""
        token = _recording.set(self)
        _install(1)
        try:
            yield
        finally:
            _install(-1)
            _recording.reset(token)
            # As they are at the end: a call may count its own calls.
            self._values = [
                (own, name, own.get(name, _MISSING))
                for own, names in self._read.values()
                for name in names
            ]

    def note(self, own: dict[str, Any], name: str) -> None:
        key = id(own)
        if key not in self._read:
            self._read[key] = own, set()  # holding it, so that its id stays its own
        names = self._read[key][1]
        if name not in names:
            names.add(name)
            _names.add(name)
            own.setdefault(_NOTED, set()).add(name)

    def hold(self) -> bool:
        """Whether all of them are as they were when they were read."""
        return all(
            _same(value, own.get(name, _MISSING)) for own, name, value in self._values
        )


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if type(a) is not type(b) or not isinstance(a, _PLAIN):
        return False
    try:
        return bool(a == b)
    except ValueError:  # a tuple of arrays
        return False


def _install(change: int) -> None:
    """Watch the attributes of all that have a config, only as long as needed."""
    global _recorders
    with _lock:
        before, _recorders = _recorders, _recorders + change
        for cls in _root:
            if before == 0 and _recorders == 1:
                cls.__getattribute__ = _noted_getattribute  # type: ignore[assignment]
            elif _recorders == 0:
                del cls.__getattribute__


def _noted_getattribute(self: Any, name: str) -> Any:
    value = object.__getattribute__(self, name)
    reads = _recording.get()
    if reads is not None and name[:2] != "__" and name not in _NOT_READ:
        own = object.__getattribute__(self, "__dict__")
        if name in own:
            reads.note(own, name)
    return value
