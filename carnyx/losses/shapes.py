"""Shapes of targets, predictions and weights: made to fit, or refused.

Numbers of other shapes would broadcast: targets (n, 4) against predictions (n, 1) give
a loss that looks right. Only what is clear is fitted: a last axis of size 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carnyx._core.symbol import shapes_fit
from carnyx.errors import ShapeError
from carnyx.ops.numpy import expand_dims, squeeze
from carnyx.typing import Tensor


def squeeze_or_expand_to_same_rank(
    x1: Tensor, x2: Tensor, expand_rank_1: bool = True
) -> tuple[Tensor, Tensor]:
    """Let ranks meet where they differ by last axes of size 1.

    Shapes: (n,), (n, 1) -> (n, 1), (n, 1); (n, m, 1), (n, m) -> (n, m), (n, m)
    """
    if len(x1.shape) < len(x2.shape):
        return squeeze_or_expand_to_same_rank(x2, x1, expand_rank_1)[::-1]
    rank = len(x2.shape)
    if rank and len(x1.shape) > rank + 1 and set(x1.shape[rank:]) == {1}:
        x1 = squeeze(x1, tuple(range(rank + 1, len(x1.shape))))
    if len(x1.shape) == rank + 1 and x1.shape[-1] == 1:
        if rank == 1 and expand_rank_1:
            return x1, expand_dims(x2, -1)
        return squeeze(x1, -1), x2
    return x1, x2


def check_alike(y_true: Tensor, y_pred: Tensor, name: str) -> None:
    """Raises a ShapeError where an entry of one is not for an entry of the other.

    A single number stands for all.
    """
    true, pred = tuple(y_true.shape), tuple(y_pred.shape)
    if shapes_fit(true, pred) or () in (true, pred):
        return
    raise ShapeError(
        f"{name} got targets of shape {true} and predictions of shape {pred}; expected "
        f"the same shape. {_advice(true, pred)}"
    )


def _advice(true: Sequence[Any], pred: Sequence[Any]) -> str:
    same_rank = len(true) == len(pred) > 0
    labels = true[:-1] if same_rank and true[-1] == 1 else true
    if len(pred) > 1 and shapes_fit(labels, pred[:-1]) and pred[-1] != 1:
        return (
            f"If the targets are class numbers of {pred[-1]} classes, use the sparse "
            "kind ('sparse_categorical_crossentropy', 'sparse_categorical_accuracy'), "
            "or make them one-hot with keras.utils.to_categorical."
        )
    if same_rank and shapes_fit(pred[:-1], true[:-1]):
        return f"To predict such targets, give the last layer {true[-1]} units."
    return "Reshape the targets, or change the model's last layer."


def check_labels(y_true: Tensor, y_pred: Tensor, axis: int, name: str) -> None:
    """Raises a ShapeError unless there is a class number for each row of scores."""
    true, pred = tuple(y_true.shape), tuple(y_pred.shape)
    axis = axis % max(len(pred), 1)
    rows = pred[:axis] + pred[axis + 1 :]
    if shapes_fit(true, rows):
        return
    one_hot = shapes_fit(true, pred)
    raise ShapeError(
        f"{name} got targets of shape {true} and predictions of shape {pred}; expected "
        f"class numbers of shape {rows}. "
        + (
            "The targets seem to be one-hot: use the kind without 'sparse', or "
            "keras.ops.argmax(targets, -1)."
            if one_hot
            else "Reshape the targets, or change the model's last layer."
        )
    )


def fit_weight(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Values and their weights: one for each, or one for each of the first axes.

    Shapes: (n, m), (n,) -> (n, m), (n, 1)
    """
    values, weight = squeeze_or_expand_to_same_rank(values, weight)
    known, given = tuple(values.shape), tuple(weight.shape)
    if given and len(given) < len(known) and shapes_fit(given, known[: len(given)]):
        weight = expand_dims(weight, tuple(range(len(given), len(known))))
    shape = tuple(weight.shape)
    ones = (1,) * (len(known) - len(shape)) + shape
    free = tuple(k if s == 1 else s for k, s in zip(known, ones, strict=False))
    if not known and any(size != 1 for size in given):
        raise ShapeError(
            "A loss or metric gave one number for the whole batch, which "
            f"a sample_weight or mask of shape {given} cannot weigh. Let it give one "
            "for each sample: take the mean over the last axes only (axis=-1)."
        )
    if len(shape) > len(known) or not shapes_fit(free, known):
        raise ShapeError(
            f"sample_weight or mask has shape {given} for values of shape {known}; "
            "expected one weight for each of them, or one for each sample."
        )
    return values, weight
