"""`keras.utils.legacy`: objects as a class name and a config, as in Keras 2."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from carnyx import registry
from carnyx.errors import ArgumentError, UnknownNameError, nearest

__all__ = ["deserialize_keras_object", "serialize_keras_object"]


def serialize_keras_object(instance: Any) -> Any:
    """An object as its class's name and its config; a function as its name.

    >>> from carnyx.initializers import Ones
    >>> serialize_keras_object(Ones())
    {'class_name': 'Ones', 'config': {}}
    """
    if instance is None:
        return None
    if hasattr(instance, "get_config"):
        name = registry.get_registered_name(type(instance))
        return {"class_name": name, "config": instance.get_config()}
    if hasattr(instance, "__name__"):
        return registry.get_registered_name(instance)
    raise ArgumentError(
        f"{instance!r} cannot be serialized: it has no get_config() and no name."
    )


def deserialize_keras_object(
    identifier: Any,
    module_objects: Mapping[str, Any] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    printable_module_name: str = "object",
) -> Any:
    """The inverse, by the names in `module_objects` and `custom_objects`.

    The name of a function gives the function, that of a class an object of it.

    Raises:
        UnknownNameError: where neither has the name, and nobody registered it.

    >>> from carnyx import initializers
    >>> record = {"class_name": "Constant", "config": {"value": 2.0}}
    >>> deserialize_keras_object(record, vars(initializers)).value
    2.0
    """
    if identifier is None or callable(identifier):
        return identifier
    known = {**(module_objects or {}), **(custom_objects or {})}
    if isinstance(identifier, str):
        found = _find(identifier, known, printable_module_name)
        return found() if inspect.isclass(found) else found
    if not isinstance(identifier, dict) or not {"class_name", "config"} <= set(
        identifier
    ):
        raise ArgumentError(
            f"Got {identifier!r} for a serialized {printable_module_name}; expected a "
            "name, or a dict with 'class_name' and 'config'."
        )
    found = _find(identifier["class_name"], known, printable_module_name)
    with registry.custom_object_scope(dict(custom_objects or {})):
        if hasattr(found, "from_config"):
            return found.from_config(identifier["config"])
        return found(**identifier["config"])


def _find(name: str, known: Mapping[str, Any], what: str) -> Any:
    found = registry.get_registered_object(name) or known.get(name)
    if found is None:
        raise UnknownNameError(
            f"Unknown {what}: {name!r}.{nearest(name, known)} Pass it in "
            "custom_objects, or use keras.utils.custom_object_scope."
        )
    return found
