"""What to say of data that no model takes: which argument, what it is, what to do.

Read only where something is wrong; looking at good data costs a glance at the first
element of what is nested.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from carnyx.errors import DataError
from carnyx.typing import DTypeLike

_PAD = "Pad rows to one length: keras.utils.pad_sequences(rows, padding='post')."


def refuse_plain(name: str, value: object) -> None:
    """Refuse bare numbers, texts and nothing where arrays are expected.

    Args:
        name: of the part: `x`, `y` or `sample_weight`.
        value: the part, nested as the user gave it.
    """
    if isinstance(value, Mapping):
        _refuse_classes(name, value)
        for key, part in value.items():
            refuse_plain(f"{name}[{key!r}]", part)
        return
    if not isinstance(value, list | tuple):
        return
    if not value and name == "x":
        raise DataError(f"{name} is an empty {type(value).__name__}; expected arrays.")
    first: Any = value
    while isinstance(first, list | tuple) and first:
        first = first[0]
    if isinstance(first, bool | int | float | complex | str | bytes):
        raise DataError(_of_plain(name, value, first))


def need_targets(given: object, x: Any, y: Any, trained_on: object) -> None:
    """Refuse validation data that is x alone, where there were targets to train on."""
    if isinstance(given, bool | int | float):
        raise DataError(
            f"validation_data got {given!r}; expected (x, y). For a share of the "
            f"training data: validation_split={given!r}."
        )
    alone = hasattr(x, "shape") and not hasattr(x, "column_names")
    if trained_on is not None and y is None and alone:
        raise DataError(
            f"validation_data got an array of shape {tuple(x.shape)}; expected (x, y) "
            "or (x, y, sample_weight)."
        )


def _refuse_classes(name: str, value: Mapping[Any, Any]) -> None:
    if not value and name == "x":
        raise DataError(f"{name} is an empty dict; expected arrays by name.")
    numbers = all(isinstance(v, int | float) for v in value.values())
    if name == "sample_weight" and value and numbers:
        raise DataError(
            f"sample_weight is {_short(value)}, a number for each key; expected an "
            f"array with one weight a sample. Weights of classes: class_weight="
            f"{_short(value)}."
        )


def _of_plain(name: str, value: Any, first: Any) -> str:
    kind = type(value).__name__
    if isinstance(first, str | bytes):
        return f"{name} is a {kind} of text ({_short(first)}); {encode(name)}"
    try:
        shape = np.shape(value)
    except ValueError:
        sizes = [len(v) if hasattr(v, "__len__") else "none" for v in value[:3]]
        return (
            f"{name} is a {kind} of rows of different lengths ({sizes} at its "
            f"beginning); expected an array. {_PAD}"
        )
    return (
        f"{name} is a {kind} of numbers, of shape {shape} as an array; lists stand for "
        f"several inputs or outputs. Make an array of it: numpy.array({name})."
    )


def encode(name: str) -> str:
    """How text and dates become numbers."""
    if name.startswith("sample_weight"):
        return "a weight is a number."
    if name.startswith("y"):
        return (
            "a loss takes numbers. Number the classes: "
            "classes, y = numpy.unique(y, return_inverse=True)."
        )
    return (
        "a model takes numbers. Encode text first (numpy.unique(..., "
        "return_inverse=True) numbers categories, keras.utils.to_categorical makes "
        "them one-hot), and dates as the time since one of them."
    )


def of_dtype(name: str, dtype: DTypeLike) -> str:
    """Of text, dates and objects."""
    return f"{name} has dtype {dtype}; {encode(name)}"


def of_objects(name: str, value: object, array: np.ndarray) -> str:
    """Of an array of objects that are no numbers, or a frame with such columns."""
    columns = _columns(value)
    if columns:
        return (
            f"{name} has dtype object in the columns {columns}, which are no numbers; "
            f"{encode(name)}"
        )
    wrong = next((v for v in array.flat if not isinstance(v, int | float)), None)
    if not isinstance(wrong, list | tuple | np.ndarray):
        found = f"of {type(wrong).__name__} such as {_short(wrong)}"
        return f"{name} has dtype object, {found}; {encode(name)}"
    shapes = [np.shape(v) for v in array.flat[:3]]
    if len(set(map(np.shape, array.flat))) == 1:
        return (
            f"{name} has dtype object: {array.size} arrays of shape {shapes[0]}. Stack "
            f"them into one: numpy.stack({name})."
        )
    return (
        f"{name} has dtype object: rows of different shapes ({shapes} at its "
        f"beginning). {_PAD}"
    )


def _columns(value: Any) -> list[Any]:
    """The columns of a frame that are no numbers."""
    if not hasattr(value, "columns"):
        return []
    return [name for name, dtype in _dtypes(value).items() if not _is_number(dtype)]


def dates_of(value: Any) -> list[Any]:
    """The columns of a frame, or the name of a series, that are dates or durations.

    Beside columns of numbers, pandas and polars make numbers of them, 1.6e18 for a day.
    """
    return [name for name, dtype in _dtypes(value).items() if _is_date(dtype)]


def _dtypes(value: Any) -> dict[Any, Any]:
    """By column, of a frame; of a series, the one; of what is neither, nothing."""
    columns = getattr(value, "columns", None)
    if hasattr(value, "dtypes") and columns is not None:
        return dict(zip(columns, value.dtypes, strict=True))
    if hasattr(value, "to_numpy") and hasattr(value, "dtype"):
        return {getattr(value, "name", None): value.dtype}
    return {}


def _is_number(dtype: Any) -> bool:
    if hasattr(dtype, "is_numeric"):  # of polars
        return dtype.is_numeric() or str(dtype) == "Boolean"
    return getattr(dtype, "kind", "O") not in "OSUTMm"


def _is_date(dtype: Any) -> bool:
    if hasattr(dtype, "is_temporal"):  # of polars
        return dtype.is_temporal()
    return getattr(dtype, "kind", "O") in "Mm"


def of_samples_in_a_list(named: list[tuple[str, Any]]) -> str:
    """Of a list of samples that stands where an array of them is expected."""
    for part in ("x", "y", "sample_weight"):
        rows = [leaf for name, leaf in named if name.startswith(f"{part}[")]
        if len(rows) < 2 or len({row.shape for row in rows}) > 1:
            continue
        rest = {
            leaf.shape[0]
            if name == of
            else sum(n.startswith(f"{of}[") for n, _ in named)
            for name, leaf in named
            if (of := name.partition("[")[0]) != part
        }
        if rest <= {len(rows)}:
            return (
                f"{part} is a list of {len(rows)} arrays of shape {rows[0].shape}, "
                "which are several inputs or outputs. If they are samples, stack them: "
                f"numpy.stack({part})."
            )
    return ""


def of_no_source(x: object) -> str:
    """Of what is neither arrays nor gives batches; empty where it may."""
    if isinstance(x, str | os.PathLike):
        return (
            f"x is {x!r}, a name; fit does not open files. Read it first: "
            "numpy.load(...), or keras.utils.image_dataset_from_directory(...) for a "
            "folder of images."
        )
    if hasattr(x, "collect") and hasattr(x, "lazy"):  # of polars
        kind = type(x).__name__
        return f"x is a {kind}, of which nothing is computed yet. Call x.collect()."
    if isinstance(x, io.IOBase):
        return (
            "x is an open file; a model takes what is in it as numbers. Read it first "
            "(numpy.load, numpy.loadtxt)."
        )
    if isinstance(x, set | frozenset):
        return "x is a set, which has no order; expected arrays. Make a list of it."
    if isinstance(x, range):
        return f"x is {x!r}; expected an array: numpy.arange({x.start}, {x.stop})."
    return ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."
