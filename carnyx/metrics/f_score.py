"""Precision and recall in one number."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from carnyx import config
from carnyx.configurable import above_zero, field, one_of
from carnyx.errors import ShapeError
from carnyx.losses.shapes import check_alike
from carnyx.metrics.base import Metric
from carnyx.ops.core import convert_to_tensor
from carnyx.typing import DTypeLike, Tensor

_averages = one_of("micro", "macro", "weighted")


def _half_open(value: float) -> str | None:
    return None if 0 < value <= 1 else "a number above 0, at most 1"


class FBetaScore(Metric):
    """(1 + β²) · precision · recall / (β² · precision + recall).

    Shapes: (n, classes), (n, classes) -> (classes,) or ()

    Args:
        average: how classes become one number: counts added up first ("micro"), the
            mean ("macro"), or by how often they occur ("weighted"); None leaves them.
        threshold: above it is predicted; None takes the largest of a sample.

    >>> import numpy as np
    >>> metric = FBetaScore(average="micro", beta=2.0, threshold=0.5)
    >>> y_true = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0]])
    >>> y_pred = np.array([[0.2, 0.6, 0.7], [0.2, 0.6, 0.6], [0.6, 0.8, 0.0]])
    >>> round(float(metric(y_true, y_pred)), 4)
    0.6667
    """

    average: str | None = field(None, check=_averages)
    beta: float = field(1.0, check=above_zero)
    threshold: float | None = field(None, check=_half_open)
    name: Any = field("fbeta_score")
    _direction = "up"
    _built = False

    def _build(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 2:
            raise ShapeError(
                f"{type(self).__name__} {self.name!r} got predictions of shape "
                f"{shape}; expected (batch, classes)."
            )
        kept = () if self.average == "micro" else shape[-1:]
        for name in _STATE:
            setattr(self, name, self.add_weight(kept, "zeros", self.dtype, name))
        self._built = True

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        y_true = convert_to_tensor(y_true, self.dtype)
        y_pred = convert_to_tensor(y_pred, self.dtype)
        if not self._built:
            self._build(y_pred.shape)
        check_alike(y_true, y_pred, f"{type(self).__name__} {self.name!r}")
        if self.threshold is None:
            largest = jnp.max(y_pred, -1, keepdims=True)
            y_pred = (y_pred >= largest) & (jnp.abs(y_pred) > 1e-9)
        else:
            y_pred = y_pred > self.threshold
        y_pred = y_pred.astype(self.dtype)
        w = jnp.ones((), self.dtype)
        if sample_weight is not None:
            w = convert_to_tensor(sample_weight, self.dtype)[:, None]
        axis = None if self.average == "micro" else 0
        for name, values in zip(
            _STATE,
            (y_pred * y_true, y_pred * (1 - y_true), (1 - y_pred) * y_true, y_true),
        ):
            getattr(self, name).assign_add(jnp.sum(w * values, axis))

    def result(self) -> Tensor:
        if not self._built:
            return jnp.zeros((), self.dtype)
        tp, fp, fn, weights = (getattr(self, name).value for name in _STATE)
        e, b2 = config.epsilon(), self.beta**2
        precision, recall = tp / (tp + fp + e), tp / (tp + fn + e)
        score = (1 + b2) * precision * recall / (b2 * precision + recall + e)
        if self.average == "weighted":
            return jnp.sum(score * weights / (jnp.sum(weights) + e))
        return score if self.average is None else jnp.mean(score)


_STATE = ("true_positives", "false_positives", "false_negatives")
_STATE += ("intermediate_weights",)


class F1Score(FBetaScore):
    """2 · precision · recall / (precision + recall); see `FBetaScore`."""

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)  # type: ignore

    def get_config(self) -> dict[str, Any]:
        return {k: v for k, v in super().get_config().items() if k != "beta"}
