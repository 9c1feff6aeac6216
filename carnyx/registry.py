"""Classes by name, and objects as plain data.

A name in a config is looked up here and nowhere else: among the library's own
classes, those the user registered, and those the caller passes. Nothing that a file
says is ever imported, evaluated or unpickled.
"""

from __future__ import annotations

import builtins
import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np

from carnyx import dtype_policies
from carnyx.errors import ArgumentError, UnknownNameError, UnsafeModelError, nearest

T = TypeVar("T")

_builtin: dict[tuple[str, str], Any] = {}  # (family, name) -> class or function
_registered: dict[str, Any] = {}  # "package>name" -> class or function
_names: dict[Any, str] = {}  # the inverse
_scoped: ContextVar[dict[str, Any]] = ContextVar("custom_objects", default={})  # noqa: B039

# Where Keras 3 files place what lives in the folder of the same meaning here.
_MODULES = {
    "models": "keras",
    "schedules": "keras.optimizers.schedules",
    "dtype_policies": "keras",
}
_FAMILIES = {
    "merging": "layers",
    "engine": "models",
    "optimizer_experimental": "optimizers",
    "_core": "random",
}

# What a file may name. Callbacks, data sets and tools are not among it, so that no
# record makes one of them do something.
FILE_FAMILIES = frozenset(
    "layers models losses metrics optimizers schedules initializers regularizers "
    "constraints activations dtype_policies quantizers random ops".split()
)
_OWN_MODULES = ("keras", "carnyx", "tensorflow", "tf_keras")


def add_builtin(obj: T, family: str | None = None, name: str | None = None) -> T:
    """Make a class or function of the library known to configs."""
    label = name or obj.__name__  # type: ignore[attr-defined]
    _builtin[family or family_of(obj.__module__), label] = obj  # type: ignore[arg-type]
    return obj


def family_of(module: str) -> str:
    """The folder that a module name speaks of: `layers`, `losses`, `models`, …

    >>> family_of("carnyx.layers.core"), family_of("keras.src.models.functional")
    ('layers', 'models')
    """
    parts = [p for p in module.split(".") if p not in ("src", "_tf_keras", "api")]
    if "schedules" in parts or "learning_rate_schedule" in parts:
        return "schedules"
    if "backend" in parts and "optimizers" in parts:  # keras.src.backend.torch.…
        return "optimizers"
    family = parts[1] if len(parts) > 1 else ""
    return _FAMILIES.get(family, family)


def find_builtin(name: str, family: str = "") -> Any:
    """The library's own object of that name, or None."""
    if family and (family, name) in _builtin:
        return _builtin[family, name]
    if family and family not in ("models", "layers", "src"):
        return None
    order = (family, "layers", "models", "dtype_policies", "initializers")
    rest = (f for f, n in _builtin if n == name and f in FILE_FAMILIES)
    for candidate in (*order, *rest):
        if (candidate, name) in _builtin:
            return _builtin[candidate, name]
    return None


def builtin_names(family: str) -> list[str]:
    """Every name known in one family."""
    return sorted(n for f, n in _builtin if f == family)


# ---- What users register -----------------------------------------------------


def register_keras_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[T], T]:
    """Class or function decorator: let files name it as `package>name`.

    >>> @register_keras_serializable("my_package")
    ... def square(x): return x * x
    >>> get_registered_name(square)
    'my_package>square'
    """

    def decorate(obj: T) -> T:
        label = f"{package}>{name or obj.__name__}"  # type: ignore[attr-defined]
        if inspect.isclass(obj) and not hasattr(obj, "get_config"):
            raise ArgumentError(
                f"Class {obj.__name__!r} has no get_config(), so it cannot be saved; "
                "define it before registering the class."
            )
        _registered[label] = obj
        _names[obj] = label
        return obj

    return decorate


@contextlib.contextmanager
def custom_object_scope(custom_objects: dict[str, Any]) -> Iterator[None]:
    """Within the scope, names in configs may mean these objects.

    >>> with custom_object_scope({"twice": lambda x: 2 * x}):
    ...     get_registered_object("twice")(4)
    8
    """
    token = _scoped.set({**_scoped.get(), **(custom_objects or {})})
    try:
        yield
    finally:
        _scoped.reset(token)


CustomObjectScope = custom_object_scope


def get_custom_objects() -> dict[str, Any]:
    """The live dictionary of registered objects; entries may be added to it."""
    return _registered


def get_registered_name(obj: Any) -> str:
    """The name under which an object was registered, or its own name."""
    try:
        return _names.get(obj) or getattr(obj, "__name__", type(obj).__name__)
    except TypeError:  # not hashable
        return getattr(obj, "__name__", type(obj).__name__)


def get_registered_object(
    name: str,
    custom_objects: dict[str, Any] | None = None,
    module_objects: dict[str, Any] | None = None,
) -> Any:
    """What the user registered or passed under a name, or None."""
    for table in (_scoped.get(), custom_objects, _registered, module_objects):
        if table and name in table:
            return table[name]
    return None


# ---- Objects to data ---------------------------------------------------------


def serialize_keras_object(obj: Any) -> Any:
    """Any value of a config as plain data that JSON can hold, as Keras 3 writes it.

    Raises:
        ArgumentError: for an object without `get_config`.

    >>> serialize_keras_object((1, {"a": None}))
    [1, {'a': None}]
    """
    if obj is None or isinstance(obj, str | bool | int | float):
        return obj
    if isinstance(obj, dict):
        return {str(k): serialize_keras_object(v) for k, v in obj.items()}
    if isinstance(obj, list | tuple):
        return [serialize_keras_object(v) for v in obj]
    if isinstance(obj, dtype_policies.DTypePolicy):
        return dtype_policies.serialize(obj)
    special = _serialize_special(obj)
    if special is not None:
        return special
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


def serialize_shared(obj: Any) -> Any:
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


def _serialize_special(obj: Any) -> Any:
    if isinstance(obj, np.ndarray) or hasattr(obj, "__jax_array__") or _is_array(obj):
        array = np.asarray(obj)
        if array.ndim == 0:
            return array.item()
        content = {"value": array.tolist(), "dtype": array.dtype.name}
        return {"class_name": "__numpy__", "config": content}
    if isinstance(obj, np.generic):
        return obj.item()
    if isinstance(obj, np.dtype):
        return obj.name
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode()}}
    if isinstance(obj, slice):
        parts = [serialize_keras_object(p) for p in (obj.start, obj.stop, obj.step)]
        keys = ("start", "stop", "step")
        config = dict(zip(keys, parts, strict=True))
        return {"class_name": "__slice__", "config": config}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if hasattr(obj, "_keras_history"):
        return obj.serialize()
    return None


def _is_array(obj: Any) -> bool:
    return hasattr(obj, "__array__") and hasattr(obj, "dtype") and hasattr(obj, "shape")


def serialize_dict(config: dict[str, Any]) -> dict[str, Any]:
    """`serialize_keras_object` over the values."""
    return {key: serialize_keras_object(value) for key, value in config.items()}


def serialize_function(fn: Any) -> Any:
    """A function by its name; the library's own are a bare string."""
    name = getattr(fn, "op_name", None) or getattr(fn, "__name__", "")
    if name == "<lambda>":
        return {"class_name": "__lambda__", "config": {"value": None}}
    if _names.get(fn) is None and family_of(fn.__module__) and is_own(fn):
        return name
    return {
        "module": "builtins",
        "class_name": "function",
        "config": name,
        "registered_name": _names.get(fn, "function"),
    }


def is_own(obj: Any) -> bool:
    """True for what this library defines."""
    return str(getattr(obj, "__module__", "")).split(".")[0] == "carnyx"


def _address(cls: type) -> dict[str, Any]:
    """How Keras 3 finds a class: module, name, and for users' ones the registration."""
    if is_own(cls) and cls not in _names:
        family = family_of(cls.__module__)
        module = getattr(cls, "keras_module", None)
        module = module or _MODULES.get(family, f"keras.{family}")
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
    with custom_object_scope(custom_objects or {}):
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


def is_serialized(value: Any) -> bool:
    """True for the record of one object: a dict with a class name and a config."""
    return isinstance(value, dict) and "class_name" in value and "config" in value


def _deserialize_record(record: dict[str, Any], family: str) -> Any:
    name, config = record["class_name"], record["config"]
    if not isinstance(name, str):
        raise UnsafeModelError(f"class_name is {name!r}; expected a string.")
    if name == "__numpy__":
        return np.array(config["value"], dtype=config["dtype"])
    if name == "__tensor__":
        return np.array(config["value"], dtype=config["dtype"])
    if name == "__bytes__":
        return config["value"].encode()
    if name == "__tuple__":
        return tuple(_revived(v) for v in config["value"])
    if name == "__ellipsis__":
        return Ellipsis
    if name == "__slice__":
        return slice(*(config[k] for k in ("start", "stop", "step")))
    if name == "__lambda__":
        raise UnsafeModelError(
            "The config has a Python lambda stored as bytecode, which Carnyx never "
            "runs. Pass the function in custom_objects, under the layer's name."
        )
    if name == "function":
        registered = record.get("registered_name")
        return find_function(config, registered, family, record.get("module"))
    cls = find_class(record, family)
    if not hasattr(cls, "from_config"):
        return cls  # a function registered under the name
    if not isinstance(config, dict):
        raise UnsafeModelError(f"The config of {name!r} is {config!r}, not a dict.")
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


def find_class(record: dict[str, Any], family: str = "") -> Any:
    """The class that a record names: the caller's, the registered, or our own.

    Raises:
        UnsafeModelError: for a module that holds no models, or where the names of the
            record contradict each other.
        UnknownNameError: for a class that nobody registered.
    """
    name, registered = record["class_name"], record.get("registered_name")
    module = record.get("module")
    own = module is None or str(module).split(".")[0] in _OWN_MODULES
    if own and module is not None and registered not in (None, name):
        if not isinstance(registered, str) or registered.split(">")[-1] != name:
            raise UnsafeModelError(
                f"A record names {module}.{name} and, as its registered name, "
                f"{registered!r}: which of the two is meant cannot be told."
            )
    for label in (registered, name):
        found = get_registered_object(label) if isinstance(label, str) else None
        if found is not None:
            return found
    if own:
        where = family_of(module) if module and "." in module else family
        if not where or where in FILE_FAMILIES:
            found = find_builtin(name, where or family)
            if found is not None:
                return found
    raise _unknown("class", name, module, registered)


def _unknown(kind: str, name: Any, module: Any, registered: Any) -> Exception:
    """A class or function that is not to be had: refused, or only not registered."""
    what = f"The {kind} {name!r} (module {module!r}, registered as {registered!r})"
    top = str(module).split(".")[0]
    foreign = top in sys.stdlib_module_names and top != "builtins"
    foreign |= top == "builtins" and isinstance(name, str) and hasattr(builtins, name)
    if foreign or top in _OWN_MODULES and family_of(str(module)) not in FILE_FAMILIES:
        return UnsafeModelError(
            f"{what} is not among what a model may consist of; a file can import "
            "nothing. If the model is yours, save it with a layer or function of your "
            "own in its place."
        )
    known = [n.split(">")[-1] for n in _registered] + [n for _, n in _builtin]
    return UnknownNameError(
        f"{what} is not known; a file can import nothing.{nearest(name, known)} If it "
        "is yours, register it with @register_keras_serializable() before loading, or "
        f"pass custom_objects={{{name!r}: ...}}."
    )


def find_function(
    name: Any, registered: Any = None, family: str = "", module: Any = None
) -> Any:
    """The function that a record names."""
    for label in (registered, name):
        found = get_registered_object(label) if isinstance(label, str) else None
        if found is not None:
            return found
    own = module in (None, "builtins") or str(module).split(".")[0] in _OWN_MODULES
    if isinstance(name, str) and own:
        for candidate in (family, "activations", "losses", "metrics", "ops"):
            if (candidate, name) in _builtin and candidate in FILE_FAMILIES:
                return _builtin[candidate, name]
    raise _unknown("function", name, module, registered)


def lookup(identifier: Any, family: str, *, kind: str) -> Any:
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


def lookup_callable(identifier: Any, family: str, *, kind: str) -> Any:
    """As `lookup`, for what must be callable: activations, initializers, losses, …"""
    found = lookup(identifier, family, kind=kind)
    if not callable(found):
        raise ArgumentError(
            f"Got {identifier!r} as {kind}; expected a name, a config or a callable."
        )
    return found


add_builtin(dtype_policies.DTypePolicy, "dtype_policies")
