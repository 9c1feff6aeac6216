"""Losses of scores that should keep a distance: a value a sample."""

from __future__ import annotations

from carnyx import ops
from carnyx.losses.decorator import loss
from carnyx.typing import Tensor


def _signs(y_true: Tensor) -> Tensor:
    """Labels as -1 and 1, whether given so or as 0 and 1."""
    is_binary = ops.all((y_true == 0) | (y_true == 1))
    return ops.where(is_binary, 2 * y_true - 1, y_true)


@loss()
def hinge(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """mean(max(1 - y_true · y_pred, 0)), labels -1 and 1 (or 0 and 1)."""
    return ops.mean(ops.maximum(1 - _signs(y_true) * y_pred, 0), axis=-1)


@loss()
def squared_hinge(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """mean(max(1 - y_true · y_pred, 0)²), labels -1 and 1 (or 0 and 1)."""
    return ops.mean(ops.square(ops.maximum(1 - _signs(y_true) * y_pred, 0)), axis=-1)


@loss()
def categorical_hinge(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """max(best wrong score - right score + 1, 0), labels one-hot."""
    right = ops.sum(y_true * y_pred, axis=-1)
    wrong = ops.max((1 - y_true) * y_pred, axis=-1)
    return ops.maximum(wrong - right + 1, 0)
