"""Losses of sequences, regions and embeddings: a value a sample."""

from __future__ import annotations

import math

from carnyx import config, ops
from carnyx._core import masks
from carnyx.errors import ShapeError
from carnyx.losses.decorator import loss
from carnyx.typing import Axis, Tensor


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
