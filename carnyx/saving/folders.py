"""Models as folders: what a `.keras` archive holds, as files of their own."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from carnyx._core.memory import ensure_room
from carnyx.errors import FileError
from carnyx.saving.files import PathLike, damaged, refused, sync_file, sync_folder
from carnyx.saving.zips import MAX_MEMBERS

_PLAIN = "Only plain files are read; copy them into the folder."


class Folder:
    """A folder whose files are plain data; reads as `Archive` does.

    Raises:
        UnsafeModelError: for links and devices, and for more files than a model has.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._files: dict[str, Path] = {}
        for folder, folders, names in os.walk(file):
            for name in (*folders, *names):
                self._add(Path(folder, name))

    def _add(self, path: Path) -> None:
        name, kind = path.relative_to(self.file).as_posix(), path.lstat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise refused(self.file, repr(name), "is a link or a device", _PLAIN)
        if stat.S_ISREG(kind):
            self._files[name] = path
        if len(self._files) > MAX_MEMBERS:
            what = f"has more than {MAX_MEMBERS} files"
            raise refused(self.file, "the folder", what, "No model has that many.")

    def names(self) -> list[str]:
        """The files' names."""
        return sorted(self._files)

    def read(self, name: str) -> bytes:
        """The content of one file."""
        if name not in self._files:
            raise damaged(self.file, name, "this file is missing")
        size = self._files[name].stat().st_size
        ensure_room(size, "uint8", f"{self.file}/{name}")
        return self._files[name].read_bytes()

    def close(self) -> None:
        """Nothing is open."""


class NewFolder:
    """A folder that is written beside its place and moved there when it is whole.

    Args:
        path: where it is to be: not there yet, empty, or a model that it replaces.
        member: a file by which a model's folder is known.
    """

    def __init__(self, path: PathLike, member: str) -> None:
        self.target = Path(os.path.realpath(path))
        taken = self.target.is_dir() and any(self.target.iterdir())
        is_file = self.target.exists() and not self.target.is_dir()
        if is_file or (taken and not (self.target / member).is_file()):
            raise FileError(
                f"{path} is there and holds no model, so it is not replaced. Give the "
                "name of a new folder."
            )
        self._made = self.target.with_name(f"{self.target.name}.tmp-{os.getpid()}")

    def __enter__(self) -> Path:
        shutil.rmtree(self._made, ignore_errors=True)
        self._made.mkdir(parents=True)
        return self._made

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self._made, ignore_errors=True)
            return
        for path in self._made.rglob("*"):
            if path.is_file():
                sync_file(path)
        old = self.target.with_name(f"{self.target.name}.old-{os.getpid()}")
        if self.target.exists():
            self.target.rename(old)
        self._made.rename(self.target)
        shutil.rmtree(old, ignore_errors=True)
        sync_folder(self.target.parent)
