"""`CSVLogger`: loss and metrics of every epoch as a table in a file."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from typing import IO, Any

from carnyx.callbacks.base import Callback
from carnyx.configurable import attribute, field
from carnyx.distribution.job import is_first


class CSVLogger(Callback):
    """Write a line of loss and metrics for every epoch; one process does.

    A name that comes later, as those of a validation every other epoch, gets a column
    then. A job that goes on from a backup keeps the lines up to there.

    Args:
        append: go on in a file that is there, without another header.
    """

    filename: str = field(convert=os.fspath)
    separator: str = field(",")
    append: bool = field(False)

    _columns: Sequence[str] = attribute(())
    _size = 0  # bytes of the file that are this run's, or to be kept before it
    _state = ("_columns", "_size")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._columns, self._size = (), 0
        if not is_first():
            return
        # Nothing is emptied before there is a line: a finished job may be run again.
        with self._open() as file:
            if self.append and _size(file):
                self._size, self._columns = _size(file), self._rows(file)[0]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not is_first():
            return
        logs = dict(logs or {})
        with self._open() as file:
            kept = min(self._size, _size(file))
            file.truncate(kept)  # what came after the backup goes
            new = _missing(logs, self._columns)
            if new or not kept:
                self._widen(file, new)
            cells = [_cell(logs.get(name, "NA")) for name in self._columns[1:]]
            self._writer(file).writerow([epoch, *cells])
            file.flush()
            self._size = _size(file)

    def _open(self) -> IO[str]:
        return open(self.filename, "a+", newline="")

    def _writer(self, file: IO[str]) -> Any:
        return csv.writer(file, delimiter=self.separator)

    def _rows(self, file: IO[str]) -> list[list[str]]:
        file.seek(0)
        return list(csv.reader(file, delimiter=self.separator))

    def _widen(self, file: IO[str], new: list[str]) -> None:
        """The table with new columns, which no line so far has a value for."""
        rows = self._rows(file)[1:]
        self._columns = [*(self._columns or ["epoch"]), *new]
        file.truncate(0)
        self._writer(file).writerow(self._columns)
        self._writer(file).writerows([*row, *["NA"] * len(new)] for row in rows)


def _size(file: IO[str]) -> int:
    return os.fstat(file.fileno()).st_size


def _missing(logs: dict[str, Any], columns: Sequence[str]) -> list[str]:
    """Names that have no column; with a first validation, those of all its results."""
    new = sorted(set(logs) - set(columns))
    first = not any(name.startswith("val_") for name in columns)
    if columns and first and any(name.startswith("val_") for name in new):
        plain = [n for n in (*columns[1:], *new) if not n.startswith("val_")]
        of_all = [f"val_{name}" for name in plain]
        new = [n for n in new if n not in of_all and n not in columns] + of_all
    return new


def _cell(value: Any) -> Any:
    if isinstance(value, Iterable) and not isinstance(value, str):
        if getattr(value, "ndim", 1):
            return f'"[{", ".join(map(str, value))}]"'
    return value
