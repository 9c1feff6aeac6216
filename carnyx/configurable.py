"""Arguments declared once, configs that write themselves.

An argument of a library class is a field. It gives the signature, the attribute, the
conversion, the check and the config entry:

    class Dropout(Layer):
        rate: float = field(check=fraction)
        noise_shape: tuple | None = field(None)

What is annotated as `int` or `float` takes numbers only, NumPy's too, keeps plain ones,
and takes None where the annotation does.

A class may write a plain `__init__` instead (users' classes do): what it was given is
recorded, one class at a time, so that `get_config` works without being written, and a
written one still wins. A class without `get_config` gets one that adds its own names
to `super().get_config()`; so the usual idiom (`c = super().get_config();
c.update(...)`), subclasses of library classes and private attributes all round-trip.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, dataclass_transform

import numpy as np

from carnyx import _reads, dtype_policies, registry
from carnyx._numbers import REFUSED, as_integer, as_number, is_plain, plain
from carnyx._spellings import hint, hint_for_missing, with_names_of_today
from carnyx.errors import ArgumentError, ArgumentTypeError, UnknownArgumentError

REQUIRED: Any = inspect.Parameter.empty
C = TypeVar("C", bound="Configurable")


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


class derived:  # noqa: N801  (a decorator)
    """What follows from fields: computed when it is read, so that it follows a field
    that is set later. A subclass may set the attribute to something else.

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


# `field` is no field specifier: a checker would see only defaults given by keyword.
@dataclass_transform(field_specifiers=(attribute,))
@_reads.watch
class Configurable:
    """Base of everything that has a config."""

    _fields: ClassVar[dict[str, Field]] = {}
    field_order: ClassVar[tuple[Any, ...]] = (...,)
    """The positional order of a class and those made from it: names of fields, and
    `...` for all that are not named, those inherited first. Names of fields that a
    class does not have are passed over; one that a subclass restates stands where it
    does so."""

    def __init_subclass__(cls, register: bool = True, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        own = {n: f for n, f in vars(cls).items() if isinstance(f, Field)}
        if own:
            _declare(cls, own)
        elif "__init__" in vars(cls):
            cls.__init__ = _recorded(cls, vars(cls)["__init__"])
        if "get_config" not in vars(cls) and (own or "__init__" in vars(cls)):
            cls.get_config = _derived_get_config(cls, own)  # type: ignore
        if register:
            registry.claim(cls)

    def __post_init__(self) -> None:
        """Runs after the fields are set; for checks across them."""

    def __setattr__(self, name: str, value: Any) -> None:
        """A field is checked and converted whenever it is set; compiled programs that
        read an attribute are traced anew when it is set to something else."""
        declared = self._fields.get(name)
        if declared is not None:
            value = declared.settled(self, value)
        _reads.note_set(self, name, value)
        try:
            object.__setattr__(self, name, value)
        except AttributeError:
            if not isinstance(getattr(type(self), name, None), property):
                raise
            raise AttributeError(
                f"{type(self).__name__} has a property {name!r}, which cannot be set. "
                "Choose another name for an attribute of your own, such as "
                f"'my_{name}'."
            ) from None

    def __getattr__(self, name: str) -> Any:
        if any(_is_missing(self, declared) for declared in self._fields):
            raise forgotten_super(self, name)
        return object.__getattribute__(self, name)  # again, for the words of its error

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal object, as plain data."""
        return {}

    @classmethod
    def from_config(cls: type[C], config: dict[str, Any]) -> C:
        """An object from what `get_config` gave.

        Raises:
            TypeError: where the class takes no such argument, or no such value.
        """
        if getattr(cls.get_config, "derived", False):
            config = {k: _revived(cls, k, v) for k, v in config.items()}
        if registry.is_own(cls) and cls._fields:
            # Keras writes None for features that a class here does not have.
            config = {
                k: v for k, v in config.items() if v is not None or _takes(cls, k)
            }
        try:
            return cls(**config)
        except TypeError as error:
            wrong = error
        except ArgumentError as error:  # as in Keras, whatever was wrong
            wrong = ArgumentTypeError(str(error))
        wrong.add_note(
            f"while making a {cls.__name__} from its config {config!r}. If the class "
            "is yours, its get_config() must give what __init__ takes."
        )
        raise wrong


def _is_missing(instance: object, name: str) -> bool:
    """Whether a field was not set; some are properties, whose values lie elsewhere."""
    kept = isinstance(getattr(type(instance), name, None), property)
    return not kept and name not in vars(instance)


def forgotten_super(instance: object, name: str) -> AttributeError:
    """What is raised where the base class's `__init__` has not run yet."""
    return AttributeError(
        f"{type(instance).__name__} has no {name!r} yet: call super().__init__() at "
        "the start of its __init__()."
    )


class Dtyped(Configurable, register=False):
    """Base of what computes in one dtype, for which it is made: losses, metrics."""

    dtype: Any = attribute()
    _given_dtype: Any = attribute()

    def _settle_dtype(self) -> None:
        """The dtype that was given, or floatx, is that of computing from now on."""
        given = self.dtype
        policy = dtype_policies.get(given or dtype_policies.standardize_dtype(None))
        self.dtype = policy.compute_dtype
        self._given_dtype = given

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "dtype" and "_given_dtype" in vars(self):
            kind = type(self).__name__
            raise AttributeError(
                f"The dtype of {kind} cannot be set to {value!r} later. Make another: "
                f"{kind}(dtype={value!r})."
            )
        super().__setattr__(name, value)


def _takes(cls: type[Configurable], name: str) -> bool:
    return name in cls._fields or name in _BASE_NAMES


def _revived(cls: type[Configurable], name: str, value: Any) -> Any:
    """Objects inside a config; a field's own conversion already knows how."""
    return value if name in cls._fields or name == "dtype" else _alive(value)


def _alive(value: Any) -> Any:
    if registry.is_serialized(value):
        return registry.deserialize_keras_object(value)
    if type(value) is list:
        return [_alive(each) for each in value]
    if type(value) is dict:
        return {key: _alive(each) for key, each in value.items()}
    return value


def _declare(cls: type[Configurable], own: dict[str, Field]) -> None:
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
    cls._fields = {name: known[name] for name in _ordered(known, order)}
    if "__init__" in vars(cls):
        cls.__init__ = _recorded(cls, vars(cls)["__init__"])
    else:
        cls.__init__ = _init_from_fields(cls)


def _ordered(names: Iterable[str], order: tuple[Any, ...]) -> list[str]:
    """Names as an order says, in which `...` stands for those it does not name.

    >>> _ordered(["x", "name", "y"], (..., "name", "dtype"))
    ['x', 'y', 'name']
    """
    names = list(names)
    others = [name for name in names if name not in order]
    places = [others if place is ... else [place] for place in order]
    return [name for place in places for name in place if name in names]


def _init_from_fields(cls: type[Configurable]) -> Callable[..., None]:
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
    takes_more = base is not Configurable and base is not object
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


def _recorded(cls: type, init: Callable[..., None]) -> Callable[..., None]:
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


def _derived_get_config(
    cls: type[Configurable], own: dict[str, Field]
) -> Callable[[Any], dict[str, Any]]:
    names = [n for n, f in own.items() if f.in_config]
    parameters = inspect.signature(cls.__init__).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())

    def get_config(self: Any) -> dict[str, Any]:
        config = super(cls, self).get_config()  # type: ignore
        if names:
            own_values = {n: getattr(self, n) for n in names}
        else:
            own_values = _given_arguments(self, cls)
            if not open_ended:  # what this __init__ does not take must not be passed
                config = {k: v for k, v in config.items() if k in parameters}
        return config | {
            k: registry.serialize_keras_object(v) for k, v in own_values.items()
        }

    get_config.derived = True  # type: ignore[attr-defined]
    get_config.__doc__ = Configurable.get_config.__doc__
    return get_config


def _given_arguments(instance: Any, cls: type) -> dict[str, Any]:
    bound = instance.__dict__.get("_given", {}).get(cls)
    if bound is None:
        return {}
    bound.apply_defaults()
    values: dict[str, Any] = {}
    for name, parameter in list(bound.signature.parameters.items())[1:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            values |= {
                k: v for k, v in bound.arguments[name].items() if k not in _BASE_NAMES
            }
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            values[name] = bound.arguments[name]
    values = {k: v for k, v in values.items() if k not in _BASE_NAMES}
    return values


# Arguments of the base classes that their own get_config reports as they now are.
_BASE_NAMES = frozenset({"name", "dtype", "trainable"})
