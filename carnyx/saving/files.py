"""Files on disk: written whole or not at all, and refused with a reason."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from carnyx._core.memory import readable as readable
from carnyx.errors import ArgumentError, FileError, MissingFileError, UnsafeModelError

PathLike = str | os.PathLike[str]


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[IO[bytes]]:
    """A stream whose content becomes the file `path` when the block ends well.

    It is written beside the target, synced to the disk and moved into place, so that
    a crash or a full disk leaves the old file whole.
    """
    target = Path(os.path.realpath(path))  # through a link, not in its place
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=target.parent, prefix=f"{target.name}.", suffix=f".tmp-{os.getpid()}"
        )
    except OSError as error:
        raise FileError(f"{target} could not be written: {error.strerror}.") from None
    try:
        with open(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, _mode(target))
        os.replace(name, target)
    except OSError as error:
        raise FileError(
            f"{target} could not be written: {error.strerror or error}. A file that "
            "was there before is unchanged."
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    sync_folder(target.parent)


def _mode(target: Path) -> int:
    """The permissions of the file replaced, or those a new file gets."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def sync_folder(folder: Path) -> None:
    """The new name survives a power cut too, where folders can be synced."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_file(path: Path) -> None:
    """What was written to a file is on the disk."""
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def write_record(path: Path, body: object) -> None:
    """Plain data as JSON with a checksum of itself."""
    text = json.dumps(body)
    path.write_text(json.dumps({"crc32": zlib.crc32(text.encode()), "body": text}))
    sync_file(path)


def read_record(path: Path) -> Any:
    """What `write_record` wrote.

    Raises:
        FileError: when the checksum is another, or it is no such file.
    """
    try:
        record = json.loads(path.read_text())
        text = record["body"]
        if zlib.crc32(text.encode()) != record["crc32"]:
            raise ValueError("its checksum is another")
        return json.loads(text)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(f"{path} is damaged: {error}.") from None


def as_path(given: object, function: str) -> PathLike:
    """What was given, if it is the path of a file."""
    if not isinstance(given, str | os.PathLike) or isinstance(os.fspath(given), bytes):
        raise ArgumentError(
            f"{function} got {given!r}; expected a path: the name of a file as a "
            "string, or a pathlib.Path. For bytes in memory, use a file in a temporary "
            "folder (tempfile) and read or write its bytes."
        )
    return given


def existing(path: PathLike) -> Path:
    """The path of a file that is there and is a plain file."""
    file = Path(path)
    if not file.exists():
        raise MissingFileError(f"{file} is not there.")
    if not file.is_file():
        raise FileError(f"{file} is not a file.")
    return file


def damaged(file: object, member: str, what: object) -> FileError:
    """The error for a file that is cut off or has changed."""
    return FileError(
        f"{file} is damaged: {member}: {what}. Restore it from a copy, or save the "
        "model again."
    )


def refused(file: object, member: str, rule: str, remedy: str) -> UnsafeModelError:
    """The error for a file that asks for more than data.

    Args:
        member: the part of the file that asks.
        rule: what it does and must not do.
        remedy: how to go on.
    """
    error = UnsafeModelError(f"{file} was not loaded: {member} {rule}. {remedy}")
    error.file, error.member, error.rule = str(file), member, rule  # type: ignore[attr-defined]
    return error


def budget(size: int) -> int:
    """The bytes that a file of `size` bytes may unfold to."""
    return 2 * size + (64 << 20)
