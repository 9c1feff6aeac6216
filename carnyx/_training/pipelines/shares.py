"""The loss of a batch as a sum over its microbatches.

A loss is a sum over samples, divided by how many (or how heavy) they are. Of a
microbatch it is divided by that microbatch's own; its share of the batch's number makes
the sum over microbatches what the loss of the whole batch is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from carnyx._core.masks import get_mask, set_mask
from carnyx._training.compiled_loss import CompiledLoss
from carnyx._training.outputs import match_targets
from carnyx.errors import ArgumentError
from carnyx.losses import Circle
from carnyx.losses.base import MEAN, Loss, apply_mask, squeeze_or_expand_to_same_rank
from carnyx.losses.functions import circle


def check_losses(compiled: CompiledLoss) -> None:
    """Raises an ArgumentError for a loss that is known not to be such a sum."""
    for loss in filter(None, compiled.losses):
        name = type(loss).__name__
        advice = (
            "Under a Pipeline the loss of a batch has to be a sum over its samples: "
            'give a loss with the reduction "sum_over_batch_size", '
            '"mean_with_sample_weight" or "sum", or train on one device.'
        )
        if isinstance(loss, Circle) or loss.fn is circle:
            raise ArgumentError(f"{name} compares the samples of a batch. {advice}")
        if type(loss).__call__ is not Loss.__call__:
            raise ArgumentError(f"{name} has a __call__ of its own. {advice}")
        if loss.reduction in (None, "none"):
            raise ArgumentError(f"{name} has reduction={loss.reduction!r}. {advice}")


class Rows:
    """The losses of the outputs, for microbatches."""

    def __init__(self, compiled: CompiledLoss) -> None:
        check_losses(compiled)
        self.compiled = compiled

    def of(self, y: Any, predictions: Sequence[Any], weights: Any) -> list[tuple]:
        """`(loss, scale, target, prediction, sample weight)` of outputs with a loss."""
        compiled = self.compiled
        targets = match_targets(y, compiled.outputs, what="y")
        weights = match_targets(
            weights, compiled.outputs, what="sample_weight", shared=True
        )
        rows = zip(
            compiled.losses, compiled.weights, targets, predictions, weights,
            strict=True,
        )  # fmt: skip
        return [row for row in rows if row[0] is not None]

    def masses(self, y: Any, predictions: Sequence[Any], weights: Any) -> list[Any]:
        """By what each loss divides its sum over these samples; None: by nothing.

        Of `predictions` the shapes and masks count, not the values.
        """
        rows = self.of(y, predictions, weights)
        return [_mass(loss, target, x, weight) for loss, _, target, x, weight in rows]

    def values(
        self, y: Any, predictions: Sequence[Any], weights: Any, shares: Sequence[Any]
    ) -> tuple[Any, list[Any]]:
        """The part of a microbatch in the batch's total loss and in each output's."""
        total: Any = jnp.zeros((), "float32")
        parts = []
        rows = self.of(y, predictions, weights)
        for (loss, scale, target, x, weight), share in zip(rows, shares, strict=True):
            parts.append(jnp.asarray(loss(target, x, weight)) * share)
            total = total + (parts[-1] if scale is None else parts[-1] * scale)
        return total, parts


def shares_of(masses: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """For each microbatch the share of each loss, from its masses."""
    columns = []
    for column in zip(*masses, strict=True):
        if column[0] is None:
            columns.append([1.0] * len(column))
            continue
        total = sum(column)
        if isinstance(total, int):
            columns.append([mass / total for mass in column])
        else:  # nothing that counts: the loss is 0, and so is its share
            safe = jnp.where(total == 0, 1, total)
            columns.append([mass / safe for mass in column])
    return [list(row) for row in zip(*columns, strict=True)]


def _mass(loss: Loss, target: Any, prediction: Any, weight: Any) -> Any:
    if loss.reduction == "sum":
        return None
    values, mask = _values_and_mask(loss, target, prediction)
    if not values.shape or values.shape[0] != prediction.shape[0]:
        raise ArgumentError(
            f"{type(loss).__name__} gives values of shape {values.shape} for "
            f"{prediction.shape[0]} samples; under a Pipeline a loss has to give a "
            "value a sample, so that microbatches can be added up."
        )
    if loss.reduction in ("mean", MEAN):
        return int(np.prod(values.shape)) if mask is None else jnp.sum(mask)
    weight = apply_mask(weight, mask, values.dtype, loss.reduction)
    if weight is None:
        return int(np.prod(values.shape))
    return jnp.sum(squeeze_or_expand_to_same_rank(values, weight)[1])


def _values_and_mask(loss: Loss, target: Any, prediction: Any) -> tuple[Any, Any]:
    """As `Loss.__call__` has them; the values of `prediction` do not matter."""
    mask = get_mask(prediction)
    blank = jnp.zeros(prediction.shape, loss.dtype)
    set_mask(blank, mask)
    values = loss.call(loss._target(target), blank)
    also = get_mask(values)
    if mask is not None and also is not None:
        mask = mask & also
    return values, also if mask is None else mask
