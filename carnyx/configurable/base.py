"""The bases of what has a config, which writes itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, dataclass_transform

from carnyx import _reads, dtype_policies, registry
from carnyx._spellings import with_names_of_today
from carnyx.configurable.arguments import (
    BASE_NAMES,
    declare,
    given_arguments,
    recorded,
)
from carnyx.configurable.fields import Field, attribute
from carnyx.errors import ArgumentError, ArgumentTypeError

C = TypeVar("C", bound="Configurable")


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
        if own or "field_order" in vars(cls):
            declare(cls, own)
        elif "__init__" in vars(cls):
            cls.__init__ = recorded(cls, vars(cls)["__init__"])
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
            with_names_of_today(cls.__name__, config, warn=False)
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
    return name in cls._fields or name in BASE_NAMES


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
            own_values = given_arguments(self, cls)
            if not open_ended:  # what this __init__ does not take must not be passed
                config = {k: v for k, v in config.items() if k in parameters}
        return config | {
            k: registry.serialize_keras_object(v) for k, v in own_values.items()
        }

    get_config.derived = True  # type: ignore[attr-defined]
    get_config.__doc__ = Configurable.get_config.__doc__
    return get_config
