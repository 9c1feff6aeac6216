"""Files that layers write beside their weights, such as vocabularies.

A layer that has `save_assets(folder)` and `load_assets(folder)`, as in Keras, is given
a folder for itself; what it writes there becomes bytes in the model's description.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from carnyx.errors import ArgumentError, add_note_once
from carnyx.layers.base import Layer
from carnyx.saving.description import ModelDescription
from carnyx.saving.walk import objects


def collect_assets(model: Layer) -> dict[str, dict[str, bytes]]:
    """What the parts of a model write, by place and name."""
    found = {}
    for place, item in objects(model):
        if not hasattr(type(item), "save_assets"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            item.save_assets(folder)
            files = _files_in(Path(folder))
        if files:
            found[place] = files
    return found


def restore_assets(model: Layer, description: ModelDescription) -> None:
    """Let the parts of a model read what they wrote."""
    for place, item in objects(model):
        files = description.assets.get(place)
        if not files or not hasattr(type(item), "load_assets"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                target = Path(folder, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            try:
                item.load_assets(folder)
            except Exception as error:
                where = f"  while reading the assets of {item!r} from"
                add_note_once(error, f"{where} {description.source}")
                raise


def need_no_assets(model: Layer, what: str) -> None:
    """Refuse a format that has no place for them.

    Raises:
        ArgumentError: where part of the model would be lost.
    """
    for place in collect_assets(model):
        raise ArgumentError(
            f"{what} cannot hold the vocabulary of {place!r}, which was learned or "
            "read from a file. Save the whole model as .keras, or make the layer with "
            "vocabulary=[...], so that the config has it."
        )


def _files_in(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
