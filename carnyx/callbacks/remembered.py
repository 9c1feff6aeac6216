"""What callbacks that users wrote remember, without saying so.

Attributes that a hook has set or filled since training began, and that are plain data,
are kept in backups; what the constructor was given is not, so that another value may be
given when a job goes on. A callback that says itself what to keep (`_state`, or `state`
and `restore`) is believed.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from carnyx import registry

_SCALARS = bool, int, float, str, type(None)
_KINDS: dict[str, type] = {"tuple": tuple, "set": set}


class _NotPlainError(Exception):
    """A value is more than data."""


class Remembered:
    """The attributes of callbacks as they are when training begins.

    >>> class Counts(Callback):
    ...     seen = 0
    >>> counts = Counts()
    >>> remembered = Remembered([counts])
    >>> counts.seen = 3
    >>> remembered.changed(counts)
    {'seen': 3}
    """

    def __init__(self, callbacks: Iterable[Any]) -> None:
        self._before = {
            id(callback): {name: _digest(value) for name, value in _plain_of(callback)}
            for callback in callbacks
            if not _says(callback)
        }

    def changed(self, callback: Any) -> dict[str, Any]:
        """What was set since then, as data for JSON, and arrays; see `put_back`."""
        before = self._before.get(id(callback))
        if before is None:
            return {}
        return {
            name: value
            for name, value in _plain_of(callback)
            if before.get(name) != _digest(value)
        }


def put_back(callback: Any, changed: dict[str, Any]) -> None:
    """Set what `changed` gave."""
    for name, value in changed.items():
        setattr(callback, name, _value_of(value))


def _says(callback: Any) -> bool:
    """Whether a class that a user wrote says what it keeps, or nobody wrote one."""
    for cls in type(callback).__mro__:
        if registry.is_own(cls):
            return cls is type(callback)
        if {"_state", "state", "restore"} & set(vars(cls)):
            return True
    return False


def _plain_of(callback: Any) -> Iterable[tuple[str, Any]]:
    """Attributes of its own that are data; what ours declare is theirs to keep."""
    base = next((c for c in type(callback).__mro__ if registry.is_own(c)), object)
    for name, value in list(vars(callback).items()):
        if hasattr(base, name) or name in ("model", "params"):
            continue
        try:
            yield name, _plain(value)
        except _NotPlainError:
            continue


def _plain(value: Any) -> Any:
    """Lists, dicts with text as keys, arrays, scalars; other kinds by their names."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in _SCALARS or isinstance(value, np.ndarray | jax.Array):
        return value
    if type(value) is list:
        return [_plain(v) for v in value]
    if type(value) is dict:
        if all(type(key) is str and key[:2] != "__" for key in value):
            return {key: _plain(v) for key, v in value.items()}
        return {"__kind__": "dict", "of": _plain([list(p) for p in value.items()])}
    if type(value) in _KINDS.values():
        return {"__kind__": type(value).__name__, "of": [_plain(v) for v in value]}
    raise _NotPlainError


def _value_of(plain: Any) -> Any:
    """The inverse."""
    if isinstance(plain, list):
        return [_value_of(v) for v in plain]
    if not isinstance(plain, dict):
        return plain
    if "__kind__" not in plain:
        return {key: _value_of(v) for key, v in plain.items()}
    items = _value_of(plain["of"])
    return (
        dict(items) if plain["__kind__"] == "dict" else _KINDS[plain["__kind__"]](items)
    )


def _digest(plain: Any) -> bytes:
    return hashlib.blake2b(pickle.dumps(jax.device_get(plain))).digest()
