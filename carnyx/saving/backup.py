"""Backups of a running job: a folder a step, whole or not there.

    backups/step-000000001240/arrays.safetensors
    backups/step-000000001240/manifest.json

A folder is written under another name, synced and renamed into place. The manifest has
the shape, dtype and checksum of every array and a checksum of itself; the newest backup
that is whole is the one that counts.
"""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from carnyx.errors import FileError
from carnyx.saving.files import (
    PathLike,
    read_record,
    sync_file,
    sync_folder,
    write_record,
)
from carnyx.saving.shards import FORMAT as FORMAT_OF_SHARDS
from carnyx.saving.shards import ShardedArrays, checksum, clean_shards, storable

ARRAYS, MANIFEST = "arrays.safetensors", "manifest.json"
_FORMAT = 1
_WHOLE = re.compile(r"step-(\d{12})$")
_UNFINISHED = re.compile(r"step-\d{12}\.tmp-(\d+)$")


class Backup(NamedTuple):
    """What one folder holds."""

    folder: Path
    step: int
    arrays: Mapping[str, np.ndarray]
    content: dict[str, Any]


def write_backup(
    root: PathLike,
    step: int,
    arrays: dict[str, np.ndarray],
    content: dict[str, Any],
    keep: int = 2,
) -> Path:
    """Write a backup, then remove all but the newest `keep`.

    Raises:
        FileError: when the disk refuses; what was there before is whole.
    """
    from safetensors.numpy import save_file

    root = Path(root)
    target = root / f"step-{step:012d}"
    unfinished = root / f"{target.name}.tmp-{os.getpid()}"
    try:
        unfinished.mkdir(parents=True, exist_ok=True)
        save_file({k: storable(v) for k, v in arrays.items()}, unfinished / ARRAYS)
        body = {
            "format": _FORMAT,
            "step": step,
            "arrays": {name: _described(v) for name, v in arrays.items()},
            "content": content,
        }
        sync_file(unfinished / ARRAYS)
        write_record(unfinished / MANIFEST, body)
        sync_folder(unfinished)
        if target.exists():  # a run that was sent back to an earlier backup
            shutil.rmtree(target)
        os.replace(unfinished, target)
        sync_folder(root)
    except Exception as error:  # safetensors has errors of its own for a full disk
        shutil.rmtree(unfinished, ignore_errors=True)
        if isinstance(error, OSError) or type(error).__name__ == "SafetensorError":
            raise FileError(_no_room(root, step, arrays, error)) from error
        raise
    prune(root, keep)
    return target


def prune(root: PathLike, keep: int) -> None:
    """Remove all but the newest."""
    for old in list_backups(root)[keep:]:
        shutil.rmtree(old, ignore_errors=True)


def _described(array: np.ndarray) -> dict[str, Any]:
    return {
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "crc32": checksum(array),
    }


def _no_room(root: Path, step: int, arrays: dict[str, Any], error: object) -> str:
    need = sum(a.nbytes for a in arrays.values()) / 1e6
    where = root if root.exists() else root.parent
    free = shutil.disk_usage(where).free / 1e6 if where.exists() else 0.0
    good = list_backups(root)
    last = f"The last good one is {good[0].name}." if good else "There is none before."
    return (
        f"Backup of step {step} in {root} failed: {error}. It needs {need:.1f} MB, "
        f"{free:.1f} MB are free. {last}"
    )


def list_backups(root: PathLike) -> list[Path]:
    """The folders of finished backups, newest first."""
    root = Path(root)
    if not root.is_dir():
        return []
    found = [p for p in root.iterdir() if _WHOLE.match(p.name) and not p.is_symlink()]
    return sorted(found, key=lambda p: p.name, reverse=True)


def clean(root: PathLike) -> int:
    """Remove what processes that no longer run left unfinished; returns how many."""
    root, removed = Path(root), 0
    for path in root.iterdir() if root.is_dir() else ():
        match = _UNFINISHED.match(path.name)
        if match and not _is_running(int(match.group(1))):
            shutil.rmtree(path, ignore_errors=True)
            removed += 1
    return removed + (clean_shards(root) if root.is_dir() else 0)


def _is_running(pid: int) -> bool:
    if pid == os.getpid():
        return False  # this process, in an earlier call
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def newest_backup(root: PathLike) -> Backup | None:
    """The newest whole backup, or None; damaged ones are passed over with a warning."""
    for folder in list_backups(root):
        try:
            return read_backup(folder)
        except FileError as error:
            warnings.warn(f"{error} An older backup is used.", stacklevel=2)
    return None


def read_backup(folder: PathLike, check: bool = True) -> Backup:
    """Read and check one backup.

    Args:
        check: False leaves the arrays of several processes unread, to be read in parts.

    Raises:
        FileError: names the file and what in it is damaged.
    """
    folder = Path(folder)
    body = read_record(folder / MANIFEST)
    if body["format"] == _FORMAT:
        arrays: Mapping = _read_arrays(folder / ARRAYS, body["arrays"])
    elif body["format"] == FORMAT_OF_SHARDS:
        arrays = ShardedArrays(folder, body["arrays"], body["shards"])
        if check:
            arrays.check()
    else:
        raise FileError(
            f"{folder / MANIFEST} has format {body['format']}, which this version does "
            "not read."
        )
    return Backup(folder, body["step"], arrays, body["content"])


def _read_arrays(path: Path, described: dict[str, Any]) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        stored = load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise FileError(f"{path} is damaged: {error}.") from None
    if set(stored) != set(described):
        odd = sorted(set(stored) ^ set(described))
        raise FileError(f"{path} is damaged: array {odd[0]!r} is there or missing.")
    arrays = {}
    for name, facts in described.items():
        dtype = _dtype(facts["dtype"])
        array = stored[name]
        if array.dtype.itemsize == dtype.itemsize:
            array = array.view(dtype)
        if list(array.shape) != facts["shape"] or array.dtype != dtype:
            raise FileError(f"{path} is damaged: {name!r} has another shape or dtype.")
        if checksum(array) != facts["crc32"]:
            raise FileError(f"{path} is damaged: the checksum of {name!r} is another.")
        arrays[name] = array
    return arrays


def _dtype(name: str) -> np.dtype:
    return np.dtype(jnp.dtype(name))
