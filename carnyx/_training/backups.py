"""Backups of a run of `fit`, from which it goes on exactly."""

from __future__ import annotations

import contextlib
import queue
import shutil
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from carnyx.callbacks import BackupAndRestore
from carnyx.distribution.job import Job
from carnyx.errors import FileError, ProcessError
from carnyx.saving import backup
from carnyx.saving.shards import Share, write_shards


class Backups:
    """Writes backups as `BackupAndRestore` asks, from a thread of its own.

    Of several processes each saves what it holds; they compare notes over their line,
    never by programs on their devices, which the training thread has for itself.

    Args:
        options: None where there are to be none.
        job: of the processes that train together.
    """

    def __init__(self, options: BackupAndRestore | None, job: Job | None) -> None:
        self.options, self._job = options, job
        self._since = 0
        self._queue: queue.Queue[Any] = queue.Queue(maxsize=1)
        self._writer: threading.Thread | None = None

    @property
    def on(self) -> bool:
        """Whether backups were asked for."""
        return self.options is not None

    @property
    def stay(self) -> bool:
        """Whether they outlive a run that is finished."""
        return self.options is not None and not self.options.delete_checkpoint

    def find(self) -> backup.Backup | None:
        """The newest whole backup to go on from."""
        if self.options is None:
            return None
        if self._job is None:
            backup.clean(self.options.backup_dir)
            return backup.newest_backup(self.options.backup_dir)
        return self._find_together(self._job, Path(self.options.backup_dir))

    def _find_together(self, job: Job, root: Path) -> backup.Backup | None:
        """What the first process finds is read by all."""
        found = None
        if job.index == 0:
            backup.clean(root)
            found = backup.newest_backup(root)
        name = job.agree(found and found.folder.name, "finding a backup")[0]
        if name is None or found is not None:
            return found
        if not (root / name).is_dir():
            raise FileError(
                f"{root / name}, in which process 0 has a backup, is not there for "
                f"process {job.index}. The folder has to be one that all hosts share."
            )
        return backup.read_backup(root / name, check=False)

    def due_after(self, steps: int) -> bool:
        """Whether it is time to save, now that so many steps more are done."""
        if self.options is None or self.options.save_freq == "epoch":
            return False
        self._since += steps
        if self._since < self.options.save_freq:
            return False
        return self._queue.empty() or self._job is not None  # all save the same steps

    def due_after_epoch(self) -> bool:
        """Whether backups are kept by the epoch."""
        return self.options is not None and self.options.save_freq == "epoch"

    def write(self, total: int, arrays: Any, content: Any, wait: bool) -> None:
        """Write a state after so many steps, in the background or before returning."""
        self._since = 0
        key = "" if self._job is None else self._job.next("backup")
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_all, daemon=True)
            self._writer.start()
        self._queue.put((key, total, arrays, content))
        if wait:
            self._queue.join()

    def _write_all(self) -> None:
        while True:
            job = self._queue.get()
            try:
                if job is None:
                    return
                self._write(*job)
            finally:
                self._queue.task_done()

    def _write(self, key: str, total: int, arrays: dict, content: Any) -> None:
        assert self.options is not None
        root, keep = self.options.backup_dir, self.options.keep
        try:
            if self._job is not None:
                job = self._job
                word = f"{job.word}-{key.split()[0]}"
                share = Share(
                    job.index, word, lambda v: job.exchange(key, v, "a backup")
                )
                if write_shards(root, total, arrays, content, share):
                    backup.prune(root, keep)
                return
            on_host = {name: np.asarray(value) for name, value in arrays.items()}
            backup.write_backup(root, total, on_host, content, keep)
        except ProcessError:  # the training thread hears of it, too
            return
        except FileError as error:  # training goes on; the user is told
            warnings.warn(f"{error} Training goes on.", stacklevel=2)

    def remove(self) -> None:
        """Where no backup is to outlive the run."""
        if self.options is None or self.stay:
            return
        self.close()
        if self._job is not None:
            self._job.agree(None, "removing the backups")  # all have read them
            if self._job.index:
                return
        for folder in backup.list_backups(self.options.backup_dir):
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # there is none, or more is in it
            Path(self.options.backup_dir).rmdir()

    def close(self) -> None:
        """Let the writer end what it is writing."""
        if self._writer is not None:
            self._queue.put(None)
            self._writer.join()
            self._writer = None
