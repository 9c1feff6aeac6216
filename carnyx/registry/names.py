"""Classes and functions by name.

A name in a config is looked up here and nowhere else: among the library's own
classes, those the user registered, and those the caller passes. Nothing that a file
says is ever imported, evaluated or unpickled.
"""

from __future__ import annotations

import builtins
import contextlib
import inspect
import sys
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

from carnyx import dtype_policies
from carnyx.errors import ArgumentError, UnknownNameError, UnsafeModelError, nearest

T = TypeVar("T")

_builtin: dict[tuple[str, str], Any] = {}  # (family, name) -> class or function
_own: dict[Any, str] = {}  # what this library defines -> its family, "" without one
_registered: dict[str, Any] = {}  # "package>name" -> class or function
_names: dict[Any, str] = {}  # the inverse
_scoped: ContextVar[dict[str, Any]] = ContextVar("custom_objects", default={})  # noqa: B039

# Where Keras 3 files place what lives in the folder of the same meaning here.
MODULES = {
    "": "keras",
    "models": "keras",
    "schedules": "keras.optimizers.schedules",
    "dtype_policies": "keras",
}
_FAMILIES = {
    "merging": "layers",
    "engine": "models",
    "optimizer_experimental": "optimizers",
}

# What a file may name. Callbacks, data sets and tools are not among it, so that no
# record makes one of them do something.
FILE_FAMILIES = frozenset(
    "layers models losses metrics optimizers schedules initializers regularizers "
    "constraints activations dtype_policies quantizers random ops distillation".split()
)
_OWN_MODULES = ("keras", "carnyx", "tensorflow", "tf_keras")


def claim(obj: Any, name: str | None = None) -> bool:
    """Whether the library defines a class that is being made; then configs may name it.

    A private class (`_Merge`) is the library's, but no config names it; nor is one
    without a `keras_family`, the attribute that says among what it is found.
    """
    if str(obj.__module__).split(".")[0] != "carnyx":
        return False
    family = getattr(obj, "keras_family", "")
    mark_own(obj, family)
    if family and not obj.__name__.startswith("_"):
        add_builtin(obj, family, name)
    return True


def mark_own(obj: T, family: str = "") -> T:
    """Say that the library defines a class or function."""
    _own.setdefault(obj, family)
    return obj


def is_own(obj: object) -> bool:
    """True for a class or function that this library defines."""
    return isinstance(obj, Hashable) and obj in _own


def own_family(obj: object) -> str:
    """Among what the library has a class or function: `layers`, `losses`, `models`, …;
    nothing for what is not the library's."""
    return _own.get(obj, "") if isinstance(obj, Hashable) else ""


def add_builtin(obj: T, family: str, name: str | None = None) -> T:
    """Make a class or function of the library known to configs."""
    mark_own(obj, family)
    label = name or obj.__name__  # type: ignore[attr-defined]
    _builtin[family, label] = obj
    return obj


def family_of(module: str) -> str:
    """The family that a module in a file speaks of: `layers`, `losses`, `models`, …

    >>> family_of("keras.layers"), family_of("keras.src.models.functional")
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
def custom_object_scope(custom_objects: dict[str, Any] | None) -> Iterator[None]:
    """Within the scope, names in configs may mean these objects; None adds none.

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


def get_registered_name(obj: object) -> str:
    """The name under which an object was registered, or its own name."""
    return registered_label(obj) or getattr(obj, "__name__", type(obj).__name__)


def registered_label(obj: object) -> str | None:
    """`package>name` of what a user registered, or None."""
    return _names.get(obj) if isinstance(obj, Hashable) else None


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


# ---- What a record names -----------------------------------------------------


def find_class(record: dict[str, Any], family: str = "") -> Any:
    """The class that a record names: the caller's, the registered, or our own.

    Raises:
        UnsafeModelError: for a module that holds no models, or where the names of the
            record contradict each other.
        UnknownNameError: for a class that nobody registered.
    """
    name, registered = record["class_name"], record.get("registered_name") or None
    module = record.get("module")
    own = module is None or str(module).split(".")[0] in _OWN_MODULES
    if own and module is not None:
        _check_registered(name, registered, module)
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
        beside = _builtin.get((where, name))  # a layer that Keras keeps with a network
        if beside is not None and getattr(beside, "keras_module", None) == module:
            return beside
    raise _unknown("class", name, module, registered)


def _check_registered(name: Any, registered: Any, module: Any) -> None:
    """Refuse a record of ours whose registered name is that of something else."""
    if registered is not None:
        if not isinstance(registered, str) or registered.split(">")[-1] != name:
            raise UnsafeModelError(
                f"A record names {module}.{name} and, as its registered name, "
                f"{registered!r}: which of the two is meant cannot be told."
            )


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
    name: str, registered: object = None, family: str = "", module: object = None
) -> Any:
    """The function that a record names."""
    found = None
    for label in (registered, name):
        found = get_registered_object(label) if isinstance(label, str) else None
        if found is not None:
            return found
    own = module in (None, "builtins") or str(module).split(".")[0] in _OWN_MODULES
    if isinstance(name, str) and own:
        for candidate in (family, "activations", "losses", "metrics", "ops"):
            if (candidate, name) in _builtin and candidate in FILE_FAMILIES:
                if registered not in (None, "", "function"):
                    _check_registered(name, registered, module)
                return _builtin[candidate, name]
        if module in (None, "builtins"):
            found = _registered_in_any_package(name)
    if found is None:
        raise _unknown("function", name, module, registered)
    return found


def _registered_in_any_package(name: str) -> Any:
    """A user's function by its bare name: Keras 3.6 and older left the package out.

    Raises:
        UnknownNameError: where functions of several packages have the name.
    """
    tables = _scoped.get() | _registered
    found = {k: v for k, v in tables.items() if k.endswith(f">{name}")}
    if len(set(map(id, found.values()))) > 1:
        raise UnknownNameError(
            f"The file names a function {name!r} without its package, as Keras 3.6 and "
            f"older did, and {' and '.join(map(repr, sorted(found)))} are registered. "
            f"Say which one is meant: custom_objects={{{name!r}: ...}}."
        )
    return next(iter(found.values()), None)


add_builtin(dtype_policies.DTypePolicy, "dtype_policies")
