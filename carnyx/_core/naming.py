"""Names as Keras gives them: `dense`, `dense_1`; paths by name scopes."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

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


def name_scope(name: str, **_keras: object):  # noqa: ANN201 - a context manager
    """Within it, paths of new variables begin with `name`.

    >>> from carnyx import Variable
    >>> with name_scope("block"):
    ...     Variable(0.0, name="gain").path
    'block/gain'
    """
    if not isinstance(name, str):
        raise ArgumentError(f"name_scope got {name!r}; expected text.")
    return scoped(path=(*current().path, name))
