"""Logs that stay on the device until somebody reads one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax


def _reading(name: str) -> Callable[..., Any]:
    """The dict's own method, after the numbers have come."""
    method = getattr(dict, name)

    def read_first(self: Logs, *args: Any, **kwargs: Any) -> Any:
        self.fetch()
        return method(self, *args, **kwargs)

    read_first.__name__ = name
    return read_first


class Logs(dict):
    """Loss and metrics by name; the first read turns all device scalars into floats.

    Names are sorted, and dicts of results are flattened, as in Keras.
    """

    def __init__(self, logs: Mapping[str, Any] | None = None) -> None:
        super().__init__(_flat(logs) if logs else ())
        self._pending = True

    @classmethod
    def of(cls, logs: Mapping[str, Any] | None) -> Logs:
        """The same object if it is one already."""
        return logs if isinstance(logs, Logs) else cls(logs)

    def fetch(self) -> None:
        """Bring the scalars to the host, all at once; later calls do nothing."""
        if self._pending:
            self._pending = False
            scalars = {k: v for k, v in dict.items(self) if _is_scalar(v)}
            for name, value in jax.device_get(scalars).items():
                dict.__setitem__(self, name, float(value))

    __getitem__ = _reading("__getitem__")
    __eq__ = _reading("__eq__")
    __repr__ = _reading("__repr__")
    __or__ = _reading("__or__")
    __ror__ = _reading("__ror__")
    get = _reading("get")
    items = _reading("items")
    values = _reading("values")
    pop = _reading("pop")
    popitem = _reading("popitem")
    setdefault = _reading("setdefault")
    copy = _reading("copy")
    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[str]:
        # A class of its own iterator is read item by item by dict(logs) and f(**logs).
        return super().__iter__()

    def __reduce__(self) -> Any:
        return dict, (dict(self.items()),)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, int) or getattr(value, "shape", None) == ()


def _flat(logs: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name in sorted(logs):
        value = dict.__getitem__(logs, name) if isinstance(logs, Logs) else logs[name]
        flat |= _flat(value) if isinstance(value, Mapping) else {name: value}
    return flat
