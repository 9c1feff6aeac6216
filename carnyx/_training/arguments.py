"""Numbers and names that `fit`, `evaluate` and `predict` are given, checked at once."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from carnyx._numbers import REFUSED, as_number, integer
from carnyx.errors import ArgumentError


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
