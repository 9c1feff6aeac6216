"""Losses as metrics: means over all samples since the last reset."""

from __future__ import annotations

from typing import Any

from carnyx import losses, registry
from carnyx.configurable import field
from carnyx.metrics.mean import _MeanOf


class MeanSquaredError(_MeanOf, of=losses.mean_squared_error):
    """mean((y_true - y_pred)²).

    >>> float(MeanSquaredError()([[0.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [0.0, 0.0]]))
    0.25
    """


class MeanAbsoluteError(_MeanOf, of=losses.mean_absolute_error):
    """mean(|y_true - y_pred|)."""


class MeanAbsolutePercentageError(_MeanOf, of=losses.mean_absolute_percentage_error):
    """100 mean(|(y_true - y_pred) / y_true|)."""


class MeanSquaredLogarithmicError(_MeanOf, of=losses.mean_squared_logarithmic_error):
    """mean((log(y_true + 1) - log(y_pred + 1))²)."""


class LogCoshError(_MeanOf, of=losses.log_cosh):
    """mean(log(cosh(y_pred - y_true)))."""

    name: Any = field("logcosh")


class Hinge(_MeanOf, of=losses.hinge):
    """mean(max(1 - y_true · y_pred, 0)), labels -1 and 1 (or 0 and 1)."""


class SquaredHinge(_MeanOf, of=losses.squared_hinge):
    """mean(max(1 - y_true · y_pred, 0)²), labels -1 and 1 (or 0 and 1)."""


class CategoricalHinge(_MeanOf, of=losses.categorical_hinge):
    """max(largest wrong prediction - right prediction + 1, 0)."""


class KLDivergence(_MeanOf, of=losses.kl_divergence):
    """Σ y_true · log(y_true / y_pred)."""


class Poisson(_MeanOf, of=losses.poisson):
    """mean(y_pred - y_true · log(y_pred))."""


class BinaryCrossentropy(_MeanOf, of=losses.binary_crossentropy):
    """-mean(y_true · log(y_pred) + (1 - y_true) · log(1 - y_pred))."""

    name: Any = field("binary_crossentropy")
    dtype: Any = field(None)
    from_logits: bool = field(False)
    label_smoothing: float = field(0)


class CategoricalCrossentropy(_MeanOf, of=losses.categorical_crossentropy):
    """-Σ y_true · log(y_pred), targets one-hot."""

    name: Any = field("categorical_crossentropy")
    dtype: Any = field(None)
    from_logits: bool = field(False)
    label_smoothing: float = field(0)
    axis: int = field(-1)


class SparseCategoricalCrossentropy(_MeanOf, of=losses.sparse_categorical_crossentropy):
    """-log(y_pred of the target's class), targets class numbers."""

    name: Any = field("sparse_categorical_crossentropy")
    dtype: Any = field(None)
    from_logits: bool = field(False)
    ignore_class: int | None = field(None)
    axis: int = field(-1)


for _short, _class in {
    "bce": BinaryCrossentropy,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
}.items():
    registry.add_builtin(_class, "metrics", _short)
    registry.add_builtin(_class, "metrics", _short.upper())
