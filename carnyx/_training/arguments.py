"""What `fit`, `evaluate` and `predict` were asked, checked at once."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carnyx._numbers import REFUSED, as_number, integer, integer_or_none
from carnyx.callbacks import BackupAndRestore
from carnyx.errors import ArgumentError


def counts(method: str, **given: int | None) -> list[int | None]:
    """Numbers from 1 on, or None, that a method was given by these names."""
    return [integer_or_none(n, f"{method}: {name}", 1) for name, n in given.items()]


@dataclass
class FitOptions:
    """How `fit` is to run; its docstring says what they are.

    Raises:
        ArgumentError, DTypeError: for what cannot be meant.
    """

    callbacks: object
    verbose: Any
    epochs: int
    initial_epoch: int
    batch_size: int | None
    steps_per_epoch: int | None
    validation_split: float
    validation_steps: int | None
    validation_batch_size: int | None
    validation_freq: int | Collection[int]
    resume: Any

    def __post_init__(self) -> None:
        for name in ("epochs", "initial_epoch"):
            setattr(self, name, integer(getattr(self, name), f"fit: {name}", 0))
        batches = "batch_size", "validation_batch_size"
        for name in ("steps_per_epoch", "validation_steps", *batches):
            value = getattr(self, name)
            setattr(self, name, integer_or_none(value, f"fit: {name}", 1))
        self.validation_split = share("fit: validation_split", self.validation_split)
        self.validation_freq = frequency("fit: validation_freq", self.validation_freq)

    def validates(self, epoch: int) -> bool:
        """Whether there is validation after this epoch."""
        if isinstance(self.validation_freq, int):
            return (epoch + 1) % self.validation_freq == 0
        return (epoch + 1) in self.validation_freq

    def frequency(self) -> Any:
        """`validation_freq` as processes compare it."""
        freq = self.validation_freq
        return freq if isinstance(freq, int) else [int(e) for e in sorted(freq)]

    def backups(
        self, callbacks: Sequence[Any], model_name: str
    ) -> BackupAndRestore | None:
        """How backups are asked for, if they are: by a callback or by `resume`."""
        folder = backup_folder(self.resume, model_name)
        for callback in callbacks:
            if isinstance(callback, BackupAndRestore):
                return callback
        if folder is None:
            return None
        return BackupAndRestore(folder, delete_checkpoint=False)  # type: ignore[call-arg]


def share(what: str, value: Any) -> float:
    """A number from 0 up to, but not, 1; None is 0."""
    if value is None:
        return 0.0
    number = as_number(value)
    if number is REFUSED or not 0 <= number < 1:
        raise ArgumentError(
            f"{what} got {value!r}; expected a share of the samples, 0 or more and "
            "below 1."
        )
    return number


def frequency(what: str, value: Any) -> Any:
    """Every how many epochs, or a collection of the epochs themselves, from 1 on."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [integer(epoch, what, 1) for epoch in value]
    return integer(value, what, 1)


def backup_folder(resume: object, model_name: str) -> str | None:
    """The folder for `fit(resume=…)`: True takes one named after script and model."""
    if resume is None or resume is False:
        return None
    if isinstance(resume, str | os.PathLike) and os.fspath(resume):
        return str(os.fspath(resume))
    if resume is not True:
        raise ArgumentError(
            f"fit: resume got {resume!r}; expected a folder for backups, or True for "
            "one that is named after the script and the model."
        )
    script = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] else ""
    words = [re.sub(r"[^\w.-]+", "-", w).strip("-.") for w in (script, model_name)]
    return str(Path("backups", "-".join(w for w in words if w) or "model"))
