"""Fields: arguments that are declared once, and what follows from them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from carnyx._numbers import REFUSED, as_integer, as_number, is_plain, plain
from carnyx.errors import ArgumentError, ArgumentTypeError

REQUIRED: Any = inspect.Parameter.empty


class Field:
    """One declared argument; see `field`."""

    __slots__ = (
        "check", "convert", "default", "in_config", "kw_only", "name", "number",
    )  # fmt: skip

    def __init__(
        self,
        default: object,
        convert: Callable[[Any], Any] | None,
        check: Callable[[Any], str | None] | None,
        kw_only: bool,
        in_config: bool,
    ) -> None:
        self.name = ""
        self.number: _Number | None = None  # what its annotation says
        self.default, self.convert, self.check = default, convert, check
        self.kw_only, self.in_config = kw_only, in_config

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.number = _number(inspect.get_annotations(owner).get(name)) or self.number

    def settled(self, instance: object, value: object) -> Any:
        """What an object keeps of the value that it is given."""
        problem, given, value = None, value, plain(value)
        error: type[ArgumentError] = ArgumentError
        if self.number is not None:
            value = self.number.of(value)
            if value is REFUSED or (is_plain(value) and value != value):  # no NaN
                error = ArgumentTypeError
                problem = _words(self.check, given, self.number)
        traced = self.number is not None and not is_plain(value)  # or None
        if not problem and self.check and value is not None and not traced:
            problem = self.check(value)
        if problem:
            raise error(
                f"{type(instance).__name__} got {self.name}={given!r}; "
                f"expected {problem}."
            )
        return self.convert(value) if self.convert else value


class _Number(NamedTuple):
    """What a field annotated as a number takes: `int`, `float`, either `| None`."""

    words: str
    of: Callable[[Any], Any]


def _or_none(number: _Number) -> _Number:
    return _Number(
        f"{number.words} or None", lambda v: None if v is None else number.of(v)
    )


def _or_variable(number: _Number) -> _Number:
    """What also takes a scalar variable, which is read whenever the field is used."""

    def of(value: Any) -> Any:
        held = hasattr(value, "assign") and getattr(value, "shape", None) == ()
        return value if held else number.of(value)

    return _Number(number.words, of)


_INTEGER, _FLOAT = _Number("an integer", as_integer), _Number("a number", as_number)
_NUMBERS = {"int": _INTEGER, "float": _FLOAT, "int | float": _FLOAT}
_NUMBERS |= {f"{text} | Variable": _or_variable(n) for text, n in _NUMBERS.items()}
_NUMBERS |= {f"{text} | None": _or_none(number) for text, number in _NUMBERS.items()}


def _number(annotation: Any) -> _Number | None:
    plain = isinstance(annotation, type)
    return _NUMBERS.get(annotation.__name__ if plain else str(annotation))


def _words(check: Callable[[Any], str | None] | None, given: Any, n: _Number) -> str:
    """What was expected instead, in the words of the field's check if it has any."""
    try:
        return (check and check(given)) or n.words
    except (TypeError, ValueError):  # of a check that compares
        return n.words


def field(
    default: object = REQUIRED,
    convert: Callable[[Any], Any] | None = None,
    *,
    check: Callable[[Any], str | None] | None = None,
    kw_only: bool = False,
    config: bool = True,
) -> Any:
    """Declare an argument.

    Args:
        default: left out for an argument that must be given.
        convert: from what users give to what is kept, such as `activations.get`.
        check: returns what was expected if the value is wrong, else None; not asked
            about None.
        kw_only: True to keep it out of the positional order.
        config: False to leave it out of `get_config`.
    """
    return Field(default, convert, check, kw_only, config)


class derived:  # noqa: N801  (a decorator)
    """What follows from fields: computed when it is read, so that it follows a field
    that is set later. A subclass may set the attribute to something else.

    >>> from carnyx.configurable import Configurable
    >>> class Cell(Configurable):
    ...     units: int = field()
    ...     state_size = derived(lambda self: [self.units, self.units])
    >>> cell = Cell(2)
    >>> cell.units = 3
    >>> cell.state_size
    [3, 3]
    """

    def __init__(self, of: Callable[[Any], Any]) -> None:
        self.of = of
        self.__doc__ = of.__doc__

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else self.of(instance)


def attribute(default: Any = None, *, init: Literal[False] = False) -> Any:
    """Of an annotated attribute that is no argument, so that checkers know."""
    return default


def ordered(names: Iterable[str], order: tuple[Any, ...]) -> list[str]:
    """Names as an order says, in which `...` stands for those it does not name.

    >>> ordered(["x", "name", "y"], (..., "name", "dtype"))
    ['x', 'y', 'name']
    """
    names = list(names)
    others = [name for name in names if name not in order]
    places = [others if place is ... else [place] for place in order]
    return [name for place in places for name in place if name in names]
