"""How near predicted numbers are, and how well they follow the targets."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from carnyx import config
from carnyx.configurable import at_least, field, one_of
from carnyx.errors import ShapeError
from carnyx.losses.shapes import check_alike, squeeze_or_expand_to_same_rank
from carnyx.metrics.base import Metric
from carnyx.metrics.mean import Mean, _MeanOf, metric_function
from carnyx.ops.core import convert_to_tensor
from carnyx.ops.nn import normalize
from carnyx.ops.numpy import divide_no_nan, std
from carnyx.typing import Tensor


def _alike(y_true: Any, y_pred: Any, name: str, dtype: Any = None) -> tuple[Any, Any]:
    y_pred = convert_to_tensor(y_pred, dtype)
    y_true = convert_to_tensor(y_true, y_pred.dtype)
    y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    check_alike(y_true, y_pred, name)
    return y_true, y_pred


@metric_function
def cosine_similarity(y_true: Tensor, y_pred: Tensor, axis: int = -1) -> Tensor:
    """cos of the angle between targets and predictions."""
    y_true, y_pred = _alike(y_true, y_pred, "cosine_similarity")
    return jnp.sum(normalize(y_true, axis) * normalize(y_pred, axis), axis)


@metric_function
def pearson_correlation(y_true: Tensor, y_pred: Tensor, axis: int = -1) -> Tensor:
    """cov(y_true, y_pred) / (σ(y_true) · σ(y_pred)) along an axis, 0 where a σ is."""
    pair = _alike(y_true, y_pred, "pearson_correlation")
    a, b = (y - jnp.mean(y, axis, keepdims=True) for y in pair)
    a, b = (divide_no_nan(y, std(y, axis, keepdims=True)) for y in (a, b))
    return jnp.mean(a * b, axis)


@metric_function
def concordance_correlation(y_true: Tensor, y_pred: Tensor, axis: int = -1) -> Tensor:
    """2 cov / (var(y_true) + var(y_pred) + (difference of the means)²).

    References: Lin 1989, doi:10.2307/2532051.
    """
    pair = _alike(y_true, y_pred, "concordance_correlation")
    means = [jnp.mean(y, axis, keepdims=True) for y in pair]
    a, b = (y - mean for y, mean in zip(pair, means))
    variances = sum(jnp.mean(y**2, axis) for y in (a, b))
    gap = jnp.squeeze(means[0] - means[1], axis)
    return 2 * jnp.mean(a * b, axis) / (variances + gap**2 + config.epsilon())


class CosineSimilarity(_MeanOf, of=cosine_similarity):
    """The mean cosine of the angle between targets and predictions."""

    name: Any = field("cosine_similarity")
    dtype: Any = field(None)
    axis: int = field(-1)


class PearsonCorrelation(_MeanOf, of=pearson_correlation):
    """The mean of the correlations along an axis; of samples' features, not samples."""

    name: Any = field("pearson_correlation")
    dtype: Any = field(None)
    axis: int = field(-1)


class ConcordanceCorrelation(_MeanOf, of=concordance_correlation):
    """The mean of Lin's concordance along an axis."""

    name: Any = field("concordance_correlation")
    dtype: Any = field(None)
    axis: int = field(-1)


class RootMeanSquaredError(Mean):
    """√mean((y_true - y_pred)²), the root taken of the mean over all batches."""

    name: Any = field("root_mean_squared_error")
    _direction = "down"

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        y_true, y_pred = _alike(y_true, y_pred, self.name, self.dtype)
        super().update_state((y_pred - y_true) ** 2, sample_weight)

    def result(self) -> Tensor:
        return jnp.sqrt(super().result())


class R2Score(Metric):
    """R² = 1 - Σ (y_true - y_pred)² / Σ (y_true - mean)², an output at a time.

    Shapes: (n, outputs), (n, outputs) -> () or (outputs,)

    Args:
        class_aggregation: how outputs become one number; None leaves them.
        num_regressors: for the adjusted R² 1 - (1 - R²)(n - 1) / (n - p - 1), used
            where there are more samples than that.
    """

    class_aggregation: str | None = field(
        "uniform_average",
        check=one_of("uniform_average", "variance_weighted_average"),
    )
    num_regressors: int = field(0, check=at_least(0, "an integer"))
    name: Any = field("r2_score")
    _direction = "up"
    _built = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.num_samples = self.add_weight(name="num_samples")

    def _build(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 2:
            raise ShapeError(
                f"R2Score {self.name!r} got predictions of shape {shape}; expected "
                "(batch, outputs)."
            )
        outputs = shape[-1:]
        self.squared_sum = self.add_weight(outputs, name="squared_sum")
        self.sum = self.add_weight(outputs, name="sum")
        self.total_mse = self.add_weight(outputs, name="residual")
        self.count = self.add_weight(outputs, name="count")
        self._built = True

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        y_true, y_pred = _alike(y_true, y_pred, self.name, self.dtype)
        if not self._built:
            self._build(y_pred.shape)
        w = jnp.ones((), self.dtype)
        if sample_weight is not None:
            w = convert_to_tensor(sample_weight, self.dtype)
        w = jnp.broadcast_to(w[:, None] if w.ndim == 1 else w, y_true.shape)
        self.sum.assign_add(jnp.sum(w * y_true, 0))
        self.squared_sum.assign_add(jnp.sum(w * y_true**2, 0))
        self.total_mse.assign_add(jnp.sum(w * (y_true - y_pred) ** 2, 0))
        self.count.assign_add(jnp.sum(w, 0))
        self.num_samples.assign_add(y_true.size)

    def result(self) -> Tensor:
        if not self._built:
            return jnp.zeros((), self.dtype)
        mean = divide_no_nan(self.sum.value, self.count.value)
        total = self.squared_sum.value - self.sum.value * mean
        scores = 1 - divide_no_nan(self.total_mse.value, total)
        exact = (self.total_mse.value == 0) & (self.count.value > 0)
        scores = jnp.where((total == 0) & ~exact, 0.0, scores)
        if self.class_aggregation == "uniform_average":
            scores = jnp.mean(scores)
        elif self.class_aggregation is not None:
            scores = divide_no_nan(jnp.sum(total * scores), jnp.sum(total))
        n, p = self.num_samples.value, self.num_regressors
        adjusted = 1 - (1 - scores) * (n - 1) / (n - p - 1)
        return jnp.where((p > 0) & (n - p - 1 > 0), adjusted, scores)
