"""Downloads into the cache folder, checked, and archives unpacked safely."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tarfile
import tempfile
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from carnyx import _settings
from carnyx.errors import ArgumentError, FileError

_BLOCK = 1 << 20
_DIGEST_LENGTHS = {32: "md5", 64: "sha256"}
_SUFFIXES = re.compile(r"(\.tar)?\.[^.]+$")

# A member of an archive: its name, and its content, None for a folder.
Member = tuple[str, IO[bytes] | None]


def get_file(
    fname: str | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str | Iterable[str] | None = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
) -> str:
    """The path of a file in the cache folder, downloaded from `origin` if need be.

    With a hash, a file that does not match is fetched again, and refused if it still
    does not match. With `extract`, the path is that of the folder of its content.

    Args:
        cache_dir: default `CARNYX_HOME`, else `KERAS_HOME`, else `~/.keras`.
        archive_format: `"tar"`, `"zip"`, several of them, or `"auto"` for both.
    """
    if not origin:
        raise ArgumentError("get_file got no origin; expected the URL of the file.")
    home = Path(cache_dir).expanduser() if cache_dir else _settings.home()
    name = _plain_name(fname or os.path.basename(urllib.parse.urlsplit(origin).path))
    file, folder = home / cache_subdir / name, home / cache_subdir / name
    if extract or untar:
        if fname and "." in fname:
            folder = folder.with_name(_SUFFIXES.sub("", name) + "_extracted")
        else:
            file = file.with_name(name + "_archive")
    expected = (file_hash or md5_hash or "").lower()
    algorithm = _hash_algorithm(hash_algorithm, expected) if file_hash else "md5"
    fresh = force_download or not _matches(file, expected, algorithm)
    if fresh:
        _download(origin, file, expected, algorithm)
    if not (extract or untar):
        return str(file)
    if fresh or not folder.is_dir():
        extract_archive(file, folder, "tar" if untar else archive_format)
    return str(folder)


def extract_archive(
    file: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    archive_format: str | Iterable[str] | None = "auto",
) -> None:
    """Unpack a tar or zip file into `folder`, which it replaces as a whole.

    Only regular files and folders inside `folder` are written; any other member (a
    link, a device, a path that leads out) refuses the whole archive.
    """
    folder = Path(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack-") as parent:
        fresh = Path(parent, "content")
        fresh.mkdir()
        for name, content in _members(Path(file), archive_format):
            _write_member(fresh, name, content, file)
        if folder.exists():
            folder.rename(Path(parent, "old"))
        fresh.rename(folder)


def _plain_name(name: str) -> str:
    if not name or name in (".", "..") or re.search(r"[/\\\0]", name):
        raise ArgumentError(
            f"get_file got the file name {name!r}; expected a name without folders. "
            "Use cache_dir and cache_subdir to choose the folder."
        )
    return name


def _hash_algorithm(algorithm: str, digest: str) -> str:
    if algorithm == "auto" and len(digest) in _DIGEST_LENGTHS:
        return _DIGEST_LENGTHS[len(digest)]
    if algorithm not in _DIGEST_LENGTHS.values():
        raise ArgumentError(
            f"get_file got the hash {digest!r} and hash_algorithm={algorithm!r}; "
            "expected 'md5' (32 digits) or 'sha256' (64 digits)."
        )
    return algorithm


def _matches(file: Path, expected: str, algorithm: str) -> bool:
    if not file.is_file():
        return False
    if not expected:
        return True
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest() == expected


def _download(origin: str, file: Path, expected: str, algorithm: str) -> None:
    """Fetch beside the target, check, then move into place."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if _settings.get("interactive_logging"):
        print(f"Downloading {origin} to {file}", flush=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".fetch-") as folder:
        part = Path(folder, "part")
        try:
            _fetch(origin, part)
        except (OSError, ValueError) as error:
            digest = f" ({algorithm} {expected})" if expected else ""
            raise FileError(
                f"{origin} could not be downloaded: {error}. Without a network, get "
                f"{os.path.basename(origin)}{digest} on another machine and put it at "
                f"{file}."
            ) from None
        if not _matches(part, expected, algorithm):
            raise FileError(
                f"{origin} does not have the expected {algorithm} {expected}: the "
                "download is incomplete or the file has changed. Nothing was kept."
            )
        os.replace(part, file)


def _fetch(origin: str, part: Path) -> None:
    with urllib.request.urlopen(origin, timeout=60) as reply, part.open("wb") as out:
        shutil.copyfileobj(reply, out, _BLOCK)
        size = reply.headers.get("Content-Length")
        if size is not None and out.tell() != int(size):
            raise OSError(f"got {out.tell()} of {size} bytes")


def _members(file: Path, archive_format: Any) -> Iterator[Member]:
    if archive_format == "auto":
        archive_format = ("tar", "zip")
    formats = [archive_format] if isinstance(archive_format, str) else archive_format
    for name in formats or ():
        if name not in _FORMATS:
            raise ArgumentError(
                f"archive_format got {name!r}; expected 'tar', 'zip' or 'auto'."
            )
        is_archive, members = _FORMATS[name]
        if is_archive(file):
            return members(file)
    raise FileError(f"{file} cannot be unpacked: it is no archive of the format asked.")


def _tar_members(file: Path) -> Iterator[Member]:
    with tarfile.open(file) as archive:
        for member in archive:
            if not (member.isreg() or member.isdir()):
                raise _refused(file, member.name, "a link or a device")
            yield member.name, archive.extractfile(member) if member.isreg() else None


def _zip_members(file: Path) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(file, member.filename, "a link or a device")
            yield member.filename, None if member.is_dir() else archive.open(member)


_FORMATS = {
    "tar": (tarfile.is_tarfile, _tar_members),
    "zip": (zipfile.is_zipfile, _zip_members),
}


def _write_member(root: Path, name: str, content: IO[bytes] | None, file: Any) -> None:
    """Links are never made, so a name without `..` cannot lead out of `root`."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or re.search(r"^/|^[A-Za-z]:|[\\\0]", name):
        raise _refused(file, name, "a path that leads out")
    target = root.joinpath(*parts)
    try:
        if content is None:
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with content, target.open("xb") as out:
            shutil.copyfileobj(content, out, _BLOCK)
    except (FileExistsError, NotADirectoryError):
        raise _refused(file, name, "a name that comes twice") from None


def _refused(file: Any, name: str, what: str) -> FileError:
    return FileError(
        f"{file} was not unpacked: its member {name!r} is {what}. Only plain files "
        "and folders are accepted; unpack it by hand if you trust where it came from."
    )
