"""Whether `class_weight` and the labels are of the same classes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from carnyx._checks.first_batches import Expectations
from carnyx._checks.told import WAY_OUT, on
from carnyx._data.class_weights import labels_of
from carnyx.typing import Tensors


def judge_class_weight(
    class_weight: Mapping[int, float] | None, y: Tensors, known: Expectations | None
) -> None:
    """Warn of keys that are no class of the model, and of labels without a weight.

    A class that the model has and these samples lack, as in some part of a
    cross-validation, is no mistake.

    Args:
        y: all targets; None where they come batch by batch, which says nothing.
    """
    if class_weight is None or y is None or not on():
        return
    classes = [int(c) for c in np.unique(labels_of(y))]
    count = None if known is None else known.classes
    unused = [k for k in class_weight if k not in classes and not _has(count, k)]
    missing = [c for c in classes if c not in class_weight]
    told = f"the labels of y are {_some(classes)}, the keys {_some(list(class_weight))}"
    told += "" if count is None else f", and the model has classes 0 to {count - 1}"
    for those, what in (
        (unused, "keys that no label has"),
        (missing, "no weight for labels (they count 1)"),
    ):
        if those:
            warnings.warn(
                f"class_weight has {what}: {_some(those)}; {told}. {WAY_OUT}",
                stacklevel=3,
            )


def _has(count: int | None, key: int) -> bool:
    """Whether the model has a class, as far as that is known."""
    return count is None or 0 <= key < count


def _some(values: list[Any]) -> str:
    shown = ", ".join(map(repr, values[:8]))
    return shown + ", ..." * (len(values) > 8)
