"""Names as Keras gives them: `dense`, `dense_1`; paths by name scopes."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

from carnyx._core.scope import current, scoped
from carnyx.errors import ArgumentError

_used = threading.local()
_on_clear: list[Callable[[], None]] = []


def to_snake_case(name: str) -> str:
    """`LayerNormalization` → `layer_normalization`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def auto_name(prefix: str) -> str:
    """The snake-case name, with a number from the second use on.

    >>> clear_session()
    >>> auto_name("Conv2D"), auto_name("Conv2D")
    ('conv2d', 'conv2d_1')
    """
    name = to_snake_case(prefix)
    number = get_uid(name) - 1
    return name if number == 0 else f"{name}_{number}"


def get_uid(prefix: str = "") -> int:
    """How often this prefix has been asked for, this time included."""
    counts = _used.__dict__.setdefault("counts", {})
    counts[prefix] = counts.get(prefix, 0) + 1
    return counts[prefix]


def clear_session(free_memory: bool = True) -> None:
    """Start the automatic names anew and forget the global state.

    Args:
        free_memory: also drop JAX's caches of compiled programs' Python objects.
    """
    _used.__dict__["counts"] = {}
    for forget in _on_clear:
        forget()
    if free_memory:
        import gc

        gc.collect()


def on_clear(forget: Callable[[], None]) -> Callable[[], None]:
    """Register what `clear_session` must also reset."""
    _on_clear.append(forget)
    return forget


def current_path() -> str:
    """The names of the scopes in force, joined by slashes."""
    return "/".join(current().path)


class name_scope:
    """Within it, paths of new variables begin with `name`.

    Args:
        caller: whose scope it is; inside a scope of the same name and caller it adds
            nothing, unless `deduplicate` is False.
        override_parent: a path to begin with, in place of that of the scopes around.

    >>> from carnyx import Variable
    >>> with name_scope("block"):
    ...     Variable(0.0, name="gain").path
    'block/gain'
    """

    def __init__(
        self,
        name: str,
        caller: object = None,
        deduplicate: bool = True,
        override_parent: str | None = None,
    ) -> None:
        if not isinstance(name, str):
            raise ArgumentError(f"name_scope got {name!r}; expected text.")
        self.name, self.caller = name, caller
        self.deduplicate, self.override_parent = deduplicate, override_parent
        self._entered: list[Any] = []

    def __enter__(self) -> name_scope:
        outer = current()
        path = (*self._parent(outer.path), self.name)
        if self.deduplicate and self.caller is not None:
            again = self.caller is outer.caller and outer.path[-1:] == (self.name,)
            path = outer.path if again else path
        scope = scoped(path=path, caller=self.caller)
        scope.__enter__()
        self._entered.append(scope)
        return self

    def _parent(self, around: tuple[str, ...]) -> tuple[str, ...]:
        if self.override_parent is None:
            return around
        return tuple(name for name in self.override_parent.split("/") if name)

    def __exit__(self, *error: Any) -> None:
        self._entered.pop().__exit__(*error)
