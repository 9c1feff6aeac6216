"""Zip archives that are not trusted: every member checked before one is read."""

from __future__ import annotations

import re
import stat
import zipfile
from pathlib import Path

from carnyx.saving.files import budget, damaged, readable, refused

MAX_MEMBERS = 10_000
_LOCAL_HEADER = 30  # bytes before a member's name, in the archive
_PLAIN = "Only plain files with names inside the archive are read; repack it."


class Archive:
    """A zip file whose members are plain data.

    Raises:
        UnsafeModelError: for paths that lead out, links, names that come twice,
            overlapping or encrypted members, and content far larger than the file.
        FileError: where the archive is cut off or has changed.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise damaged(file, "the archive's directory", error) from None
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        members = self._zip.infolist()
        if len(members) > MAX_MEMBERS:
            what = f"has {len(members)} members, more than {MAX_MEMBERS}"
            raise refused(self.file, "the archive", what, "No model has that many.")
        names: set[str] = set()
        for member in members:
            problem = _problem(member)
            if member.filename in names:
                problem = "comes twice, so readers may differ"
            if problem:
                raise refused(
                    self.file, f"member {member.orig_filename!r}", problem, _PLAIN
                )
            names.add(member.filename)
        self._check_sizes(members)

    def _check_sizes(self, members: list[zipfile.ZipInfo]) -> None:
        size = self.file.stat().st_size
        total = sum(member.file_size for member in members)
        if total > budget(size):
            what = f"unfolds to {readable(total)}, from a file of {readable(size)}"
            remedy = "If you trust it, repack it without compression."
            raise refused(self.file, "the archive", what, remedy)
        end = 0
        for member in sorted(members, key=lambda m: m.header_offset):
            where = f"member {member.filename!r}"
            if member.header_offset < end:
                raise refused(self.file, where, "overlaps another member", _PLAIN)
            end = member.header_offset + _LOCAL_HEADER + member.compress_size
        if end > size:
            raise damaged(self.file, "the archive", "it ends too early")

    def names(self) -> list[str]:
        """The members' names."""
        return self._zip.namelist()

    def read(self, name: str) -> bytes:
        """The content of one member, its checksum compared."""
        if name not in self._zip.namelist():
            raise damaged(self.file, name, "this member is missing")
        try:
            return self._zip.read(name)
        except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
            raise damaged(self.file, name, error) from None
        except Exception as error:  # zlib.error, and what other compressions raise
            raise damaged(self.file, name, error) from None

    def close(self) -> None:
        """Close the file."""
        self._zip.close()


def _problem(member: zipfile.ZipInfo) -> str | None:
    """Why a member is refused, or None."""
    name, kind = member.orig_filename, stat.S_IFMT(member.external_attr >> 16)
    if re.search(r"^/|^[A-Za-z]:|\\|\0", name) or ".." in name.split("/") or not name:
        return "has a path that leads out of the archive"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & 0x1:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in an unusual way"
    return None
