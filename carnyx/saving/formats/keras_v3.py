"""`.keras`, the archive of Keras 3, and `.weights.h5`, the part of it with weights.

The archive holds `config.json` (the model as data), `metadata.json` and
`model.weights.h5` (HDF5: the weights by path, `optimizer/` among them). Layers that
write files of their own have them in `assets/`. A folder with these files is a model,
too (`zipped=False`).
"""

from __future__ import annotations

import contextlib
import datetime
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from carnyx.saving import hdf5, jsons
from carnyx.saving.description import Group, ModelDescription
from carnyx.saving.files import PathLike, damaged, existing, refused, replacing
from carnyx.saving.folders import Folder, NewFolder
from carnyx.saving.zips import Archive

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
ASSETS = "assets/"
KERAS_VERSION = "3.15.0"  # whose layout this is


def is_folder(path: PathLike) -> bool:
    """True for a folder that holds a model."""
    return Path(path, CONFIG).is_file() and Path(path, WEIGHTS).is_file()


def matches(path: PathLike) -> bool:
    """True for a file that begins as zip archives do, and a folder with a model."""
    if is_folder(path):
        return True
    with open(existing(path), "rb") as stream:
        return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


@contextlib.contextmanager
def read(path: PathLike, weights_only: bool = False) -> Iterator[ModelDescription]:
    """The model in a `.keras` file or folder; weights can be read within the block."""
    folder = is_folder(path)
    file = Path(path) if folder else existing(path)
    with contextlib.closing(Folder(file) if folder else Archive(file)) as archive:
        description = ModelDescription(str(file))
        if not weights_only:
            description.metadata = _object(archive, METADATA)
            description.config = _object(archive, CONFIG)
            compiled = description.config.pop("compile_config", None)
            description.compile_config = compiled
        if any(n.endswith((".npz", ".pkl")) for n in archive.names()):
            rule = "has weights as NumPy archives or pickles, which may hold code"
            remedy = "Save the model again; Keras writes HDF5 unless told otherwise."
            raise refused(file, "the archive", rule, remedy)
        description.assets = {} if weights_only else _assets(archive)
        data = archive.read(WEIGHTS)
    with hdf5.opened(data, f"{file} ({WEIGHTS})", len(data)) as tree:
        _take_groups(description, tree)
        yield description


def _assets(archive: Archive | Folder) -> dict[str, dict[str, bytes]]:
    """`assets/<place>/<file>` as place to files."""
    found: dict[str, dict[str, bytes]] = {}
    for member in archive.names():
        if member.startswith(ASSETS) and not member.endswith("/"):
            place, _, name = member.removeprefix(ASSETS).rpartition("/")
            found.setdefault(place, {})[name] = archive.read(member)
    return found


def _object(archive: Archive | Folder, member: str) -> dict[str, Any]:
    value = jsons.parse(archive.read(member), archive.file, member)
    if not isinstance(value, dict):
        raise damaged(archive.file, member, "it is no JSON object")
    return value


def describe(tree: hdf5.Tree) -> ModelDescription:
    """The description of a file that holds weights by path, and nothing else."""
    description = ModelDescription(tree.source)
    _take_groups(description, tree)
    return description


def _take_groups(description: ModelDescription, tree: hdf5.Tree) -> None:
    """Groups `<path>/vars` as path to arrays; the optimizer's apart."""
    for place, attributes in tree.attributes.items():
        if _is_vars(place):
            name, group = attributes.get("name"), _group(description, place)
            group.name = name if isinstance(name, str) else None
            group.trained = tree.numbers(place, hdf5.TRAINED)
    for member, stored in sorted(tree.arrays.items(), key=_number):
        place, _, key = member.rpartition("/")
        if not _is_vars(place):
            raise damaged(tree.source, member, "an array outside of a 'vars' group")
        _group(description, place).arrays[key] = stored


def _number(item: tuple[str, Any]) -> tuple[int, str]:
    """By number: HDF5 lists `10` before `2`."""
    key = item[0].rpartition("/")[2]
    return (int(key), "") if key.isdecimal() and len(key) < 10 else (1 << 40, key)


def _is_vars(place: str) -> bool:
    return place.split("/")[-1] == "vars"


def _group(description: ModelDescription, place: str) -> Group:
    path = place.removesuffix("vars").removesuffix("/")
    if path.split("/")[0] == "optimizer":
        path = path.removeprefix("optimizer").removeprefix("/")
        return description.optimizer.setdefault(path, Group())
    return description.weights.setdefault(path, Group())


def write(path: PathLike, description: ModelDescription) -> None:
    """Write a `.keras` file."""
    with replacing(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        for name, value in _small_members(description).items():
            archive.writestr(zipfile.ZipInfo(name), value)
        with archive.open(zipfile.ZipInfo(WEIGHTS), "w", force_zip64=True) as member:
            _write_hdf5(member, description)


def write_folder(path: PathLike, description: ModelDescription) -> None:
    """Write the same files into a folder."""
    with NewFolder(path, CONFIG) as folder:
        for name, value in _small_members(description).items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(value)
        with open(folder / WEIGHTS, "wb") as stream:
            _write_hdf5(stream, description)


def _small_members(description: ModelDescription) -> dict[str, bytes]:
    """By name, all but the weights."""
    record = dict(description.config or {})
    if description.compile_config is not None:
        record["compile_config"] = description.compile_config
    now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    metadata = {"keras_version": KERAS_VERSION, "date_saved": now}
    members = {
        name: json.dumps(value).encode()
        for name, value in ((METADATA, metadata), (CONFIG, record))
    }
    for place, files in description.assets.items():
        for name, content in files.items():
            members[ASSETS + "/".join(filter(None, (place, name)))] = content
    return members


def write_weights(path: PathLike, description: ModelDescription) -> None:
    """Write a `.weights.h5` file."""
    with replacing(path) as stream:
        _write_hdf5(stream, description)


def _write_hdf5(stream: IO[bytes], description: ModelDescription) -> None:
    def fill(file: Any) -> None:
        hdf5.put_groups(file, description.weights)
        hdf5.put_groups(file, description.optimizer, "optimizer")

    hdf5.write(stream, fill)
