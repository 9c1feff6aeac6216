"""A counter that moves whenever a layer may have changed what it holds.

Asking a model for its variables walks all its layers; what was found is kept for as
long as the counter stands still.
"""

from __future__ import annotations

_PLAIN = (str, bytes, int, float, bool, type(None))

_count = 0


def may_hold(value: object) -> bool:
    """Whether an attribute of this value may hold variables, or layers that do.

    A class says with `holds_variables = False` that its objects do not: `fit` sets
    `model.history` every time.
    """
    return not isinstance(value, _PLAIN) and getattr(value, "holds_variables", True)


def touch() -> None:
    """Say that some layer, somewhere, changed."""
    global _count
    _count += 1


def version() -> int:
    """Equal between two calls when no layer changed in between."""
    return _count
