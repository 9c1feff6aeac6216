"""Losses of probabilities and logits: a value a sample."""

from __future__ import annotations

import warnings

from carnyx import config, ops
from carnyx._core import masks
from carnyx.losses.decorator import loss
from carnyx.losses.shapes import check_labels
from carnyx.typing import Tensor


def _power(x: Tensor, exponent: float) -> Tensor:
    """x^exponent with gradient 0 at 0, where that of a root is infinite."""
    zero = x == 0
    return ops.where(zero, 0.0**exponent, ops.power(ops.where(zero, 1, x), exponent))


@loss("kld", "KLD", "kullback_leibler_divergence")
def kl_divergence(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """sum(y_true · log(y_true / y_pred)) over the last axis."""
    p, q = (ops.clip(y, config.epsilon(), 1) for y in (y_true, y_pred))
    return ops.sum(p * ops.log(p / q), axis=-1)


@loss()
def poisson(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """mean(y_pred - y_true · log(y_pred)) over the last axis."""
    return ops.mean(y_pred - y_true * ops.log(y_pred + config.epsilon()), axis=-1)


def _smoothed(y_true: Tensor, amount: float, classes: int) -> Tensor:
    """Labels with `amount` of their certainty spread evenly over the classes."""
    return y_true * (1 - amount) + amount / classes if amount else y_true


@loss("bce", "BCE")
def binary_crossentropy(
    y_true: Tensor,
    y_pred: Tensor,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """mean(-y log p - (1 - y) log(1 - p)), p = y_pred, or its sigmoid if logits.

    Args:
        label_smoothing: from 0 to 1; labels move that part of the way to 1/2.
        axis: the one that the mean is over.

    >>> binary_crossentropy([[0.0, 1.0]], [[0.0, 0.0]], from_logits=True).round(3).tolist()
    [0.6930000185966492]
    """  # noqa: E501
    y_true = _smoothed(y_true, label_smoothing, 2)
    return ops.mean(ops.binary_crossentropy(y_true, y_pred, from_logits), axis=axis)


@loss()
def binary_focal_crossentropy(
    y_true: Tensor,
    y_pred: Tensor,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """`binary_crossentropy` times (1 - p_t)^gamma, p_t the probability of the truth.

    Args:
        apply_class_balancing: weight class 1 by `alpha`, class 0 by 1 - alpha.

    References: Lin et al. 2017, "Focal loss", arXiv:1708.02002
    """
    y_true = _smoothed(y_true, label_smoothing, 2)
    p = ops.sigmoid(y_pred) if from_logits else y_pred
    p_t = y_true * p + (1 - y_true) * (1 - p)
    focal = _power(1 - p_t, gamma) * ops.binary_crossentropy(y_true, p)
    if apply_class_balancing:
        focal = focal * (y_true * alpha + (1 - y_true) * (1 - alpha))
    return ops.mean(focal, axis=axis)


def _warn_of_one_class(y_pred: Tensor, name: str) -> None:
    if y_pred.shape[-1] == 1:
        warnings.warn(
            f"{name} got predictions of shape {tuple(y_pred.shape)}, with one class; "
            "expected several. For two classes use 'binary_crossentropy'.",
            SyntaxWarning,
            stacklevel=4,
        )


@loss()
def categorical_crossentropy(
    y_true: Tensor,
    y_pred: Tensor,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """-sum(y_true · log p), p = y_pred normalised, or its softmax if logits.

    Args:
        label_smoothing: from 0 to 1; that part of each label goes to all classes.
        axis: the one of the classes.
    """
    _warn_of_one_class(y_pred, "categorical_crossentropy")
    y_true = _smoothed(y_true, label_smoothing, y_true.shape[axis])
    return ops.categorical_crossentropy(y_true, y_pred, from_logits, axis)


@loss()
def categorical_focal_crossentropy(
    y_true: Tensor,
    y_pred: Tensor,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """-sum(alpha (1 - p)^gamma · y_true · log p), p as in `categorical_crossentropy`.

    References: Lin et al. 2017, "Focal loss", arXiv:1708.02002
    """
    _warn_of_one_class(y_pred, "categorical_focal_crossentropy")
    y_true = _smoothed(y_true, label_smoothing, y_true.shape[axis])
    p = ops.softmax(y_pred, axis) if from_logits else y_pred
    p = ops.divide_no_nan(p, ops.sum(p, axis=axis, keepdims=True))
    p = ops.clip(p, config.epsilon(), 1 - config.epsilon())
    return -ops.sum(alpha * ops.power(1 - p, gamma) * y_true * ops.log(p), axis=axis)


@loss(labels=True)
def sparse_categorical_crossentropy(
    y_true: Tensor,
    y_pred: Tensor,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Tensor:
    """-log p[y_true], p = y_pred normalised, or its softmax if logits.

    Shapes: (…) or (…, 1), (…, classes) -> (…,)

    Args:
        ignore_class: a label whose samples have loss 0 and do not count in a mean.

    >>> sparse_categorical_crossentropy([0, 1], [[0.5, 0.5], [0.0, 1.0]]).round(2).tolist()
    [0.6899999976158142, 0.0]
    """  # noqa: E501
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[axis] == 1:
        y_true = ops.squeeze(y_true, axis)
    check_labels(y_true, y_pred, axis, "sparse_categorical_crossentropy")
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits, axis)
    valid = y_true != ignore_class
    y_true = ops.where(valid, y_true, 0)
    y_pred = ops.where(ops.expand_dims(valid, axis), y_pred, 0)  # whatever stood there
    values = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits, axis)
    values = ops.where(valid, values, 0)
    masks.set_mask(values, valid)
    return values


@loss(labels=True)
def categorical_generalized_cross_entropy(
    y_true: Tensor, y_pred: Tensor, q: float
) -> Tensor:
    """(1 - p[y_true]^q) / q: robust to wrong labels; q → 0 is the cross-entropy.

    References: Zhang & Sabuncu 2018, arXiv:1805.07836
    """
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    check_labels(y_true, y_pred, -1, "categorical_generalized_cross_entropy")
    label = ops.cast(y_true, "int32")
    chosen = ops.one_hot(label, y_pred.shape[-1], dtype=y_pred.dtype)
    return (1 - _power(ops.sum(y_pred * chosen, axis=-1), q)) / q
