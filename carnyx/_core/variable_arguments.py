"""What a variable is made with, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from carnyx._numbers import REFUSED, as_integer
from carnyx.errors import ArgumentError

AGGREGATIONS = "none", "mean", "sum", "only_first_replica"
SYNCHRONIZATIONS = "none", "on_read", "on_write", "auto"


def checked_name(name: Any) -> str:
    if not isinstance(name, str) or "/" in name:
        raise ArgumentError(
            f"A Variable got name={name!r}; expected text without a '/', which joins "
            "paths."
        )
    return name


def one_of(what: str, value: Any, allowed: tuple[str, ...]) -> str:
    """A choice of Keras's; None is `"none"`."""
    value = "none" if value is None else value
    if value not in allowed:
        raise ArgumentError(
            f"A Variable got {what}={value!r}; expected one of "
            f"{', '.join(map(repr, allowed))}."
        )
    return value


def checked_shape(path: str, shape: Any) -> tuple[int, ...]:
    sizes = [as_integer(n) for n in (shape if np.iterable(shape) else (shape,))]
    if any(n is REFUSED or n < 0 for n in sizes):
        raise ArgumentError(
            f"Variable {path!r} got shape={shape!r}; expected a size for each axis, "
            "all of them known, none below 0."
        )
    return tuple(sizes)


def callable_or_none(variable: Any, what: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise ArgumentError(
            f"Variable {variable.path!r} got {what}={value!r}; expected a function, an "
            f"object of carnyx.{what}s, or None."
        )
    return value
