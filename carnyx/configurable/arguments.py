"""`__init__`: made from fields, or as written, recording what it was given."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from carnyx._spellings import hint, hint_for_missing, with_names_of_today
from carnyx.configurable.fields import REQUIRED, Field, ordered
from carnyx.errors import UnknownArgumentError

# Arguments of the base classes that their own get_config reports as they now are.
BASE_NAMES = frozenset({"name", "dtype", "trainable"})


def declare(cls: type[Any], own: dict[str, Field]) -> None:
    for name, declared in own.items():
        if declared.default is REQUIRED:
            delattr(cls, name)
        else:  # a default that is read before __init__ ran, or on the class
            setattr(cls, name, declared.default)
    # a restated field moves to its new place in the positional order
    inherited = {n: f for n, f in cls._fields.items() if n not in own}
    order = cls.field_order
    if "field_order" not in vars(cls):
        order = tuple(n for n in order if n in inherited or n not in cls._fields)
    known = inherited | own
    cls._fields = {name: known[name] for name in ordered(known, order)}
    if "__init__" in vars(cls):
        cls.__init__ = recorded(cls, vars(cls)["__init__"])
    else:
        cls.__init__ = _init_from_fields(cls)


def _init_from_fields(cls: type[Any]) -> Callable[..., None]:
    fields = cls._fields
    base = next(
        c for c in cls.__mro__[1:]
        if "__init__" in vars(c) and not getattr(c.__init__, "generated", False)
    )  # fmt: skip
    kinds = inspect.Parameter
    parameters = [kinds("self", kinds.POSITIONAL_OR_KEYWORD)]
    for kw_only in (False, True):
        kind = kinds.KEYWORD_ONLY if kw_only else kinds.POSITIONAL_OR_KEYWORD
        parameters += [
            kinds(f.name, kind, default=f.default)
            for f in fields.values()
            if f.kw_only is kw_only
        ]
    positional = [f.name for f in fields.values() if not f.kw_only]
    takes_more = base is not object
    if takes_more:
        parameters.append(kinds("kwargs", kinds.VAR_KEYWORD))

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = _bind(cls, positional, fields, args, kwargs, takes_more)
        base.__init__(self, **kwargs) if takes_more else object.__init__(self)
        for name in fields:
            setattr(self, name, given[name])
        self.__post_init__()

    __init__.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    __init__.generated = True  # type: ignore[attr-defined]
    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    __init__.__module__ = cls.__module__
    return __init__


def _bind(
    cls: type,
    positional: list[str],
    fields: dict[str, Field],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    takes_more: bool,
) -> dict[str, Any]:
    """The value of every field; what is left in `kwargs` is for the base class."""
    if len(args) > len(positional):
        raise TypeError(
            f"{cls.__name__}() takes {len(positional)} positional arguments "
            f"({', '.join(positional)}) but {len(args)} were given."
        )
    with_names_of_today(cls.__name__, kwargs)
    given = dict(zip(positional, args, strict=False))
    for name, declared in fields.items():
        if name in kwargs:
            if name in given:
                raise TypeError(f"{cls.__name__}() got {name!r} twice.")
            given[name] = kwargs.pop(name)
        elif name not in given:
            if declared.default is REQUIRED:
                raise TypeError(
                    f"{cls.__name__}() needs the argument {name!r}."
                    f"{hint_for_missing(name, kwargs)}"
                )
            given[name] = declared.default
    if kwargs and not takes_more:
        unknown = next(iter(kwargs))
        raise UnknownArgumentError(
            f"{cls.__name__}() got an unknown argument {unknown!r}."
            f"{hint(unknown, fields)}"
        )
    return given


def recorded(cls: type, init: Callable[..., None]) -> Callable[..., None]:
    """`init`, remembering what it was given in `self._given[cls]`."""
    signature = inspect.signature(init)
    if list(signature.parameters.values())[1:] == []:
        return init

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError:  # Python's own message names the argument
            return init(self, *args, **kwargs)
        self.__dict__.setdefault("_given", {}).setdefault(cls, bound)
        init(self, *args, **kwargs)

    return __init__


def given_arguments(instance: Any, cls: type) -> dict[str, Any]:
    bound = instance.__dict__.get("_given", {}).get(cls)
    if bound is None:
        return {}
    bound.apply_defaults()
    values: dict[str, Any] = {}
    for name, parameter in list(bound.signature.parameters.items())[1:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            values |= {
                k: v for k, v in bound.arguments[name].items() if k not in BASE_NAMES
            }
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            values[name] = bound.arguments[name]
    values = {k: v for k, v in values.items() if k not in BASE_NAMES}
    return values
