"""How often predictions are right."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from carnyx.configurable import field, positive
from carnyx.dtype_policies import standardize_dtype
from carnyx.losses.shapes import (
    check_alike,
    check_labels,
    squeeze_or_expand_to_same_rank,
)
from carnyx.metrics.mean import _MeanOf, metric_function
from carnyx.ops.core import convert_to_tensor
from carnyx.ops.math import in_top_k
from carnyx.typing import Tensor


def _hits(hits: Any) -> Any:
    return hits.astype(standardize_dtype(None))


@metric_function
def accuracy(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Where predictions equal targets."""
    y_pred = convert_to_tensor(y_pred)
    y_true = convert_to_tensor(y_true, y_pred.dtype)
    y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    check_alike(y_true, y_pred, "accuracy")
    return _hits(y_true == y_pred)


@metric_function
def binary_accuracy(y_true: Tensor, y_pred: Tensor, threshold: float = 0.5) -> Tensor:
    """Where predictions are on the targets' side of the threshold."""
    y_true, y_pred = convert_to_tensor(y_true), convert_to_tensor(y_pred)
    y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    check_alike(y_true, y_pred, "binary_accuracy")
    return _hits(y_true == (y_pred > threshold).astype(y_true.dtype))


@metric_function
def categorical_accuracy(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Where the largest prediction is at the largest target.

    Shapes: (..., classes), (..., classes) -> (...)
    """
    y_true, y_pred = convert_to_tensor(y_true), convert_to_tensor(y_pred)
    y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    check_alike(y_true, y_pred, "categorical_accuracy")
    return _hits(jnp.argmax(y_true, -1) == jnp.argmax(y_pred, -1))


@metric_function
def sparse_categorical_accuracy(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Where the largest prediction is that of the target's class.

    Shapes: (...) or (..., 1), (..., classes) -> (...)
    """
    y_true, y_pred = convert_to_tensor(y_true), convert_to_tensor(y_pred)
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = y_true[..., 0]
    check_labels(y_true, y_pred, -1, "sparse_categorical_accuracy")
    hits = _hits(y_true == jnp.argmax(y_pred, -1).astype(y_true.dtype))
    return hits[..., 0] if hits.ndim > 1 and hits.shape[-1] == 1 else hits


@metric_function
def top_k_categorical_accuracy(y_true: Tensor, y_pred: Tensor, k: int = 5) -> Tensor:
    """Where the largest target is among the k largest predictions.

    Shapes: (..., classes), (..., classes) -> (...)
    """
    y_true, y_pred = convert_to_tensor(y_true), convert_to_tensor(y_pred)
    y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    check_alike(y_true, y_pred, "top_k_categorical_accuracy")
    return sparse_top_k_categorical_accuracy(jnp.argmax(y_true, -1), y_pred, k)


@metric_function
def sparse_top_k_categorical_accuracy(
    y_true: Tensor, y_pred: Tensor, k: int = 5, from_sorted_ids: bool = False
) -> Tensor:
    """Where the target's class is among the k largest predictions.

    Shapes: (...), (..., classes) -> (...)

    Args:
        from_sorted_ids: `y_pred` holds class numbers, the most likely first.
    """
    y_true, y_pred = convert_to_tensor(y_true), convert_to_tensor(y_pred)
    squeezed = len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1
    flat = y_true[..., 0] if squeezed else y_true
    check_labels(flat, y_pred, -1, "sparse_top_k_categorical_accuracy")
    labels, rows = y_true.reshape(-1), y_pred.reshape(-1, y_pred.shape[-1])
    if from_sorted_ids:
        hits = jnp.any(rows[:, :k] == labels[:, None].astype(rows.dtype), 1)
    else:
        hits = in_top_k(labels.astype("int32"), rows, k)
    return _hits(hits.reshape(y_true.shape))


class Accuracy(_MeanOf, of=accuracy):
    """The share of predictions that equal their target."""


class BinaryAccuracy(_MeanOf, of=binary_accuracy):
    """The share of predictions on the targets' side of the threshold.

    >>> float(BinaryAccuracy()([[1], [1], [0], [0]], [[0.98], [1], [0], [0.6]]))
    0.75
    """

    name: Any = field("binary_accuracy")
    dtype: Any = field(None)
    threshold: float = field(0.5)


class CategoricalAccuracy(_MeanOf, of=categorical_accuracy):
    """The share of right classes, targets one-hot."""


class SparseCategoricalAccuracy(_MeanOf, of=sparse_categorical_accuracy):
    """The share of right classes, targets class numbers."""


class TopKCategoricalAccuracy(_MeanOf, of=top_k_categorical_accuracy):
    """The share of classes among the k most likely, targets one-hot."""

    k: int = field(5, check=positive)
    name: Any = field("top_k_categorical_accuracy")


class SparseTopKCategoricalAccuracy(_MeanOf, of=sparse_top_k_categorical_accuracy):
    """The share of classes among the k most likely, targets class numbers."""

    k: int = field(5, check=positive)
    name: Any = field("sparse_top_k_categorical_accuracy")
    dtype: Any = field(None)
    from_sorted_ids: bool = field(False)
