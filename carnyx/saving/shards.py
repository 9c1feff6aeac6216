"""Backups of a job of several processes: each writes the parts that it holds.

    backups/step-000000001240/arrays-0000.safetensors     of process 0
    backups/step-000000001240/arrays-0001.safetensors     of process 1
    backups/step-000000001240/manifest.json

The first process writes the manifest and renames the folder into place once all have
written their file, so a folder counts only when it is whole. It can be read by any
number of processes, each of which reads the parts that it needs.
"""

from __future__ import annotations

import json
import math
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from carnyx._core.global_arrays import is_shared
from carnyx.errors import FileError
from carnyx.saving.files import PathLike, sync_file, sync_folder, write_record

FORMAT = 2
_UNFINISHED = "tmp-job-"


class Share(NamedTuple):
    """A process's part in a backup.

    Attributes:
        index: which process, from 0.
        job: a word that is the job's own.
        exchange: gives every process what each has given.
    """

    index: int
    job: str
    exchange: Callable[[Any], list[Any]]


def write_shards(
    root: PathLike, step: int, arrays: dict[str, Any], content: Any, share: Share
) -> Path | None:
    """Write this process's part; the first also makes it count, and returns the folder.

    Args:
        arrays: by name; all processes have the same names.

    Raises:
        FileError: in the first process, when one could not write.
    """
    target = Path(root) / f"step-{step:012d}"
    unfinished = target.with_name(f"{target.name}.{_UNFINISHED}{share.job}")
    said = {"feed": content.get("feed"), "error": None, "crc32": 0}
    try:
        unfinished.mkdir(parents=True, exist_ok=True)
        pieces = list(_held(arrays, share.index == 0))
        said["crc32"] = _write_pieces(unfinished / _file(share.index), pieces)
    except Exception as error:  # safetensors has errors of its own for a full disk
        said["error"] = f"{type(error).__name__}: {error}"
    everyone = share.exchange(said)
    if share.index:
        return None
    try:
        _check_written(unfinished, everyone)
        body = {
            "format": FORMAT,
            "step": step,
            "arrays": {name: _facts(value) for name, value in arrays.items()},
            "shards": [s["crc32"] for s in everyone],
            "content": content | {"feeds": [s["feed"] for s in everyone]},
        }
        write_record(unfinished / "manifest.json", body)
        sync_folder(unfinished)
        if target.exists():
            shutil.rmtree(target)
        unfinished.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise FileError(f"Backup of step {step} in {root} failed: {error}") from error
    return target


def _file(index: int) -> str:
    return f"arrays-{index:04d}.safetensors"


def _held(
    arrays: dict[str, Any], first: bool
) -> Iterator[tuple[str, list[int], np.ndarray]]:
    """What of the arrays is this process's to write: name, where it begins, values.

    Of what several devices have, one writes; of what all processes have, the first.
    """
    for name, value in arrays.items():
        if is_shared(value):
            for shard in value.addressable_shards:
                if shard.replica_id == 0:
                    start = [s.start or 0 for s in shard.index]
                    yield name, start, np.asarray(shard.data)
        elif first:
            yield name, [0] * np.ndim(value), np.asarray(value)


def _write_pieces(path: Path, pieces: list[tuple[str, list[int], np.ndarray]]) -> int:
    """Write them; returns the checksum of their description."""
    from safetensors.numpy import save_file

    described = [
        {"name": name, "start": start, "shape": piece.shape, "crc32": checksum(piece)}
        for name, start, piece in pieces
    ]
    text = json.dumps(described)
    tensors = {str(i): storable(piece) for i, (*_, piece) in enumerate(pieces)}
    save_file(tensors, path, metadata={"pieces": text})
    sync_file(path)
    return zlib.crc32(text.encode())


def _check_written(folder: Path, everyone: list[dict[str, Any]]) -> None:
    for index, said in enumerate(everyone):
        if said["error"]:
            raise OSError(f"process {index}: {said['error']}")
        if not (folder / _file(index)).exists():
            raise OSError(
                f"process {index} wrote its part, but process 0 does not see it. The "
                "folder for backups has to be one that all hosts share."
            )


def _facts(value: Any) -> dict[str, Any]:
    return {"shape": list(np.shape(value)), "dtype": jnp.dtype(value.dtype).name}


def clean_shards(root: Path) -> int:
    """Remove what an earlier job left unfinished; returns how many folders."""
    left = [p for p in root.iterdir() if f".{_UNFINISHED}" in p.name]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return len(left)


# ---- reading


class ShardedArrays(Mapping[str, np.ndarray]):
    """Arrays by name, put together from the files of several processes when read.

    Raises:
        FileError: names the file that is damaged or missing.
    """

    def __init__(self, folder: Path, described: Any, checksums: list[int]) -> None:
        from safetensors import safe_open

        self._facts = described
        self._pieces: dict[str, list[tuple[Path, Any, str, Any]]] = {}
        for index, expected in enumerate(checksums):
            path = folder / _file(index)
            try:
                file = safe_open(path, framework="numpy")
                text = (file.metadata() or {})["pieces"]
                if zlib.crc32(text.encode()) != expected:
                    raise ValueError("the checksum of its description is another")
                for key, piece in enumerate(json.loads(text)):
                    entry = path, file, str(key), piece
                    self._pieces.setdefault(piece["name"], []).append(entry)
            except Exception as error:
                raise FileError(f"{path} is damaged: {error}.") from None
        for name in described:
            self._check_complete(folder, name)

    def _check_complete(self, folder: Path, name: str) -> None:
        sizes = (math.prod(p["shape"]) for *_, p in self._pieces.get(name, []))
        if sum(sizes) != math.prod(self._facts[name]["shape"]):
            raise FileError(f"{folder} is damaged: parts of {name!r} are missing.")

    def facts(self, name: str) -> jax.ShapeDtypeStruct:
        """Shape and dtype of an array."""
        facts = self._facts[name]
        return jax.ShapeDtypeStruct(tuple(facts["shape"]), jnp.dtype(facts["dtype"]))

    def check(self) -> None:
        """Read everything once, and compare the checksums."""
        for name, pieces in self._pieces.items():
            for path, file, key, piece in pieces:
                try:
                    crc32 = checksum(file.get_tensor(key))
                except Exception as error:
                    raise FileError(f"{path} is damaged: {error}.") from None
                if crc32 != piece["crc32"]:
                    raise FileError(
                        f"{path} is damaged: the checksum of {name!r} is another."
                    )

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        """The part of an array at an index; reads no more than it takes."""
        facts = self.facts(name)
        wanted = [s.indices(n)[:2] for s, n in zip(index, facts.shape, strict=True)]
        out = np.empty([b - a for a, b in wanted], np.dtype(facts.dtype))
        for _, file, key, piece in self._pieces[name]:
            begins = piece["start"]
            ends = [a + n for a, n in zip(begins, piece["shape"], strict=True)]
            both = [
                (max(a, c), min(b, d))
                for (a, b), c, d in zip(wanted, begins, ends, strict=True)
            ]
            if any(a >= b for a, b in both):
                continue
            source = tuple(slice(a - c, b - c) for (a, b), c in zip(both, begins))
            target = tuple(slice(a - c, b - c) for (a, b), (c, _) in zip(both, wanted))
            part = file.get_slice(key)[source] if source else file.get_tensor(key)
            out[target] = np.asarray(part).view(out.dtype)
        return out

    def __getitem__(self, name: str) -> np.ndarray:
        return self.read(name, (slice(None),) * len(self._facts[name]["shape"]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)


# ---- arrays in files


def storable(array: np.ndarray) -> np.ndarray:
    """Dtypes that NumPy does not know (bfloat16, …) as integers of their size."""
    array = np.require(array, requirements="C")
    if array.dtype.kind in "biufc" and array.dtype.isbuiltin == 1:
        return array
    return array.view(f"u{array.dtype.itemsize}")


def checksum(array: np.ndarray) -> int:
    """Of the bytes of an array."""
    return zlib.crc32(np.require(array, requirements="C").reshape(-1).view("u1"))
