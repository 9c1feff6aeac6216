"""A counter that moves whenever a layer may have changed what it holds.

Asking a model for its variables walks all its layers; what was found is kept for as
long as the counter stands still.
"""

from __future__ import annotations

PLAIN = (str, bytes, int, float, bool, type(None))
"""Types of attributes that hold no variables."""

_count = 0


def touch() -> None:
    """Say that some layer, somewhere, changed."""
    global _count
    _count += 1


def version() -> int:
    """Equal between two calls when no layer changed in between."""
    return _count
