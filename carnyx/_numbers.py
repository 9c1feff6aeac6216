"""What counts as a number where one is asked for, and what is kept of it.

NumPy's and JAX's scalars are numbers; what is kept is a plain one, so that configs are
plain JSON. A boolean is no number, and neither is text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from carnyx.errors import ArgumentError

REFUSED: Any = object()  # what `as_integer` and `as_number` give for what is none


def as_integer(value: Any) -> Any:
    """A plain integer, or REFUSED.

    >>> import numpy as np
    >>> as_integer(np.int64(4)), as_integer(2.0) is REFUSED
    (4, True)
    """
    if type(value) is int:
        return value
    if type(value).__name__ in ("bool", "bool_") or getattr(value, "ndim", 0):
        return REFUSED
    try:
        return value.__index__()
    except (AttributeError, TypeError):
        return REFUSED


def as_number(value: Any) -> Any:
    """A plain integer or float, or REFUSED; a number that JAX traces stays itself.

    >>> import numpy as np
    >>> as_number(np.float64(0.5)), as_number("0.5") is REFUSED
    (0.5, True)
    """
    if type(value) in (int, float):
        return value
    integer = as_integer(value)
    if integer is not REFUSED:
        return integer
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    if isinstance(value, float) or (kind in ("f", "V") and not value.ndim):
        try:
            return float(value)
        except TypeError:  # traced
            return value
    return REFUSED


def plain(value: object) -> Any:
    """`value` with the scalars of NumPy in it, also within lists, as Python's.

    >>> import numpy as np
    >>> plain((np.int32(2), None, [np.float64(0.5)]))
    (2, None, [0.5])
    """
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return value.item()
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(plain(v) for v in value)
    return value


def is_plain(value: Any) -> bool:
    """Whether it is a number whose value can be looked at, not an array or a tracer.

    >>> is_plain(0.5), is_plain(np.float32(2)), is_plain(np.ones(1))
    (True, True, False)
    """
    return isinstance(value, int | float | np.integer | np.floating)


_NARROW = {"int64": "int32", "uint64": "uint32"}


def check_narrow(x: Any, name: str) -> None:
    """Raise ArgumentError where integers of 64 bits do not fit the 32 that JAX keeps,
    unless it keeps 64 (`jax_enable_x64`).

    >>> check_narrow(np.array([1, 2**31]), "y")
    Traceback (most recent call last):
        ...
    carnyx.errors.ArgumentError: y holds 2147483648, ...
    """
    dtype = x.dtype  # its name takes NumPy microseconds
    if isinstance(dtype, np.dtype) and (dtype.itemsize < 8 or dtype.kind not in "iu"):
        return
    narrow = _NARROW.get(dtype.name)
    if narrow is None or not x.size or jax.config.jax_enable_x64:
        return
    limits = np.iinfo(narrow)
    for value in (int(x.min()), int(x.max())):
        if not limits.min <= value <= limits.max:
            raise ArgumentError(
                f"{name} holds {value}, which does not fit {narrow}, the widest "
                "integers here. Make floats of it (x.astype('float32')), or subtract "
                "what all have in common."
            )


def integer(value: Any, name: str, least: int | None = None) -> int:
    """An integer of at least `least`.

    Raises:
        ArgumentError: for anything else.

    >>> integer(3, "pool: size", 1)
    3
    """
    number = as_integer(value)
    if number is REFUSED or (least is not None and number < least):
        raise ArgumentError(f"{name} got {value!r}; expected {_words(least)}.")
    return number


def integer_or_none(value: Any, name: str, least: int | None = None) -> int | None:
    """`integer`, of an argument that may be left out."""
    return None if value is None else integer(value, name, least)


def integers(
    value: Any, count: int, name: str, least: int | None = None
) -> tuple[int, ...]:
    """`count` integers of at least `least`; a single one counts for all.

    >>> integers(3, 2, "kernel_size", 1)
    (3, 3)
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    many = value if isinstance(value, Sequence) else (value,) * count
    numbers = [as_integer(v) for v in many]
    good = len(numbers) == count and REFUSED not in numbers
    if not good or (least is not None and any(n < least for n in numbers)):
        raise ArgumentError(
            f"{name} got {value!r}; expected {_words(least)}, or {count} of them."
        )
    return tuple(numbers)


def _words(least: int | None) -> str:
    if least is None:
        return "an integer"
    return f"an integer of at least {least}"
