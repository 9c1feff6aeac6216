"""The loss functions: a value a sample, from targets and predictions."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from carnyx import config, ops, registry
from carnyx._core import masks
from carnyx.errors import ShapeError
from carnyx.losses.shapes import (
    check_alike,
    check_labels,
    squeeze_or_expand_to_same_rank,
)
from carnyx.typing import Axis, Tensor

F = TypeVar("F", bound=Callable[..., Any])
# In these 1 - epsilon is 1 and 1 / epsilon infinite: losses compute in 32 bits.
_SHORT = ("float16", "bfloat16")


def _shortened(values: Tensor, dtype: str) -> Tensor:
    short = ops.cast(values, dtype)
    masks.set_mask(short, masks.get_mask(values))
    return short


def _power(x: Tensor, exponent: float) -> Tensor:
    """x^exponent with gradient 0 at 0, where that of a root is infinite."""
    zero = x == 0
    return ops.where(zero, 0.0**exponent, ops.power(ops.where(zero, 1, x), exponent))


def loss(*aliases: str, labels: bool = False) -> Callable[[F], F]:
    """Decorator of loss functions: they get tensors that fit together.

    `y_true` takes the dtype of `y_pred` and its rank, where they differ by a last axis
    of size 1.

    Args:
        aliases: further names in configs.
        labels: `y_true` holds class numbers, which stay as they are.
    """

    def decorate(fn: F) -> F:
        @functools.wraps(fn)
        def call(y_true: Any, y_pred: Any, *args: Any, **kwargs: Any) -> Tensor:
            y_pred = ops.convert_to_tensor(y_pred)
            y_true = ops.convert_to_tensor(y_true)
            dtype = str(y_pred.dtype)
            if dtype in _SHORT:
                y_pred = ops.cast(y_pred, "float32")
            if not labels:
                y_true = ops.cast(y_true, y_pred.dtype)
                y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
                check_alike(y_true, y_pred, fn.__name__)
            values = fn(y_true, y_pred, *args, **kwargs)
            return _shortened(values, dtype) if dtype in _SHORT else values

        call.takes_labels = labels  # type: ignore[attr-defined]
        for name in (fn.__name__, *aliases):
            registry.add_builtin(call, "losses", name)
        return call  # type: ignore[return-value]

    return decorate


# ---- Numbers


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


# ---- Margins


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


# ---- Probabilities


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


# ---- Sequences, regions, embeddings


@loss(labels=True)
def ctc(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """-log of the probability of all alignments of labels with logits; 0 is the blank.

    Shapes: (batch, labels) padded with 0, (batch, time, classes) -> (batch,)

    References: Graves et al. 2006, doi:10.1145/1143844.1143891
    """
    if len(y_true.shape) != 2 or len(y_pred.shape) != 3:
        raise ShapeError(
            f"ctc got y_true {tuple(y_true.shape)} and y_pred {tuple(y_pred.shape)}; "
            "expected (batch, labels) and (batch, time, classes)."
        )
    labels = ops.cast(y_true, "int32")
    lengths = ops.sum(ops.cast(labels != 0, "int32"), axis=-1)
    times = ops.full(y_pred.shape[:1], y_pred.shape[1], dtype="int32")
    return ops.ctc_loss(labels, y_pred, lengths, times, mask_index=0)


@loss()
def dice(y_true: Tensor, y_pred: Tensor, axis: Axis = None) -> Tensor:
    """1 - 2 sum(y_true · y_pred) / (sum(y_true) + sum(y_pred)), sums over `axis`."""
    overlap = ops.sum(y_true * y_pred, axis=axis)
    total = ops.sum(y_true, axis=axis) + ops.sum(y_pred, axis=axis)
    return 1 - 2 * overlap / (total + config.epsilon())


@loss()
def tversky(
    y_true: Tensor,
    y_pred: Tensor,
    alpha: float = 0.5,
    beta: float = 0.5,
    axis: Axis = None,
) -> Tensor:
    """1 - overlap / (overlap + alpha · missed + beta · false alarms).

    As in Keras, `alpha` weighs what was missed; the paper has it the other way round.

    References: Salehi, Erdogmus & Gholipour 2017, arXiv:1706.05721
    """
    overlap = ops.sum(y_true * y_pred, axis=axis)
    missed = ops.sum(y_true * (1 - y_pred), axis=axis)
    false = ops.sum((1 - y_true) * y_pred, axis=axis)
    union = overlap + alpha * missed + beta * false
    return 1 - overlap / (union + config.epsilon())


@loss(labels=True)
def circle(
    y_true: Tensor,
    y_pred: Tensor,
    ref_labels: Tensor = None,
    ref_embeddings: Tensor = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Tensor:
    """softplus(logsumexp over equals + logsumexp over others) of embeddings.

    Shapes: (batch,), (batch, features) of norm 1 -> (batch,)

    Args:
        ref_labels, ref_embeddings: what to compare with; the batch itself if None.
        remove_diagonal: False to compare each with itself too.
        gamma: the scale of similarities.
        margin: how much is demanded of them.

    References: Sun et al. 2020, arXiv:2002.10857
    """
    own = ops.reshape(ops.cast(y_true, "int32"), (-1, 1))
    other = own if ref_labels is None else ops.cast(ref_labels, "int32")
    other = ops.reshape(other, (1, -1))
    reference = y_pred if ref_embeddings is None else ref_embeddings
    distance = ops.maximum(1 - ops.matmul(y_pred, ops.transpose(reference)), 0)
    equal = own == other
    different = ops.logical_not(equal)
    if remove_diagonal:
        equal = equal & ops.logical_not(ops.eye(*equal.shape, dtype="bool"))
    near = -gamma * ops.maximum(margin + distance, 0) * (margin - distance)
    far = gamma * ops.maximum(1 + margin - distance, 0) * (1 - margin - distance)
    none = -math.inf
    values = ops.softplus(
        ops.logsumexp(ops.where(equal, near, none), axis=1)
        + ops.logsumexp(ops.where(different, far, none), axis=1)
    )
    masks.set_mask(values, values > 0)
    return values
