"""HDF5 files that are not trusted, as a flat table of groups and arrays.

The tree is walked once, over hard links only; names that a file mentions are then
looked up in the table and never handed to HDF5 as paths.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import ml_dtypes
import numpy as np

from carnyx.errors import CarnyxError, FileError
from carnyx.saving.description import Group, Stored
from carnyx.saving.files import budget, damaged, readable, refused

MAX_OBJECTS = 200_000
TRAINED = "trained_weights"  # of an optimizer; ours, other readers do not mind
_PLAIN = "Only arrays inside the file itself are read; copy them into it (h5repack)."
_SPECIAL = {
    name: np.dtype(getattr(ml_dtypes, name))
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4")
}
_HEAP = b"GCOL\1\0\0\0"  # how a heap of strings begins
_ATTRIBUTE_BYTES = 60_000  # HDF5 keeps an attribute's header below 64 KiB


@dataclass
class Tree:
    """The content of a file: arrays and groups by path, `""` being the root."""

    source: str
    arrays: dict[str, Stored] = field(default_factory=dict)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def inside(self, place: str) -> Tree:
        """The part below a group."""
        if place not in self.attributes:
            raise damaged(self.source, place, "this group is missing")
        cut = len(place) + 1
        return Tree(
            self.source,
            {k[cut:]: v for k, v in self.arrays.items() if k.startswith(place + "/")},
            {"": self.attributes[place]}
            | {
                k[cut:]: v
                for k, v in self.attributes.items()
                if k.startswith(place + "/")
            },
        )

    def numbers(self, place: str, attribute: str) -> list[int] | None:
        """A list of numbers that `put_names` kept as text; None where there is none."""
        found = self.names(place, attribute)
        if not found or not all(n.lstrip("-").isdecimal() for n in found):
            return None
        return [int(n) for n in found if len(n) < 10]

    def names(self, place: str, attribute: str) -> list[str]:
        """A list of names kept in an attribute, or in several when it is long."""
        attributes = self.attributes[place]
        if attribute in attributes:
            return [_text(name) for name in attributes[attribute]]
        found: list[str] = []
        number = 0
        while f"{attribute}{number}" in attributes:
            found += [_text(name) for name in attributes[f"{attribute}{number}"]]
            number += 1
        return found


@contextlib.contextmanager
def opened(data: bytes | str, source: str, size: int) -> Iterator[Tree]:
    """The tree of an HDF5 file; its arrays can be read within the block.

    Args:
        data: the content, or the path of a file.
        source: the file's name, for messages.
        size: its length in bytes, which bounds what it may unfold to.

    Raises:
        UnsafeModelError: for links, external or virtual data, objects reached twice,
            and shapes larger than the file could hold.
        FileError: where it cannot be read.
    """
    import h5py

    _check_heaps(data, source)
    try:
        file = h5py.File(io.BytesIO(data) if isinstance(data, bytes) else data, "r")
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise damaged(source, "the HDF5 structure", error) from None
    with file:
        tree = Tree(source)
        try:
            _walk(file, tree, size)
        except CarnyxError:
            raise
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise damaged(source, "the HDF5 structure", error) from None
        yield tree


def _check_heaps(data: bytes | str, source: str) -> None:
    """Look over the heaps of strings, since HDF5 never returns from a broken one."""
    if isinstance(data, bytes):
        _check_each_heap(data, source)
        return
    with open(data, "rb") as stream:
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _check_each_heap(content, source)


def _check_each_heap(content: Any, source: str) -> None:
    """A heap is a header with its size, then objects: number, size, padded content."""
    start = content.find(_HEAP)
    while start >= 0:
        end = start + int.from_bytes(content[start + 8 : start + 16], "little")
        place = start + 16
        while place + 16 <= min(end, len(content)):
            length = int.from_bytes(content[place + 8 : place + 16], "little")
            if content[place : place + 2] != b"\0\0":  # not the free space at the end
                length = 16 + (length + 7 & ~7)
            if length == 0 or place + length > end:
                raise damaged(source, "the HDF5 structure", "a broken heap of strings")
            place += length
        start = content.find(_HEAP, start + 1)


def _walk(file: Any, tree: Tree, size: int) -> None:
    from h5py import Dataset, h5o  # type: ignore
    from h5py import Group as Folder

    seen, total = {h5o.get_info(file.id).addr}, 0
    waiting = [("", file)]
    while waiting:
        place, group = waiting.pop()
        tree.attributes[place] = _attributes(group, tree.source, place, size)
        for name in group:
            path = f"{place}/{name}" if place else name
            kind = type(group.get(name, getlink=True)).__name__
            if kind != "HardLink":
                what = f"is a {kind}, which leads elsewhere"
                raise refused(tree.source, repr(path), what, _PLAIN)
            item = group[name]
            address = h5o.get_info(item.id).addr
            if address in seen or len(seen) > MAX_OBJECTS:
                what = "is reached twice, or one of far too many objects"
                raise refused(tree.source, repr(path), what, _PLAIN)
            seen.add(address)
            if isinstance(item, Folder):
                waiting.append((path, item))
            elif isinstance(item, Dataset):
                stored = _stored(item, tree.source, path)
                # HDF5 unfolds a whole chunk to read any part of it
                sizes = (stored.shape, item.chunks or ())
                most = max(int(np.prod(s, dtype=object)) for s in sizes)
                total += most * stored.dtype.itemsize
                if total > budget(size):
                    what = (
                        f"has shape {stored.shape}, chunks {item.chunks}: the "
                        f"arrays so far would take {readable(total)}, in a file of "
                        f"{readable(size)}"
                    )
                    remedy = "If you trust it, repack it without compression."
                    raise refused(tree.source, repr(path), what, remedy)
                tree.arrays[path] = stored


def _stored(dataset: Any, source: str, path: str) -> Stored:
    if dataset.is_virtual or dataset.external:
        raise refused(source, repr(path), "keeps its values in other files", _PLAIN)
    kind = _text(dataset.attrs.get("dtype", ""))
    dtype = dataset.dtype
    if dtype.kind == "V" and dtype.names is None and kind in _SPECIAL:
        dtype = _SPECIAL[kind]
    elif dtype.kind not in "biufc":
        what = f"has the type {dataset.dtype}, which is no number"
        raise refused(source, repr(path), what, "Only arrays of numbers are read.")
    checksum = dataset.attrs.get("crc32")

    def read() -> np.ndarray:
        try:
            array = np.empty(dataset.shape, dataset.dtype)
            if array.size:
                dataset.read_direct(array)
        except (OSError, RuntimeError, ValueError, MemoryError) as error:
            raise damaged(source, path, error) from None
        if checksum is not None and _crc(array) != int(checksum):
            raise damaged(source, path, "its values have changed (checksum)")
        return array.view(dtype)

    return Stored(path, tuple(dataset.shape), dtype, read)


def _attributes(group: Any, source: str, place: str, size: int) -> dict[str, Any]:
    found = {}
    for name in group.attrs:
        held = group.attrs.get_id(name)
        if int(np.prod(held.shape, dtype=object)) * held.dtype.itemsize > budget(size):
            where = f"attribute {name!r} of {place or 'the root'!r}"
            raise refused(source, where, "is larger than the file", _PLAIN)
        found[name] = group.attrs[name]
    return found


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def text(tree: Tree, attribute: str) -> str | None:
    """A string attribute of the root."""
    value = tree.attributes[""].get(attribute)
    return None if value is None else _text(value)


def is_hdf5(file: Any) -> bool:
    """True for a path whose file begins as HDF5 files do."""
    with open(file, "rb") as stream:
        return stream.read(8) == b"\x89HDF\r\n\x1a\n"


# ---- Writing -----------------------------------------------------------------


def write(stream: IO[bytes], fill: Any) -> None:
    """Write the file that `fill(root)` makes into a stream.

    HDF5 makes it in memory: it does not survive a disk that fails under it.
    """
    import h5py

    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        fill(file)
    stream.write(image.getvalue())


def put_array(group: Any, name: str, value: object) -> None:
    """Add an array, and a checksum that other readers do not mind."""
    array = np.ascontiguousarray(np.asarray(value)).reshape(np.shape(value))
    special = array.dtype.name in _SPECIAL
    raw = array.view(f"V{array.dtype.itemsize}") if special else array
    if raw.dtype.kind not in "biufcV":
        raise FileError(f"{name} has dtype {array.dtype}, which no weight can have.")
    dataset = group.create_dataset(name, data=raw)
    if special:
        dataset.attrs["dtype"] = array.dtype.name
    dataset.attrs["crc32"] = np.uint32(_crc(raw))


def _crc(array: np.ndarray) -> int:
    """Of the values, and of how they are to be understood."""
    form = zlib.crc32(f"{array.dtype.str}{array.shape}".encode())
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8), form)


def put_names(group: Any, attribute: str, names: list[str]) -> None:
    """Keep a list of names in an attribute, in several when it is long."""
    raw = np.array([n.encode() for n in names]) if names else np.zeros(0)
    parts = -(-raw.nbytes // _ATTRIBUTE_BYTES) or 1
    if parts == 1:
        group.attrs[attribute] = raw
        return
    for index, part in enumerate(np.array_split(raw, parts)):
        group.attrs[f"{attribute}{index}"] = part


def put_groups(file: Any, groups: dict[str, Group], prefix: str = "") -> None:
    """Write groups by path: `<place>/vars/<key>`, as Keras 3 lays them out."""
    for place, group in groups.items():
        path = "/".join(p for p in (prefix, place, "vars") if p)
        target = file.create_group(path)
        if group.name is not None:
            target.attrs["name"] = group.name
        if group.trained:
            put_names(target, TRAINED, [str(place) for place in group.trained])
        for key, value in group.arrays.items():
            put_array(target, key, value)
