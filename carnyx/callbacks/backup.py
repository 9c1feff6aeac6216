"""`BackupAndRestore`: that `fit` keeps backups, and goes on from the newest."""

from __future__ import annotations

import os
from typing import Any

from carnyx.callbacks.base import Callback
from carnyx.callbacks.saving import saving_times
from carnyx.configurable import field
from carnyx.errors import ArgumentError


class BackupAndRestore(Callback):
    """Keep the whole state of training in a folder; go on from it, to the bit.

    Weights, optimizer, metrics in progress, random seeds, the position in the data and
    the states of all callbacks are kept, so that a job that was killed and is started
    again by the same script gives what it would have given undisturbed. `fit` itself
    saves and restores, after all callbacks have had their turn; on SIGTERM it saves
    and leaves with exit code 143.

    A run that has come to its end is not run again; with more epochs than it was asked
    for it goes on. So does one that `stop_training` ended early: with no more epochs it
    stays as it is, with more it goes on, as its callbacks, which remember, let it.

    Args:
        backup_dir: the folder; one job, one folder.
        save_freq: `"epoch"`, or every how many steps.
        double_checkpoint: as Keras: keep the backup before the newest, too.
        delete_checkpoint: remove the backups when training is done, and the folder, if
            nothing else is in it.
        keep: how many backups to keep; a damaged one is passed over.
    """

    backup_dir: Any = field()
    save_freq: Any = field("epoch", check=saving_times)
    double_checkpoint: bool = field(False)
    delete_checkpoint: bool = field(True)
    keep: int = field(2, kw_only=True)

    def __post_init__(self) -> None:
        given = self.backup_dir
        if not isinstance(given, str | os.PathLike) or not os.fspath(given):
            raise ArgumentError(
                f"BackupAndRestore got backup_dir={given!r}; expected the path of a "
                "folder. Is an environment variable not set?"
            )
        self.backup_dir = os.fspath(given)
        self.keep = max(int(self.keep), 2 if self.double_checkpoint else 1)
