"""Positives and negatives, true and false, at one threshold or many."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from carnyx import config
from carnyx._core.memory import ensure_room
from carnyx.configurable import field, fraction, positive
from carnyx.errors import ArgumentError, ShapeError
from carnyx.losses.shapes import check_alike, squeeze_or_expand_to_same_rank
from carnyx.metrics.base import Metric
from carnyx.ops.core import convert_to_tensor
from carnyx.ops.numpy import divide_no_nan
from carnyx.typing import Tensor

ALL = ("true_positives", "false_positives", "true_negatives", "false_negatives")
_LOWEST = -1e10  # a threshold below, and a prediction outside, the k largest


def even_thresholds(count: int) -> list[float]:
    """`count` numbers from 0 to 1."""
    ensure_room((count,), "float64", "A list of thresholds", copies=5)  # of objects
    return np.linspace(0, 1, count).tolist()


def are_even(thresholds: Any) -> bool:
    """Whether they are 0, 1/(n-1), …, 1, so that a prediction's place is computable."""
    steps = np.linspace(0, 1, len(thresholds))
    return len(steps) > 2 and np.allclose(thresholds, steps, atol=config.epsilon())


def confusion(
    y_true: Tensor,
    y_pred: Tensor,
    weight: Tensor,
    thresholds: object,
    even: bool,
    by_label: bool = False,
) -> dict[str, Any]:
    """What is counted at each threshold; positive is what is above it.

    Shapes: (n, ...), (n, ...), (n, ...) -> (thresholds,), by_label
        (thresholds, labels)
    """
    shape = (-1, y_pred.shape[-1] if by_label else 1)
    y_true, y_pred, weight = (x.reshape(shape) for x in (y_true, y_pred, weight))
    truth = (y_true != 0).astype(weight.dtype)
    sides = weight * truth, weight * (1 - truth)
    above = _above_even if even else _above
    tp, fp = (above(y_pred, side, thresholds) for side in sides)
    fn, tn = (jnp.sum(side, 0) - x for side, x in zip(sides, (tp, fp)))
    counts: dict[str, Any] = dict(zip(ALL, (tp, fp, tn, fn)))
    return counts if by_label else {name: x[:, 0] for name, x in counts.items()}


def _above(y_pred: Any, weight: Any, thresholds: Any) -> Any:
    higher = y_pred > jnp.asarray(thresholds, y_pred.dtype)[:, None, None]
    return jnp.sum(jnp.where(higher, weight, 0), 1)


def _above_even(y_pred: Any, weight: Any, thresholds: Any) -> Any:
    """Add weights up in the bucket of each prediction, then buckets from the top."""
    last = len(thresholds) - 1
    bucket = jnp.ceil(jnp.clip(y_pred, 0, 1) * last).astype("int32") - 1
    # A prediction of 0 is above no threshold, unless the lowest is just below 0.
    bucket = jnp.where(bucket < 0, 0 if thresholds[0] < 0 else last + 1, bucket)
    sums = jnp.zeros((last + 1, y_pred.shape[1]), weight.dtype)
    sums = sums.at[bucket, jnp.arange(y_pred.shape[1])].add(weight, mode="drop")
    return jnp.cumsum(sums[::-1], 0)[::-1]


class _Confusion(Metric):
    """Base: keeps some of the four counts for `thresholds`."""

    keeps: ClassVar[tuple[str, ...]] = ALL
    thresholds = ()
    top_k = None
    class_id = None
    multi_label = False
    label_weights = None

    def _make_counts(self, shape: tuple[Any, ...]) -> None:
        self._even = are_even(self.thresholds)
        for name in self.keeps:
            setattr(self, name, self.add_weight(shape, name=name))

    def _add_counts(self, counts: dict[str, Any]) -> None:
        for name in self.keeps:
            getattr(self, name).assign_add(counts[name])

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_pred = convert_to_tensor(y_pred, config.floatx())
        y_true = convert_to_tensor(y_true, y_pred.dtype)
        y_pred, y_true = squeeze_or_expand_to_same_rank(y_pred, y_true)
        check_alike(y_true, y_pred, f"{type(self).__name__} {self.name!r}")
        weight = jnp.ones((), y_pred.dtype)
        if sample_weight is not None:
            weight = convert_to_tensor(sample_weight, y_pred.dtype)[..., None]
            _, weight = squeeze_or_expand_to_same_rank(y_true, weight, False)
        if self.top_k is not None:
            y_pred = _only_top(y_pred, self.top_k)
        if self.class_id is not None:
            if y_pred.ndim == 1:
                raise ShapeError(
                    f"Metric {self.name!r} with class_id={self.class_id} got "
                    f"predictions of shape {y_pred.shape}; expected (batch, classes)."
                )
            y_true, y_pred = (y[..., self.class_id, None] for y in (y_true, y_pred))
        weight = jnp.broadcast_to(weight, y_pred.shape)
        if self.label_weights is not None and not self.multi_label:
            weight = weight * jnp.asarray(self.label_weights, weight.dtype)
        self._add_counts(
            confusion(
                y_true, y_pred, weight, self.thresholds, self._even, self.multi_label
            )
        )


def _only_top(y_pred: Any, k: int) -> Any:
    _, places = jax.lax.top_k(y_pred, k)
    top = jnp.sum(jax.nn.one_hot(places, y_pred.shape[-1]), -2)
    return jnp.where(top > 0, y_pred, _LOWEST)


class _AtThresholds(_Confusion):
    """Base of counts and ratios at given thresholds; without any, at 0.5."""

    thresholds: Any = field(None, config=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.init_thresholds = self.thresholds
        if given is None:
            given = 0.5 if self.top_k is None else _LOWEST
        elif any(t is None or not 0 <= t <= 1 for t in np.ravel(given)):
            raise ArgumentError(
                f"Metric {self.name!r} got thresholds={given}; expected numbers from 0 "
                "to 1."
            )
        self.thresholds = [float(t) for t in np.ravel(given)]
        self._make_counts((len(self.thresholds),))

    def _each(self, values: Any) -> Any:
        return values[0] if len(self.thresholds) == 1 else values

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"thresholds": self.init_thresholds}


class _Count(_AtThresholds):
    keeps = ("accumulator",)
    counts = ""

    def _add_counts(self, counts: dict[str, Any]) -> None:
        self.variables[0].assign_add(counts[self.counts])

    def result(self) -> Any:
        return self._each(self.variables[0].value)


class TruePositives(_Count):
    """How many positives are predicted as such.

    >>> float(TruePositives()([0, 1, 1, 1], [1, 0, 1, 1]))
    2.0
    """

    counts = "true_positives"


class FalsePositives(_Count):
    """How many negatives are predicted as positive."""

    counts = "false_positives"


class TrueNegatives(_Count):
    """How many negatives are predicted as such."""

    counts = "true_negatives"


class FalseNegatives(_Count):
    """How many positives are predicted as negative."""

    counts = "false_negatives"


class _Ratio(_AtThresholds):
    top_k: int | None = field(None)
    class_id: int | None = field(None)
    _direction = "up"

    def result(self) -> Any:
        hits, misses = (getattr(self, name).value for name in self.keeps)
        return self._each(divide_no_nan(hits, hits + misses))


class Precision(_Ratio):
    """TP / (TP + FP): the share of right ones among predicted positives.

    Args:
        thresholds: one or several from 0 to 1; 0.5 by default.
        top_k: take as predicted positive what is among the k largest of a sample.
        class_id: look at one class only.

    >>> round(float(Precision()([0, 1, 1, 1], [1, 0, 1, 1])), 4)
    0.6667
    """

    keeps = ("true_positives", "false_positives")


class Recall(_Ratio):
    """TP / (TP + FN): the share of found ones among positives; see `Precision`."""

    keeps = ("true_positives", "false_negatives")


class _BestAt(_Confusion):
    """Base: the best of one rate among thresholds that give another at least."""

    wanted = given = ""
    num_thresholds = 200
    _direction = "up"

    def __post_init__(self) -> None:
        super().__post_init__()
        n = self.num_thresholds
        self.thresholds = [0.5] if n == 1 else even_thresholds(n)
        self._make_counts((n,))

    def result(self) -> Any:
        tp, fp, tn, fn = (getattr(self, name).value for name in ALL)
        rates = {
            "sensitivity": divide_no_nan(tp, tp + fn),
            "recall": divide_no_nan(tp, tp + fn),
            "specificity": divide_no_nan(tn, tn + fp),
            "precision": divide_no_nan(tp, tp + fp),
        }
        feasible = rates[self.given] >= getattr(self, self.given)
        return jnp.max(jnp.where(feasible, rates[self.wanted], 0), initial=0)


class SensitivityAtSpecificity(_BestAt):
    """The largest TP / (TP + FN) where TN / (TN + FP) is at least `specificity`."""

    specificity: float = field(check=fraction)
    num_thresholds: int = field(200, check=positive)
    class_id: int | None = field(None)
    wanted, given = "sensitivity", "specificity"


class SpecificityAtSensitivity(_BestAt):
    """The largest TN / (TN + FP) where TP / (TP + FN) is at least `sensitivity`."""

    sensitivity: float = field(check=fraction)
    num_thresholds: int = field(200, check=positive)
    class_id: int | None = field(None)
    wanted, given = "specificity", "sensitivity"


class PrecisionAtRecall(_BestAt):
    """The largest precision where recall is at least `recall`."""

    recall: float = field(check=fraction)
    num_thresholds: int = field(200, check=positive)
    class_id: int | None = field(None)
    wanted, given = "precision", "recall"


class RecallAtPrecision(_BestAt):
    """The largest recall where precision is at least `precision`."""

    precision: float = field(check=fraction)
    num_thresholds: int = field(200, check=positive)
    class_id: int | None = field(None)
    wanted, given = "recall", "precision"
