"""Whether targets are what their losses expect; regression is never judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from carnyx._checks.losses import (
    BINARY,
    CATEGORICAL,
    DISTRIBUTION,
    SPARSE,
    Expected,
)
from carnyx._checks.told import refuse, warn_once
from carnyx.typing import Tensor

_ROUNDING = 1e-5


def judge_targets(
    expected: Expected, y: np.ndarray, weight: Tensor, where: str, told: set[str]
) -> None:
    """Targets of some samples; those with weight 0, or ignored, are not judged.

    Args:
        weight: an array of weights, whose axes are the first of the targets, or None.
        where: the data in which they stand.

    Raises:
        DataError: where no number of the loss would mean anything.
    """
    if y.dtype.kind not in "iufb" or not y.size or expected.kind == DISTRIBUTION:
        return
    if expected.kind == SPARSE:
        _judge_labels(expected, y, weight, where)
    elif not _is_mix_up(expected, y, where):
        _judge_range(expected, y, weight, where, told)


def _judge_labels(expected: Expected, y: np.ndarray, weight: Any, where: str) -> None:
    rank, classes = len(expected.shape), expected.classes
    if y.ndim == rank and y.shape[expected.axis] == classes and classes != 1:
        rows = np.moveaxis(y, expected.axis, -1)
        if rows.min() >= 0 and (rows.sum(-1) == 1).all():
            refuse(
                f"y of {where} has shape {y.shape}, one column for each class, but the "
                f"{expected} takes class numbers. Use 'categorical_crossentropy', or "
                "y.argmax(-1)."
            )
        return
    if y.ndim == rank and y.shape[expected.axis] == 1:
        y = y.squeeze(expected.axis)
    low, high = y.min(), y.max()
    whole = y.dtype.kind != "f" or bool((y == np.rint(y)).all())
    if whole and low >= 0 and (classes is None or high < classes):
        return
    wrong = _counted(y, weight) & (y != expected.ignored)
    bad = wrong & ((y < 0) | (y != np.rint(y)))
    if classes is not None:
        bad |= wrong & (y >= classes)
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        _refuse_label(expected, y, wrong, place, where)


def _refuse_label(
    expected: Expected, y: np.ndarray, counted: np.ndarray, place: Any, where: str
) -> None:
    label, classes = y[place], expected.classes
    sample = f"y[{', '.join(map(str, place))}] of {where} is {label:g}"
    if np.isnan(label):
        refuse(
            f"{sample}: a label is missing (NaN or None). Remove such samples, or give "
            "them some label and sample_weight 0."
        )
    if label != np.rint(label):
        refuse(
            f"{sample}, but the {expected} takes whole class numbers: a fraction would "
            "be cut off. Give labels as integers, or use a loss for regression "
            "('mse')."
        )
    known = "" if classes is None else f": there are {classes} classes, 0 to "
    known += "" if classes is None else f"{classes - 1}"
    refuse(
        f"{sample}, which is no class of the {expected}{known}. "
        + _way_out(label, y[counted], classes)
    )


def _way_out(label: Any, labels: np.ndarray, classes: int | None) -> str:
    if label < 0:
        return (
            f"Pass ignore_class={label:g} to the loss, or sample_weight 0, if such "
            "samples do not count."
        )
    if classes == 1:
        return "For labels 0 and 1 and one unit use 'binary_crossentropy'."
    if labels.min() == 1 and labels.max() == classes:
        return "The labels begin at 1: subtract 1 from them."
    return f"Give the last layer {labels.max() + 1:g} units, or mend the labels."


def _is_mix_up(expected: Expected, y: np.ndarray, where: str) -> bool:
    """Refuses class numbers where one column for each class is expected."""
    rank, classes = len(expected.shape), expected.classes
    if expected.kind != CATEGORICAL or classes in (None, 1):
        return False
    if y.ndim == rank and y.shape[expected.axis] != 1 or y.ndim not in (rank, rank - 1):
        return False
    refuse(
        f"y of {where} has shape {y.shape}, class numbers, but the {expected} takes "
        f"one column for each of {classes} classes. Use "
        "'sparse_categorical_crossentropy', or utils.to_categorical(y, "
        f"{classes})."
    )
    return True


def _judge_range(
    expected: Expected, y: np.ndarray, weight: Any, where: str, told: set[str]
) -> None:
    low, high = y.min(), y.max()
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return
    counted = _counted(y, weight)
    if counted.shape != y.shape or not counted.any():
        return
    bad = counted & ((y < -_ROUNDING) | (y > 1 + _ROUNDING))
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        sample = f"y[{', '.join(map(str, place))}] of {where} is {y[place]:g}"
        advice = _of_range(expected, np.unique(y[counted]))
        warn_once(
            told,
            f"{sample}, but the {expected} takes targets from 0 to 1. {advice}",
        )


def _of_range(expected: Expected, values: np.ndarray) -> str:
    if set(values.tolist()) <= {-1, 1}:
        other = "'hinge'" if expected.kind == BINARY else "'categorical_hinge'"
        return f"Labels -1 and 1: pass (y + 1) / 2, or use the loss {other}."
    whole = bool((values == np.rint(values)).all())
    if whole and values.min() >= 0 and values.max() < 100 and expected.kind == BINARY:
        return (
            "For class numbers use 'sparse_categorical_crossentropy' and one unit for "
            "each class."
        )
    if values.max() > 100:
        return "Divide images by 255."
    return "Scale the targets, or use a loss for regression ('mse')."


def _counted(y: np.ndarray, weight: Any) -> np.ndarray:
    """Which targets have a weight other than 0, in the shape of the targets."""
    every = np.ones(y.shape, bool)
    if weight is None:
        return every
    weight = np.asarray(weight)
    while weight.ndim > 1 and weight.shape[-1] == 1 and weight.ndim >= y.ndim:
        weight = weight[..., 0]
    if weight.shape != y.shape[: weight.ndim]:
        return every
    return every & (weight != 0).reshape(weight.shape + (1,) * (y.ndim - weight.ndim))
