"""Weights of classes as weights of samples."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from carnyx import config, tree
from carnyx._data.hosts import as_array
from carnyx.errors import DataError
from carnyx.typing import Tensor


def weigh(
    y: object,
    sample_weight: Tensor,
    class_weight: Mapping[int, float] | None,
) -> Any:
    """The sample weights, or those that `class_weight` gives the samples' classes.

    Classes are integers, or the largest entry of one-hot rows; one that the mapping
    does not name weighs 1.

    Raises:
        DataError: for weights that are no mapping, or have nothing to weigh.
    """
    if class_weight is None:
        return sample_weight
    if sample_weight is not None:
        raise DataError(
            "Got class_weight and sample_weight; give one of them, or multiply the "
            "classes' weights into sample_weight."
        )
    if y is None or tree.is_nested(y):
        raise DataError(
            f"class_weight needs one array of targets; y is {type(y).__name__}. For "
            "several outputs pass sample_weight, one array an output."
        )
    labels = labels_of(y)
    classes, places = np.unique(labels, return_inverse=True)
    if not isinstance(class_weight, Mapping):
        _refuse(class_weight, classes, places)
    _check(class_weight)
    weights = [float(class_weight.get(int(c), 1.0)) for c in classes]
    return np.array(weights, config.floatx())[places.reshape(labels.shape)]


def labels_of(y: object) -> np.ndarray:
    """The classes of targets: integers, or the largest entries of one-hot rows."""
    y = as_array(y, "y")
    if y.ndim > 1:
        y = y[..., 0] if y.shape[-1] == 1 else np.argmax(y, axis=-1)
    return np.rint(y).astype("int64")


def _refuse(given: Any, classes: np.ndarray, places: np.ndarray) -> None:
    """An error with what to pass: for "balanced", the weights of these labels."""
    example: dict[int, float] = {int(c): 1.0 for c in classes[:3]}
    if isinstance(given, list | tuple) and len(given) <= 10:
        example = dict(enumerate(given))
    elif isinstance(given, str) and given == "balanced":
        counts = np.bincount(places.reshape(-1))
        even = places.size / (len(classes) * counts)
        pairs = zip(classes.tolist(), even.tolist(), strict=True)
        example = {c: round(w, 3) for c, w in list(pairs)[:10]}
    balanced = isinstance(given, str) and given == "balanced"
    rule = " (samples / (classes * samples of the class))" * balanced
    raise DataError(
        f"class_weight got {given!r}; expected a dict from class number to weight: "
        f"class_weight={example}{rule}."
    )


def _check(class_weight: Mapping[Any, Any]) -> None:
    """Classes are whole numbers, weights numbers of 0 and more."""
    for key, weight in class_weight.items():
        if not isinstance(key, numbers.Real) or key != round(float(key)):
            raise DataError(
                f"class_weight has the key {key!r}; expected the number of a class, as "
                "y has it: {0: 1.0, 1: 2.5}."
            )
        try:
            finite = not isinstance(weight, str) and math.isfinite(float(weight))
        except (TypeError, ValueError):
            finite = False
        if not finite:
            raise DataError(
                f"class_weight gives class {key} the weight {weight!r}; expected a "
                "number."
            )
