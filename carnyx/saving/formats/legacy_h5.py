"""`.h5`: the HDF5 layout that Keras 1, 2 and 3's legacy writer share.

Root attributes `model_config` and `training_config` (JSON); a group `model_weights`
(the root itself in a file of weights only) with `layer_names`, and for each layer a
group whose attribute `weight_names` gives the order of its arrays; a group
`optimizer_weights` likewise.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from carnyx import registry
from carnyx.saving import hdf5, jsons
from carnyx.saving.description import TOP, Group, ModelDescription
from carnyx.saving.files import PathLike, damaged, replacing
from carnyx.saving.formats.keras_v3 import KERAS_VERSION

WEIGHTS, OPTIMIZER = "model_weights", "optimizer_weights"
PLACES = "weight_places"  # ours; other readers do not mind
# What `compile` takes, among what training_config has had over the years.
_COMPILE = ("loss", "metrics", "weighted_metrics", "loss_weights")
_FAMILY = {"loss": "keras.losses", "metrics": "keras.metrics"}
_FAMILY["weighted_metrics"] = "keras.metrics"


def is_legacy(tree: hdf5.Tree) -> bool:
    """Whether the tree has weights by layer, and not by path."""
    root = tree.attributes[""]
    return WEIGHTS in tree.attributes or "layer_names" in root or "layer_names0" in root


def describe(tree: hdf5.Tree) -> ModelDescription:
    """The description of what an HDF5 file of this layout holds."""
    description = ModelDescription(tree.source, by="layer")
    for key in ("keras_version", "backend"):
        description.metadata[key] = hdf5.text(tree, key)
    config = hdf5.text(tree, "model_config")
    if config is not None:
        description.config = _renamed(_object(tree, "model_config", config))
    training = hdf5.text(tree, "training_config")
    if training is not None:
        given = _object(tree, "training_config", training)
        description.compile_config = _compile_config(given)
    weights = tree.inside(WEIGHTS) if WEIGHTS in tree.attributes else tree
    names = weights.names("", "layer_names")
    if TOP in weights.attributes and weights.names(TOP, "weight_names"):
        names.append(TOP)
    for name in names:
        description.weights[name] = _group(weights, name)
    if OPTIMIZER in tree.attributes:
        description.optimizer[""] = _group(tree, OPTIMIZER)
    return description


def _group(tree: hdf5.Tree, place: str) -> Group:
    inside = tree.inside(place)
    group = Group(place)
    for name in inside.names("", "weight_names"):
        if name not in inside.arrays:
            raise damaged(tree.source, f"{place}/{name}", "this array is missing")
        group.arrays[name] = inside.arrays[name]
    group.places = inside.numbers("", PLACES)
    group.trained = inside.numbers("", hdf5.TRAINED)
    return group


def _object(tree: hdf5.Tree, attribute: str, content: str) -> dict[str, Any]:
    checksum = tree.attributes[""].get(f"{attribute}_crc32")
    if checksum is not None and int(checksum) != _crc(content):
        raise damaged(tree.source, attribute, "the text has changed (checksum)")
    value = jsons.parse(content, tree.source, attribute)
    if not isinstance(value, dict):
        raise damaged(tree.source, attribute, "it is no JSON object")
    return value


def _renamed(value: Any) -> Any:
    """The few arguments whose form differs between Keras 2 and 3, throughout."""
    if isinstance(value, list):
        return [_renamed(v) for v in value]
    if not isinstance(value, dict):
        return value
    value = {key: _renamed(v) for key, v in value.items()}
    config = value.get("config")
    if "class_name" in value and isinstance(config, dict):
        if value["class_name"] == "InputLayer" and "batch_input_shape" in config:
            config["batch_shape"] = config.pop("batch_input_shape")
        if isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
            config["axis"] = config["axis"][0]
    return value


def _compile_config(training: dict[str, Any]) -> dict[str, Any]:
    """What `compile` takes, as the newer files have it."""
    config = {key: _placed(training.get(key), _FAMILY.get(key)) for key in _COMPILE}
    optimizer = training.get("optimizer_config") or {}
    return {"optimizer": _placed(optimizer, "keras.optimizers"), **config}


def _placed(value: Any, module: str | None) -> Any:
    """Records with the module that older files leave out."""
    if module is None:
        return value
    if isinstance(value, list):
        return [_placed(v, module) for v in value]
    if isinstance(value, dict):
        if "class_name" in value and "config" in value:
            return {"module": module, **value}
        return {k: _placed(v, module) for k, v in value.items()}
    return value


def write(path: PathLike, description: ModelDescription) -> None:
    """Write a whole model, or weights only where there is no config."""

    def fill(file: Any) -> None:
        if description.config is None:
            _put_weights(file, description)
            return
        file.attrs["keras_version"] = KERAS_VERSION
        file.attrs["backend"] = "jax"
        _put_json(file, "model_config", _legacy_record(description.config))
        if description.compile_config is not None:
            training = dict(description.compile_config)
            optimizer = training.pop("optimizer")
            keys = ("class_name", "config")
            training["optimizer_config"] = {k: optimizer[k] for k in keys}
            training["loss"] = _full_names(training.get("loss"))
            _put_json(file, "training_config", training)
        _put_weights(file.create_group(WEIGHTS), description)
        for group in description.optimizer.values():
            _put_group(file.create_group(OPTIMIZER), group)

    with replacing(path) as stream:
        hdf5.write(stream, fill)


def _put_json(file: Any, attribute: str, value: Any) -> None:
    content = json.dumps(value)
    file.attrs[attribute] = content
    file.attrs[f"{attribute}_crc32"] = _crc(content)


def _crc(content: str) -> int:
    return zlib.crc32(content.encode(errors="surrogateescape"))


def _full_names(loss: Any) -> Any:
    """Losses without their short names (`mse`), which Keras 3.15 refuses in `.h5`."""
    if isinstance(loss, list):
        return [_full_names(one) for one in loss]
    if isinstance(loss, dict) and not registry.is_serialized(loss):
        return {key: _full_names(one) for key, one in loss.items()}
    known = registry.find_builtin(loss, "losses") if isinstance(loss, str) else None
    return loss if known is None else known.__name__


def _put_weights(root: Any, description: ModelDescription) -> None:
    layers = [name for name in description.weights if name != TOP]
    hdf5.put_names(root, "layer_names", layers)
    root.attrs["backend"] = "jax"
    root.attrs["keras_version"] = KERAS_VERSION
    for name, group in sorted(description.weights.items()):
        _put_group(root.create_group(name), group)


def _put_group(target: Any, group: Group) -> None:
    hdf5.put_names(target, "weight_names", list(group.arrays))
    if group.places:
        hdf5.put_names(target, PLACES, [str(place) for place in group.places])
    if group.trained:
        hdf5.put_names(target, hdf5.TRAINED, [str(place) for place in group.trained])
    for name, value in group.arrays.items():
        hdf5.put_array(target, name, value)


def _legacy_record(record: dict[str, Any]) -> dict[str, Any]:
    """A model's record with layers as Keras 2 has them: a class name, no module."""
    if str(record.get("module")).startswith("keras.src.ops"):
        return record  # Keras 2 had no such thing, Keras 3 needs the module
    name = record["class_name"]
    if ">" in str(record.get("registered_name")):
        name = record["registered_name"]
    config = record["config"]
    if isinstance(config, dict) and isinstance(config.get("layers"), list):
        config = config | {"layers": [_legacy_record(x) for x in config["layers"]]}
    kept = {k: record[k] for k in ("name", "inbound_nodes", "device") if k in record}
    return {"class_name": name, "config": config, **kept}
