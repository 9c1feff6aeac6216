"""`ModelCheckpoint`: the model in a file, every epoch or every so many steps."""

from __future__ import annotations

import os
import warnings
from typing import Any

from carnyx.callbacks.progress import write
from carnyx.callbacks.saving import Saving
from carnyx.configurable import field, positive
from carnyx.distribution.job import is_first
from carnyx.errors import ArgumentError, FileError


class ModelCheckpoint(Saving):
    """Save the model, or its weights, as training goes.

    Args:
        filepath: ends in `.keras` or `.h5`; in `.weights.h5` for weights alone. May
            have fields: `"{epoch:02d}-{val_loss:.2f}.keras"`, `{batch}`.
        save_best_only: only when `monitor` has improved.
        save_freq: `"epoch"`, or every how many batches.
        initial_value_threshold: a first best value, to be improved upon.
        period: as in Keras 2: every how many epochs, where `save_freq` is `"epoch"`.
    """

    filepath: str = field(convert=os.fspath)
    save_weights_only: bool = field(False)
    period: int = field(1, check=positive, kw_only=True)

    field_order = (
        "filepath", "monitor", "verbose", "save_best_only", "save_weights_only",
        "mode", "save_freq", "initial_value_threshold", "period",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        endings = (".weights.h5",) if self.save_weights_only else (".keras", ".h5")
        if not self.filepath.endswith(endings):
            what = "weights alone" if self.save_weights_only else "a whole model"
            raise ArgumentError(
                f"ModelCheckpoint got filepath={self.filepath!r}; a file of {what} "
                f"ends in {' or '.join(endings)}."
            )

    def save(self, logs: dict[str, Any], epoch: int, batch: int | None) -> None:
        path = self._path(logs, epoch, batch)
        if not self._is_wanted(logs, epoch, path):
            return
        if os.path.isdir(path):
            raise FileError(
                f"ModelCheckpoint cannot save to {path!r}: it is a folder. Give the "
                "path of a file."
            )
        if is_first():
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)

    def _path(self, logs: Any, epoch: int, batch: int | None) -> str:
        fields = {"epoch": epoch + 1}
        if batch is not None:
            fields["batch"] = batch + 1
        try:
            return self.filepath.format(**(fields | dict(logs)))
        except KeyError as error:
            raise ArgumentError(
                f"ModelCheckpoint cannot fill {self.filepath!r}: there is no {error}. "
                f"There are {', '.join([*fields, *logs])}."
            ) from None

    def _is_wanted(self, logs: Any, epoch: int, path: str) -> bool:
        if not self.save_best_only:
            self._say(epoch, f"saving model to {path}")
            return True
        current = self.monitored(logs)
        if current is None:
            return True
        if getattr(current, "shape", ()):
            warnings.warn(
                f"{self.monitor!r} has shape {current.shape}; only a single number "
                "can be the best. The model is saved.",
                stacklevel=2,
            )
            return True
        before = "None" if self.best is None else f"{self.best:.5f}"
        if not self.improved(current, self.best):
            self._say(epoch, f"{self.monitor} did not improve from {before}")
            return False
        change = f"improved from {before} to {current:.5f}"
        self._say(epoch, f"{self.monitor} {change}, saving model to {path}")
        self.best = current
        return True

    def _say(self, epoch: int, message: str) -> None:
        if self.verbose:
            write(f"\nEpoch {epoch + 1}: {message}\n")
