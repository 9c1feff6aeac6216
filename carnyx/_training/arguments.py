"""Numbers and names that `fit`, `evaluate` and `predict` are given, checked at once."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from carnyx.errors import ArgumentError


def whole(what: str, value: Any, least: int = 1) -> Any:
    """An integer (NumPy's are integers, too) of at least `least`; None stays None.

    >>> import numpy as np
    >>> whole("fit: epochs", np.int64(3))
    3
    """
    if value is None:
        return None
    good = hasattr(value, "__index__") and not isinstance(value, bool)
    if not good or getattr(value, "ndim", 0) or value.__index__() < least:
        raise ArgumentError(f"{what} got {value!r}; expected {_whole_from(least)}.")
    return value.__index__()


def needed(what: str, value: Any, least: int = 1) -> int:
    """`whole`, of an argument that has to be a number."""
    if value is None:
        raise ArgumentError(f"{what} got None; expected {_whole_from(least)}.")
    return whole(what, value, least)


def _whole_from(least: int) -> str:
    return f"a whole number of at least {least}"


def share(what: str, value: Any) -> float:
    """A number from 0 up to, but not, 1; None is 0."""
    if value is None:
        return 0.0
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if isinstance(value, str) or not 0 <= number < 1:
        raise ArgumentError(
            f"{what} got {value!r}; expected a share of the samples, 0 or more and "
            "below 1."
        )
    return number


def frequency(what: str, value: Any) -> Any:
    """Every how many epochs, or a collection of the epochs themselves, from 1 on."""
    if hasattr(value, "__iter__") and not isinstance(value, str):
        return [needed(what, epoch) for epoch in value]
    return needed(what, value)


def backup_folder(resume: Any, model_name: str) -> str | None:
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
