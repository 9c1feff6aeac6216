"""What the arguments of these layers take: ranges, mostly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from carnyx._numbers import REFUSED, as_number
from carnyx.configurable import REQUIRED, field
from carnyx.errors import UnsupportedError

Range: TypeAlias = tuple[float, float]
Factor: TypeAlias = float | Sequence[float]
"""A number, or the two between which one is drawn for each image."""


def _numbers(value: object, count: int | None = None) -> list[float] | None:
    """One number as a list, or a sequence of two; None for anything else."""
    many = value if isinstance(value, list | tuple) else [value]
    found = [as_number(v) for v in many]
    right = count is None and len(found) == (2 if many is value else 1)
    if any(n is REFUSED for n in found) or not (right or len(found) == count):
        return None
    return found


def within(
    low: float, high: float, open_low: bool = False, overlap: bool = True
) -> Callable[[Any], str | None]:
    """A check: a number from `low` to `high`, or two of which the range meets that."""

    def check(value: object) -> str | None:
        found = _numbers(value)
        words = f"a number, or two, {'above' if open_low else 'from'} {low}"
        words += f"{', at most' if open_low else ' to'} {high}"
        if found is None:
            return words
        least, most = min(found), max(found)
        if len(found) == 2 and overlap:
            return None if least <= high and most >= low else words
        above = least > low if open_low else least >= low
        return None if above and most <= high else words

    return check


def as_range(value: Factor, low: float = -1.0) -> Range:
    """(least, most): the two numbers, or as much to both sides of 0, from `low` on."""
    found = _numbers(value)
    assert found is not None
    if len(found) == 2:
        return min(found), max(found)
    most = abs(found[0])
    return max(-most, low), most


def sides(default: object = REQUIRED) -> Any:
    """A field, kept as it is given: a number, or two, from 0 to 1; or (-a, a), as Keras
    writes a number into configs."""
    check = within(0, 1, overlap=False)

    def of_either(value: object) -> str | None:
        found = _numbers(value) or [-1.0]
        return check(found[-1] if found[0] == -found[-1] else value)

    return field(default, check=of_either)


Meaning: TypeAlias = Callable[[float], Range]
"""What a single number says: a range."""


def up_to(number: float) -> Range:
    """From 0."""
    return 0, number


def both_ways(number: float) -> Range:
    """As much to both sides of 0."""
    return -number, number


def just(number: float) -> Range:
    """That number."""
    return number, number


def drawn_from(
    low: float,
    high: float,
    default: object = REQUIRED,
    number: Meaning = up_to,
    strict: bool = False,
) -> Any:
    """A field: the range (least, most) of what is drawn for each image.

    Args:
        number: what is meant by one number.
        strict: refuse a range of which a part lies outside of [low, high], which Keras
            takes in most places.
    """

    def convert(value: Factor) -> Range:
        found = _numbers(value)
        assert found is not None
        return number(abs(found[0])) if len(found) == 1 else (min(found), max(found))

    return field(default, convert, check=within(low, high, overlap=not strict))


def as_given(low: float, default: object = REQUIRED, open_low: bool = False) -> Any:
    """A field, kept as it is given: a number, or two, from `low` to 1."""
    return field(default, check=within(low, 1.0, open_low, overlap=False))


def pixel_range() -> Any:
    """A field: the least and the greatest value of pixels."""

    def check(value: object) -> str | None:
        found = _numbers(value, 2)
        good = found is not None and found[0] != found[1]
        return None if good else "two numbers, the range of pixels, such as (0, 255)"

    return field((0, 255), lambda v: tuple(sorted(v)), check=check)


def known(name: str, *allowed: str) -> Callable[[Any], Any]:
    """A conversion that refuses other values, as what is not implemented."""

    def convert(value: object) -> object:
        if value not in allowed:
            words = ", ".join(map(repr, allowed))
            raise UnsupportedError(f"{name} got {value!r}; expected one of {words}.")
        return value

    return convert


INTERPOLATION = known("interpolation", "nearest", "bilinear")
FILL_MODE = known("fill_mode", "reflect", "wrap", "constant", "nearest")
