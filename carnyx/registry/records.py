"""Objects as plain data, as Keras 3 writes it, and back.

Values that JSON does not have are records with a tag, each with its encoder and its
decoder in one table; objects are records of their class and config.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple, NoReturn

import numpy as np

from carnyx import dtype_policies
from carnyx.errors import (
    ArgumentError,
    RecordError,
    UnknownNameError,
    UnsafeModelError,
    nearest,
)
from carnyx.registry.names import (
    MODULES,
    builtin_names,
    custom_object_scope,
    find_builtin,
    find_class,
    find_function,
    get_registered_name,
    get_registered_object,
    is_own,
    own_family,
    registered_label,
)

# ---- Objects to data ---------------------------------------------------------


def serialize_keras_object(obj: Any) -> Any:
    """Any value of a config as plain data that JSON can hold, as Keras 3 writes it.

    Raises:
        ArgumentError: for an object without `get_config`.

    >>> serialize_keras_object((1, {"a": None}))
    (1, {'a': None})
    """
    if obj is None or isinstance(obj, str | bool | int | float):
        return obj
    if isinstance(obj, dict):
        return {str(k): serialize_keras_object(v) for k, v in obj.items()}
    if isinstance(obj, list | tuple):
        values = [serialize_keras_object(v) for v in obj]
        return tuple(values) if isinstance(obj, tuple) else values
    if isinstance(obj, dtype_policies.DTypePolicy):
        return dtype_policies.serialize(obj)
    for kind in _KINDS:
        if kind.matches(obj):
            return kind.encode(obj)
    if hasattr(obj, "_keras_history"):  # a symbolic tensor
        return obj.serialize()
    if inspect.isfunction(obj) or inspect.isbuiltin(obj) or hasattr(obj, "op_name"):
        return serialize_function(obj)
    if inspect.isclass(obj):
        return obj.__name__
    if not hasattr(obj, "get_config"):
        raise ArgumentError(
            f"Cannot save {obj!r} of type {type(obj).__name__}: it has no "
            "get_config(). Give its class one, or override get_config() in the "
            "layer that holds it."
        )
    config = serialize_dict(obj.get_config())
    record = {**_address(type(obj)), "config": config, **_numbered(obj)}
    if hasattr(obj, "get_build_config"):
        build = obj.get_build_config()
        if build is not None:
            record["build_config"] = serialize_dict(build)
    if getattr(obj, "compiled", False) and hasattr(obj, "get_compile_config"):
        compiled = obj.get_compile_config()
        if compiled is not None:
            record["compile_config"] = serialize_dict(compiled)
    return record


_shared: ContextVar[dict[int, Any] | None] = ContextVar("shared", default=None)


@contextlib.contextmanager
def object_sharing() -> Iterator[None]:
    """Within it, an object that is met twice is one object again when read back."""
    token = _shared.set({})
    try:
        yield
    finally:
        _shared.reset(token)


def _numbered(obj: Any) -> dict[str, int]:
    """The entry of a record by which the same object is known again."""
    met = _shared.get()
    if met is None:
        return {}
    _, number = met.setdefault(id(obj), (obj, len(met) + 1))  # obj keeps its id taken
    return {"shared_object_id": number}


def serialize_shared(obj: object) -> Any:
    """`serialize_keras_object`, telling which records are of one object."""
    with object_sharing():
        record = serialize_keras_object(obj)
    counts: dict[int, int] = {}
    records = list(_records(record))
    for one in records:
        number = one["shared_object_id"]
        counts[number] = counts.get(number, 0) + 1
    for one in records:
        if counts[one["shared_object_id"]] == 1:
            del one["shared_object_id"]
    return record


def _records(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "shared_object_id" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _records(item)


def serialize_dict(config: dict[str, Any]) -> dict[str, Any]:
    """`serialize_keras_object` over the values."""
    return {key: serialize_keras_object(value) for key, value in config.items()}


def serialize_function(fn: Any) -> Any:
    """A function by its name; the library's own are a bare string."""
    name = getattr(fn, "op_name", None) or getattr(fn, "__name__", "")
    if name == "<lambda>":
        return {"class_name": "__lambda__", "config": {"value": None}}
    if registered_label(fn) is None and is_own(fn):
        return name
    return {
        "module": "builtins",
        "class_name": "function",
        "config": name,
        "registered_name": registered_label(fn) or "function",
    }


def _address(cls: type) -> dict[str, Any]:
    """How Keras 3 finds a class: module, name, and for users' ones the registration."""
    if is_own(cls) and registered_label(cls) is None:
        family = own_family(cls)
        module = getattr(cls, "keras_module", None)
        module = module or MODULES.get(family, f"keras.{family}")
        return {
            "module": module,
            "class_name": vars(cls).get("keras_class_name", cls.__name__),
            "registered_name": getattr(cls, "keras_registered_name", None),
        }
    return {
        "module": cls.__module__,
        "class_name": cls.__name__,
        "registered_name": get_registered_name(cls),
    }


# ---- Values that JSON does not have ------------------------------------------


class _Kind(NamedTuple):
    """What is recognised by `matches`, and its plain form."""

    matches: Callable[[Any], bool]
    encode: Callable[[Any], Any]


def _is_array(obj: Any) -> bool:
    if isinstance(obj, np.ndarray) or hasattr(obj, "__jax_array__"):
        return not hasattr(obj, "_keras_history")
    return all(hasattr(obj, name) for name in ("__array__", "dtype", "shape"))


def _encode_array(obj: Any) -> Any:
    array = np.asarray(obj)
    if array.ndim == 0:
        return array.item()
    content = {"value": array.tolist(), "dtype": array.dtype.name}
    return {"class_name": "__numpy__", "config": content}


def _decode_array(config: dict[str, Any]) -> np.ndarray:
    return np.array(config["value"], dtype=config["dtype"])


def _encode_slice(obj: slice) -> dict[str, Any]:
    parts = {k: serialize_keras_object(getattr(obj, k)) for k in _SLICE}
    return {"class_name": "__slice__", "config": parts}


_SLICE = ("start", "stop", "step")


def _refuse_lambda(config: Any) -> NoReturn:
    raise UnsafeModelError(
        "The config has a Python lambda stored as bytecode, which Carnyx never "
        "runs. Pass the function in custom_objects, under the layer's name."
    )


_KINDS = (
    _Kind(lambda x: isinstance(x, np.generic), lambda x: x.item()),
    _Kind(_is_array, _encode_array),
    _Kind(lambda x: isinstance(x, np.dtype), lambda x: x.name),
    _Kind(
        lambda x: isinstance(x, bytes),
        lambda x: {"class_name": "__bytes__", "config": {"value": x.decode()}},
    ),
    _Kind(lambda x: isinstance(x, slice), _encode_slice),
    _Kind(
        lambda x: x is Ellipsis,
        lambda x: {"class_name": "__ellipsis__", "config": {}},
    ),
)

_DECODERS: dict[str, Callable[[Any], Any]] = {
    "__numpy__": _decode_array,
    "__tensor__": _decode_array,
    "__bytes__": lambda config: config["value"].encode(),
    "__slice__": lambda config: slice(*(config[k] for k in _SLICE)),
    "__ellipsis__": lambda config: Ellipsis,
    "__tuple__": lambda config: tuple(_revived(v) for v in config["value"]),
    "__lambda__": _refuse_lambda,
}


# ---- Data to objects ---------------------------------------------------------


def deserialize_keras_object(
    config: Any,
    custom_objects: dict[str, Any] | None = None,
    safe_mode: bool = True,
    *,
    family: str = "",
) -> Any:
    """The inverse of `serialize_keras_object`.

    Raises:
        UnknownNameError: for a class that is neither the library's nor registered.
        UnsafeModelError: for stored code, and for `safe_mode=False`.
    """
    if not safe_mode:
        raise UnsafeModelError(
            "safe_mode=False is not offered: Carnyx never runs code from a file. Pass "
            "functions and classes in custom_objects instead."
        )
    if isinstance(config, str):  # a name only where the caller asks for one
        if not family and not custom_objects:
            return config
        found = get_registered_object(config, custom_objects)
        if found is None and family:
            found = find_builtin(config, family)
        return config if found is None else found
    with custom_object_scope(custom_objects):
        return _revived(config, family)


def _revived(config: Any, family: str = "") -> Any:
    """Objects in the place of records, at any depth; strings stay strings."""
    if isinstance(config, list | tuple):
        return type(config)(_revived(v) for v in config)
    if not isinstance(config, dict):
        return config
    if not is_serialized(config):
        return {k: _revived(v) for k, v in config.items()}
    return _deserialize_record(config, family)


def is_serialized(value: object) -> bool:
    """True for the record of one object: a dict with a class name and a config."""
    return isinstance(value, dict) and "class_name" in value and "config" in value


def _deserialize_record(record: dict[str, Any], family: str) -> Any:
    name, config = record["class_name"], record["config"]
    if not isinstance(name, str):
        raise RecordError(f"class_name is {name!r}; expected a string.")
    if name in _DECODERS:
        return _DECODERS[name](config)
    if name == "function":
        if not isinstance(config, str):
            raise RecordError(f"A function is named {config!r}; expected a string.")
        registered = record.get("registered_name")
        return find_function(config, registered, family, record.get("module"))
    cls = find_class(record, family)
    if not hasattr(cls, "from_config"):
        return cls  # a function registered under the name
    if name == "Sequential" and isinstance(config, list):  # up to Keras 2.2.2
        config = {"layers": config}
    if not isinstance(config, dict):
        raise RecordError(f"The config of {name!r} is {config!r}, not a dict.")
    met, number = _shared.get(), record.get("shared_object_id")
    if met is not None and isinstance(number, int) and type(met.get(number)) is cls:
        return met[number]
    obj = cls.from_config(config)
    if met is not None and isinstance(number, int):
        met[number] = obj
    _finish(obj, record)
    return obj


def _finish(obj: Any, record: dict[str, Any]) -> None:
    """Build and compile what was saved built and compiled."""
    build = record.get("build_config")
    if build and hasattr(obj, "build_from_config"):
        obj.build_from_config(build)
    compiled = record.get("compile_config")
    if compiled and hasattr(obj, "compile_from_config"):
        obj.compile_from_config(compiled)


def lookup(identifier: object, family: str, *, kind: str) -> Any:
    """What users may give for an initializer, loss, …: name, config, class or object.

    Args:
        family: the folder whose names count.
        kind: the word for error messages.

    Raises:
        UnknownNameError: names the nearest known one.
    """
    if isinstance(identifier, str):
        found = get_registered_object(identifier)
        if found is None:
            found = find_builtin(identifier, family)
        if found is None:
            raise UnknownNameError(
                f"Unknown {kind} {identifier!r}."
                f"{nearest(identifier, builtin_names(family))}"
            )
    elif isinstance(identifier, dict):
        found = deserialize_keras_object(identifier, family=family)
    else:
        found = identifier
    return found() if inspect.isclass(found) else found


def lookup_callable(identifier: object, family: str, *, kind: str) -> Any:
    """As `lookup`, for what must be callable: losses, metrics, …; None stays None."""
    found = lookup(identifier, family, kind=kind)
    if identifier is not None and not callable(found):
        raise ArgumentError(
            f"Got {identifier!r} as {kind}; expected a name, a config or a callable."
        )
    return found
