"""Models as pickles and deep copies: what a `.keras` file holds, kept in memory.

Beside it a pickle has the user's own classes and functions, by reference, so that
nothing need be registered. A pickle can run code when it is read; that is so of all
pickles, and files are read by other means (`api.load_model`).

Layers, metrics and optimizers on their own are pickled as any object is; their
variables bring their values.
"""

from __future__ import annotations

import copyreg
import inspect
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from carnyx import registry
from carnyx._core.devices import saved_devices
from carnyx._core.variable import Variable
from carnyx.errors import ArgumentError
from carnyx.layers.base import Layer
from carnyx.optimizers import OptaxOptimizer
from carnyx.saving.api import describe, fresh_model
from carnyx.saving.assets import collect_assets, restore_assets
from carnyx.saving.description import Group, ModelDescription
from carnyx.saving.functions import ByReference
from carnyx.saving.restore import restore


def reduced(model: Layer) -> tuple[Any, ...]:
    """What `Model.__reduce__` returns.

    Raises:
        ArgumentError: for a model with parts that no config can hold.
    """
    description = describe(model)
    description.assets = collect_assets(model)
    objects = _References(model).name_all(description)
    groups = {place: _on_host(group) for place, group in description.weights.items()}
    state = {p: groups.pop(p) for p in list(groups) if p.split("/")[0] == "optimizer"}
    description.weights = groups
    if state and model.optimizer.built:
        description.optimizer = {
            place.removeprefix("optimizer").removeprefix("/"): group
            for place, group in state.items()
        }
    description.source = f"The pickle of {model.name!r}"
    return _revived, (description, objects)


def _on_host(group: Group) -> Group:
    arrays = {
        key: value.numpy() if isinstance(value, Variable) else np.array(value)
        for key, value in group.arrays.items()
    }
    return Group(group.name, arrays, trained=group.trained)


def _revived(description: ModelDescription, objects: dict[str, Any]) -> Any:
    with saved_devices(), registry.object_sharing():
        model = fresh_model(description, objects)
        with registry.custom_object_scope(objects):
            restore(model, description, skip_mismatch=False)
            restore_assets(model, description)
    return model


# ---- variables, in the pickle of a layer or a metric --------------------------------


def _variable_reduced(variable: Variable) -> tuple[Any, ...]:
    """Without where it lies, and who holds its array."""
    value = variable.peek() if variable.abstract else variable.numpy()
    own = {"_home": "anywhere", "_lent": False}
    state = {k: v for k, v in vars(variable).items() if k != "_value"} | own
    return _variable_of, (type(variable), value), state


def _variable_of(cls: type[Variable], value: Any) -> Variable:
    variable = object.__new__(cls)
    spec = isinstance(value, jax.ShapeDtypeStruct)
    vars(variable)["_value"] = value if spec else jax.device_put(value)
    return variable


copyreg.pickle(Variable, _variable_reduced)


# ---- classes and functions by reference ---------------------------------------------


class _References:
    """The classes and functions of a model that are the user's, by new names.

    Attributes:
        objects: by the names that `name_all` writes into the records.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.objects: dict[str, Any] = {}
        self.classes: dict[tuple[str, str], type] = {}
        self.named: dict[tuple[str, Any], Any] = {}
        for part in _parts(model):
            cls = type(part)
            self.classes[cls.__module__, cls.__name__] = cls
            self.named.setdefault((cls.__name__, getattr(part, "name", None)), part)
            if isinstance(part, OptaxOptimizer):
                self.objects[part.name] = part.transformation

    def name_all(self, description: ModelDescription) -> dict[str, Any]:
        """Write the names into the records of a description."""
        self._name(description.config, self.model)
        if description.compile_config is not None:
            given = self.model._compiled.given | {"optimizer": self.model.optimizer}
            for key, value in description.compile_config.items():
                self._name(value, given.get(key))
        return self.objects

    def _name(self, value: Any, live: Any) -> None:
        """The names in a record, or in a structure of them, of something alive."""
        if isinstance(value, list):
            same = isinstance(live, list | tuple) and len(live) == len(value)
            for i, item in enumerate(value):
                self._name(item, live[i] if same else None)
        elif isinstance(value, dict) and not registry.is_serialized(value):
            for key, item in value.items():
                self._name(item, live.get(key) if isinstance(live, dict) else None)
        elif isinstance(value, dict) and value["class_name"] in _FUNCTIONS:
            self._name_function(value, live)
        elif isinstance(value, dict):
            self._name_object(value, live)

    def _name_function(self, record: dict[str, Any], live: Any) -> None:
        if inspect.isfunction(live):
            name = f"function>{id(live)}"
            self.objects[name] = ByReference(live)
            function = {"class_name": "function", "config": live.__name__}
            record |= function | {"module": "builtins", "registered_name": name}
        elif record["class_name"] == "__lambda__":
            raise ArgumentError(
                f"{self.model.name!r} cannot be pickled or copied: it has a Python "
                "lambda where it is not found again. Give it as a function with a "
                "name, decorated with @register_keras_serializable()."
            )

    def _name_object(self, record: dict[str, Any], live: Any) -> None:
        label, config = record["class_name"], record["config"]
        cls = self.classes.get((record.get("module") or "", label))
        if cls is not None and not registry.is_own(cls):
            name = f"{cls.__module__}>{cls.__qualname__}"
            self.objects[name] = cls
            record["registered_name"] = name
        for key in ("compile_config", "build_config"):
            self._name(record.get(key), None)
        if isinstance(config, dict):
            if type(live).__name__ != label:
                live = self.named.get((label, config.get("name")))
            held = vars(live) if hasattr(live, "__dict__") else {}
            for key, item in config.items():
                self._name(item, held.get(key, held.get(f"_{key}")))


_FUNCTIONS = ("function", "__lambda__")


def _parts(model: Any) -> Iterator[Any]:
    """All objects with a config that the model consists of or was compiled with."""
    seen: dict[int, Any] = {}
    waiting: list[Any] = [model]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen[id(item)] = item
        if isinstance(item, list | tuple | set):
            waiting += item
        elif isinstance(item, dict):
            waiting += item.values()
        elif hasattr(type(item), "get_config") and hasattr(item, "__dict__"):
            yield item
            waiting += vars(item).values()
            if isinstance(item, Layer):
                waiting += item._flatten_layers()
            compiled = getattr(item, "_compiled", None)
            waiting.append(getattr(compiled, "given", None))
