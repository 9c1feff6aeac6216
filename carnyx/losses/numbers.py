"""Losses of numbers and of directions: a value a sample."""

from __future__ import annotations

import math

from carnyx import config, ops
from carnyx.losses.decorator import loss
from carnyx.typing import Tensor


@loss("mse", "MSE")
def mean_squared_error(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """mean((y_true - y_pred)²) over the last axis.

    >>> mean_squared_error([[0.0, 1.0]], [[1.0, 1.0]]).tolist()
    [0.5]
    """
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


@loss("mae", "MAE")
def mean_absolute_error(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """mean(|y_true - y_pred|) over the last axis."""
    return ops.mean(ops.absolute(y_true - y_pred), axis=-1)


@loss("mape", "MAPE")
def mean_absolute_percentage_error(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """100 mean(|(y_true - y_pred) / y_true|) over the last axis."""
    size = ops.maximum(ops.absolute(y_true), config.epsilon())
    return 100 * ops.mean(ops.absolute((y_true - y_pred) / size), axis=-1)


@loss("msle", "MSLE")
def mean_squared_logarithmic_error(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """mean((log(y_true + 1) - log(y_pred + 1))²), what is below 0 taken as 0."""
    epsilon = config.epsilon()
    logs = (ops.log(ops.maximum(y, epsilon) + 1) for y in (y_true, y_pred))
    first, second = logs
    return ops.mean(ops.square(first - second), axis=-1)


@loss()
def huber(y_true: Tensor, y_pred: Tensor, delta: float = 1.0) -> Tensor:
    """mean(e² / 2 where |e| <= delta, else delta |e| - delta² / 2), e the error.

    References: Huber 1964, doi:10.1214/aoms/1177703732
    """
    error = ops.absolute(y_pred - y_true)
    outside = delta * error - 0.5 * delta**2
    return ops.mean(
        ops.where(error <= delta, 0.5 * ops.square(error), outside), axis=-1
    )


@loss("logcosh")
def log_cosh(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """mean(log(cosh(y_pred - y_true))) over the last axis."""
    x = y_pred - y_true
    return ops.mean(x + ops.softplus(-2 * x) - math.log(2), axis=-1)


@loss()
def cosine_similarity(y_true: Tensor, y_pred: Tensor, axis: int = -1) -> Tensor:
    """-cos of the angle between targets and predictions: -1 where they agree."""
    return -ops.sum(
        ops.normalize(y_true, axis) * ops.normalize(y_pred, axis), axis=axis
    )
