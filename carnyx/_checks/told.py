"""Saying a thing once, and what may not be said at all."""

from __future__ import annotations

import warnings

from carnyx import _settings
from carnyx.errors import DataError

WAY_OUT = "If this is meant, config.set_checks(False) or CARNYX_FLAGS=checks=off."


def on() -> bool:
    """Whether checks are made."""
    return _settings.get("checks")


def warn_once(told: set[str], text: str, key: str = "") -> None:
    """Warn, unless the same (the key, or the text) was said of the same `compile`."""
    if (key or text) not in told:
        told.add(key or text)
        warnings.warn(f"{text} {WAY_OUT}", stacklevel=2)


def refuse(text: str) -> None:
    """Raise an error about data."""
    raise DataError(f"{text} {WAY_OUT}")
