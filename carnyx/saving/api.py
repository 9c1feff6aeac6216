"""`save_model`, `load_model`, `save_weights`, `load_weights`, by suffix and content."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from carnyx import registry
from carnyx._core.devices import saved_devices
from carnyx.distribution.job import current_job
from carnyx.errors import (
    ArgumentError,
    FileError,
    NotBuiltError,
    OutOfMemoryError,
    UnknownNameError,
    UnsafeModelError,
    add_note_once,
)
from carnyx.layers.base import Layer
from carnyx.saving import hdf5, jsons, shared, walk
from carnyx.saving.assets import collect_assets, need_no_assets, restore_assets
from carnyx.saving.by_layer import restore_by_name
from carnyx.saving.description import ModelDescription
from carnyx.saving.files import PathLike, as_path, damaged, existing
from carnyx.saving.formats import keras_v3, legacy_h5
from carnyx.saving.limits import MAX_LAYERS, check_layers
from carnyx.saving.restore import restore

_HDF5 = (".h5", ".hdf5")
_FORMATS = ("keras", "h5", "hdf5")
_ONLY_BY_PATH = (
    "{} got objects_to_skip for {!r}; that is for files that go by path, which end in "
    ".weights.h5."
)


def save_model(
    model: Layer,
    filepath: PathLike,
    overwrite: bool = True,
    zipped: bool | None = None,
    *,
    include_optimizer: bool = True,
    save_format: str | None = None,
    **others: Any,
) -> None:
    """Save architecture, weights, and the state of training.

    A file that is there stays whole until the new one is complete.

    Args:
        filepath: ends in `.keras`, or `.h5` for the layout that Keras 2 reads.
        overwrite: False asks before a file is replaced.
        zipped: False writes the files of a `.keras` archive into a folder.
        include_optimizer: `.h5` only; whether to save the state of training.
        save_format: deprecated; the name says it.
    """
    _need_none(others, "save_model")
    suffix = Path(as_path(filepath, "save_model")).suffix
    if save_format is not None:
        _check_format(save_format, suffix)
    if zipped is False and suffix in (".keras", *_HDF5):
        raise ArgumentError(
            f"save_model got {str(filepath)!r} and zipped=False, which makes a folder: "
            f"its name should not end in {suffix}."
        )
    if zipped is not False and suffix not in (".keras", *_HDF5):
        raise ArgumentError(
            f"save_model got {str(filepath)!r}; expected a file ending in .keras (the "
            "Keras 3 archive) or .h5 (the HDF5 layout of Keras 2), or zipped=False for "
            "a folder."
        )
    if not model.built:
        warnings.warn(
            f"{model.name!r} is saved without weights: it is not built. Call it on "
            "data first, or begin with an Input.",
            stacklevel=3,
        )
    description = describe(model, by_layer=suffix in _HDF5)
    if suffix in _HDF5:
        need_no_assets(model, str(filepath))
    else:
        description.assets = collect_assets(model)
    if suffix in _HDF5 and not include_optimizer:
        description.compile_config, description.optimizer = None, {}
    writer = legacy_h5.write if suffix in _HDF5 else keras_v3.write
    if zipped is False:
        writer = keras_v3.write_folder
    _write(filepath, overwrite, description, writer)


def _need_none(others: dict[str, Any], function: str) -> None:
    if others:
        raise ArgumentError(
            f"{function} got the arguments {sorted(others)}, which it does not have."
        )


def _check_format(save_format: str, suffix: str) -> None:
    """As Keras 2's argument: kept where the name of the file says the same."""
    if save_format not in _FORMATS or suffix not in (".keras", *_HDF5):
        raise ArgumentError(
            f"save_model got save_format={save_format!r} for a file ending in "
            f"{suffix!r}; leave save_format out and give a name that ends in .keras or "
            ".h5. What SavedModel was for is model.export."
        )
    warnings.warn(
        "save_format is deprecated: the ending of the file's name says the format.",
        DeprecationWarning,
        stacklevel=4,
    )


def describe(
    model: Any,
    by_layer: bool = False,
    config: bool = True,
    skip: Collection[Any] = (),
) -> ModelDescription:
    """The model as data, ready to be written."""
    description = ModelDescription("memory", by="layer" if by_layer else "path")
    if config:
        record = registry.serialize_shared(model)
        description.compile_config = record.pop("compile_config", None)
        description.config = record
    if by_layer:
        description.weights = walk.collect_by_layer(model)
        optimizer = getattr(model, "optimizer", None)
        if optimizer is not None:
            description.optimizer[""] = walk.collect_optimizer(optimizer, model)
    else:
        description.weights = walk.collect(model, skip)
    return description


def load_model(
    filepath: PathLike,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
    *,
    devices: str | None = None,
    max_layers: int = MAX_LAYERS,
) -> Any:
    """The model in a file, ready to go on training.

    Nothing in the file is run, imported or unpickled: layers and functions of your own
    are those that you registered or pass here.

    Args:
        custom_objects: classes and functions by the names that the file has.
        compile: whether to restore loss, metrics, optimizer and its state.
        safe_mode: True; there is no other.
        devices: `"strict"` makes it an error when layers were placed on devices that
            are not there; by default that is ignored, with a warning.
        max_layers: a file that describes more layers is refused before any is made.

    Raises:
        OutOfMemoryError: for weights larger than the memory that is free.
        DeviceError: for devices that are not there, where that matters.
        UnsafeModelError: for a file that asks for more than data.
        UnknownNameError: for a class or function that is not registered.
        FileError: for a file that is missing, damaged, or in no known format.
    """
    filepath = as_path(filepath, "load_model")
    if devices not in (None, "strict"):
        raise ArgumentError(
            f"load_model got devices={devices!r}; expected 'strict' or None."
        )
    with _opened(filepath) as description, saved_devices(devices == "strict"):
        if description.config is None:
            raise FileError(
                f"{filepath} has weights only. Make the model and call "
                "model.load_weights(...)."
            )
        if not compile:
            description.compile_config = None
        check_layers(description.config, description.source, max_layers)
        with _naming_the_file(description.source), registry.object_sharing():
            model = fresh_model(description, custom_objects, safe_mode)
            with registry.custom_object_scope(custom_objects):
                restore(model, description, skip_mismatch=False)
                restore_assets(model, description)
    return model


def fresh_model(
    description: ModelDescription,
    custom_objects: dict[str, Any] | None,
    safe_mode: bool = True,
) -> Any:
    """The model that is described, compiled, with weights of its own."""
    record = dict(description.config or {})
    if not registry.is_serialized(record):
        raise damaged(description.source, "the config", "it does not describe a model")
    if description.compile_config:
        record["compile_config"] = description.compile_config
    return registry.deserialize_keras_object(
        record, custom_objects, safe_mode, family="models"
    )


def save_weights(
    model: Layer,
    filepath: PathLike,
    overwrite: bool = True,
    max_shard_size: object = None,
    *,
    objects_to_skip: Collection[Any] | None = None,
    **others: Any,
) -> None:
    """Save the weights, and the optimizer's state.

    Args:
        objects_to_skip: layers (or others with weights) to leave out, with all that is
            in them; `.weights.h5` only.
        filepath: ends in `.weights.h5`, or in `.h5` for the layout that Keras 2 reads
            (that one without the optimizer).
    """
    name = str(as_path(filepath, "save_weights"))
    _need_none(others, "save_weights")
    if max_shard_size is not None:
        raise ArgumentError("max_shard_size is not supported; files are of one piece.")
    if not name.endswith(_HDF5):
        raise ArgumentError(
            f"save_weights got {name!r}; expected a file ending in .weights.h5 (as "
            "Keras 3) or .h5 (as Keras 2)."
        )
    if not model.built:
        raise NotBuiltError(
            f"{model.name!r} has no weights to save: it is not built. Call it on data "
            "first, or build(input_shape)."
        )
    by_path = name.endswith(".weights.h5")
    if objects_to_skip and not by_path:
        raise ArgumentError(_ONLY_BY_PATH.format("save_weights", name))
    skip = objects_to_skip or ()
    description = describe(model, by_layer=not by_path, config=False, skip=skip)
    if not by_path:
        description.optimizer = {}
    writer = keras_v3.write_weights if by_path else legacy_h5.write
    _write(filepath, overwrite, description, writer)


def load_weights(
    model: Layer,
    filepath: PathLike,
    skip_mismatch: bool = False,
    by_name: bool = False,
    *,
    objects_to_skip: Collection[Any] | None = None,
    **others: Any,
) -> None:
    """Give a model of the same structure the weights of a file.

    Either all fit, or nothing is changed.

    Args:
        filepath: a `.weights.h5`, `.keras` or `.h5` file.
        skip_mismatch: warn about weights that do not fit, and load the others.
        by_name: for the layout of Keras 2: load the layers whose names the file has.
        objects_to_skip: layers (or others with weights) that keep what they have, with
            all that is in them; `.weights.h5` and `.keras` only.
    """
    _need_none(others, "load_weights")
    filepath = as_path(filepath, "load_weights")
    if not model.built:
        raise NotBuiltError(
            f"{model.name!r} has no weights to load into: it is not built. Call it on "
            "data first, or build(input_shape)."
        )
    with _opened(filepath, weights_only=True) as description:
        if by_name and description.by != "layer":
            raise ArgumentError(
                f"{filepath} has its weights by path, so by_name=True means nothing; "
                "it is for HDF5 files of the Keras 2 layout."
            )
        if objects_to_skip and description.by == "layer":
            raise ArgumentError(_ONLY_BY_PATH.format("load_weights", filepath))
        if by_name:
            restore_by_name(model, description, skip_mismatch)
        else:
            restore(model, description, skip_mismatch, objects_to_skip or ())


def model_from_json(json_string: str, custom_objects: Any = None) -> Any:
    """The model that `to_json` described, with fresh weights."""
    record = jsons.parse(json_string, "the JSON text", "the model")
    check_layers(record, "The JSON text", MAX_LAYERS)
    with registry.object_sharing():
        return registry.deserialize_keras_object(
            record, custom_objects=custom_objects, family="models"
        )


@contextlib.contextmanager
def _opened(
    filepath: PathLike, weights_only: bool = False
) -> Iterator[ModelDescription]:
    """The description in a file, whose format its first bytes tell."""
    file = Path(filepath)
    file = file if keras_v3.is_folder(file) else existing(filepath)
    if keras_v3.matches(file):
        with keras_v3.read(file, weights_only) as description:
            yield description
    elif hdf5.is_hdf5(file):
        with hdf5.opened(str(file), str(file), file.stat().st_size) as tree:
            legacy = legacy_h5.is_legacy(tree)
            yield (legacy_h5 if legacy else keras_v3).describe(tree)
    elif file.suffix in (".keras", *_HDF5):
        raise FileError(
            f"{file} is damaged: it does not begin as a {file.suffix} file does. "
            "Restore it from a copy."
        )
    else:
        raise FileError(
            f"{file} is in no format that can be read; .keras and .h5 files can."
        )


@contextlib.contextmanager
def _naming_the_file(source: str) -> Iterator[None]:
    """Errors about the config say which file it stands in."""
    try:
        yield
    except (UnsafeModelError, UnknownNameError, OutOfMemoryError) as error:
        if source in str(error):
            raise
        named = type(error)(f"{source} was not loaded: {error}")
        named.__notes__ = list(getattr(error, "__notes__", ()))
        raise named from error.__cause__
    except RecursionError:
        raise UnsafeModelError(
            f"{source} was not loaded: its models are nested too deep."
        ) from None
    except Exception as error:
        add_note_once(error, f"  while making the model that {source} describes")
        raise


def _write(
    filepath: PathLike,
    overwrite: bool,
    description: ModelDescription,
    writer: Callable[[PathLike, ModelDescription], None],
) -> None:
    """Write a file; of several processes the first does, and the others wait for it."""

    def write() -> None:
        if _may_write(filepath, overwrite):
            writer(filepath, description)

    job = current_job()
    if job is None:
        return write()
    if shared.are_split(description):
        with job.call("save"):
            job.agree(None, "save")  # says who is missing, where one is
            shared.gather(description, job.index == 0)
    job.done_by_first(write, "save", Path(filepath).name)


def _may_write(filepath: PathLike, overwrite: bool) -> bool:
    """Whether to go on where a file may be in the way."""
    if overwrite or not Path(filepath).exists():
        return True
    if not sys.stdin.isatty():
        raise FileError(f"{filepath} exists. Pass overwrite=True to replace it.")
    return input(f"{filepath} exists. Replace it? [y/n] ").strip().lower() in (
        "y",
        "yes",
    )
