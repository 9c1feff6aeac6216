"""Checks of fields: what was expected if a value is wrong, else None."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from carnyx._numbers import REFUSED, as_integer, as_number


def positive(value: object) -> str | None:
    """A check: an integer above 0."""
    number = as_integer(value)
    return None if number is not REFUSED and number > 0 else "an integer above 0"


def fraction(value: object) -> str | None:
    """A check: a number from 0 to 1."""
    number = as_number(value)
    good = number is not REFUSED and 0 <= number <= 1
    return None if good else "a number from 0 to 1"


def whole_numbers(value: object) -> str | None:
    """A check: an integer, or several."""
    many = value if isinstance(value, Sequence | np.ndarray) else [value]
    good = not isinstance(value, str) and all(
        as_integer(v) is not REFUSED for v in many
    )
    return None if good else "an integer or several"


def at_least(least: float, words: str = "a number") -> Callable[[Any], str | None]:
    """A check: a number of at least `least`; `words` says which sort of number."""

    def check(value: Any) -> str | None:
        number = as_number(value)
        good = number is not REFUSED and number >= least
        return None if good else f"{words} of at least {least}"

    return check


def above_zero(value: object) -> str | None:
    """A check: a number above 0."""
    number = as_number(value)
    return None if number is not REFUSED and number > 0 else "a number above 0"


def one_of(*allowed: Any) -> Callable[[Any], str | None]:
    """A check: one of a few values."""
    words = ", ".join(repr(a) for a in allowed)
    return lambda value: None if value in allowed else f"one of {words}"
