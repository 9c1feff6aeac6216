"""The area under a curve of rates over all thresholds."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from carnyx import config
from carnyx.configurable import field, one_of
from carnyx.errors import ArgumentError, ShapeError
from carnyx.metrics.confusion import ALL, _Confusion, are_even, even_thresholds
from carnyx.ops.core import convert_to_tensor
from carnyx.ops.numpy import divide_no_nan
from carnyx.typing import Tensor


class AUC(_Confusion):
    """The area under the ROC or precision-recall curve, as a Riemann sum.

    Args:
        num_thresholds: evenly from 0 to 1; `thresholds` gives those between instead.
        curve: "ROC", "PR" or "PRGAIN".
        summation_method: heights of the bars: "interpolation" takes the middle (for
            PR: interpolates the counts), "minoring" the lower, "majoring" the higher.
        multi_label: an area for each label, then the mean, by `label_weights`.
        from_logits: predictions are logits.

    References: Davis & Goadrich 2006, doi:10.1145/1143844.1143874 (PR); Flach & Kull
    2015, "Precision-Recall-Gain Curves" (PRGAIN).

    >>> float(AUC(num_thresholds=3)([0, 0, 1, 1], [0, 0.5, 0.3, 0.9]))
    0.75
    """

    num_thresholds: int | None = field(200)  # None where thresholds are given
    curve: str = field("ROC", lambda v: v.upper())
    summation_method: str = field("interpolation", lambda v: v.lower())
    name: Any = field(None)
    dtype: Any = field(None)
    thresholds: Any = field(None, config=False)
    multi_label: bool = field(False)
    num_labels: int | None = field(None)
    label_weights: Any = field(None)
    from_logits: bool = field(False)
    _direction = "up"
    _built = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._given = self.thresholds is not None
        if self._given:
            between = sorted(float(t) for t in self.thresholds)
            self.num_thresholds = len(between) + 2
        self._check()
        if not self._given:
            between = even_thresholds(int(self.num_thresholds or 0))[1:-1]
        self._even = are_even([0.0, *between, 1.0])
        e = config.epsilon()  # so that 0 and 1 are counted
        self.thresholds = [-e, *between, 1 + e]
        if self.num_labels or not self.multi_label:
            self._build((None, self.num_labels))

    def _check(self) -> None:
        methods = one_of("interpolation", "majoring", "minoring")
        for name, check in (
            ("curve", one_of("ROC", "PR", "PRGAIN")),
            ("summation_method", methods),
            ("num_thresholds", lambda n: None if n and n > 1 else "an integer above 1"),
        ):
            if check(getattr(self, name)):
                raise ArgumentError(
                    f"AUC got {name}={getattr(self, name)!r}; expected "
                    f"{check(getattr(self, name))}."
                )
        if self.num_labels and not self.multi_label:
            raise ArgumentError(
                f"AUC got num_labels={self.num_labels}; it needs multi_label=True."
            )

    def _build(self, shape: tuple[int | None, ...]) -> None:
        if self.multi_label and len(shape) != 2:
            raise ShapeError(
                f"AUC {self.name!r} with multi_label=True got predictions of shape "
                f"{shape}; expected (batch, labels)."
            )
        labels = shape[1:] if self.multi_label else ()
        even = self._even
        self._make_counts((self.num_thresholds, *labels))
        self._even, self._built = even, True

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        y_pred = convert_to_tensor(y_pred, config.floatx())
        if not self._built:
            self._build(y_pred.shape)
        if self.from_logits:
            y_pred = jax.nn.sigmoid(y_pred)
        super().update_state(y_true, y_pred, sample_weight)

    def result(self) -> Tensor:
        counts = [getattr(self, name).value for name in ALL]
        if self.curve == "PR" and self.summation_method == "interpolation":
            bars = _interpolated(*counts)
        else:
            x, y = _CURVES[self.curve](*counts)
            height = _HEIGHTS[self.summation_method](y[:-1], y[1:])
            bars = (x[:-1] - x[1:]) * height
        areas = jnp.sum(bars, 0)
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return jnp.mean(areas)
        weights = jnp.asarray(self.label_weights, areas.dtype)
        return divide_no_nan(jnp.sum(areas * weights), jnp.sum(weights))

    def get_config(self) -> dict[str, Any]:
        names = [n for n, f in self._fields.items() if f.in_config]
        given = {"thresholds": self.thresholds[1:-1]} if self._given else {}
        return {n: getattr(self, n) for n in names} | given


def _roc(tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
    return divide_no_nan(fp, fp + tn), divide_no_nan(tp, tp + fn)


def _precision_recall(tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
    return divide_no_nan(tp, tp + fn), divide_no_nan(tp, tp + fp)


def _gains(tp: Any, fp: Any, tn: Any, fn: Any) -> tuple[Any, Any]:
    """1 - (positives / negatives) · (missed or wrong / hits), for recall, precision."""
    odds = divide_no_nan(tp + fn, fp + tn)
    recall = jnp.where(tp == 0, 0, 1 - odds * divide_no_nan(fn, tp))
    precision = jnp.where(tp == 0, 1, 1 - odds * divide_no_nan(fp, tp))
    return jnp.maximum(recall, 0), precision


_CURVES = {"ROC": _roc, "PR": _precision_recall, "PRGAIN": _gains}
_HEIGHTS = {
    "interpolation": lambda a, b: (a + b) / 2,
    "minoring": jnp.minimum,
    "majoring": jnp.maximum,
}


def _interpolated(tp: Any, fp: Any, tn: Any, fn: Any) -> Any:
    """Between two thresholds TP grows linearly with P = TP + FP, by `slope`."""
    p = tp + fp
    slope = divide_no_nan(tp[:-1] - tp[1:], jnp.maximum(p[:-1] - p[1:], 0))
    start = tp[1:] - slope * p[1:]
    both = (p[:-1] > 0) & (p[1:] > 0)
    ratio = jnp.where(both, divide_no_nan(p[:-1], p[1:]), 1)
    area = slope * (tp[:-1] - tp[1:] + start * jnp.log(ratio))
    return divide_no_nan(area, jnp.maximum(tp[1:] + fn[1:], 0))
