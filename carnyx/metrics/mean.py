"""Sums and means of values, and of what a function makes of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp

from carnyx import losses, registry
from carnyx._core.masks import get_mask, set_mask
from carnyx._core.naming import to_snake_case
from carnyx.configurable import Field, field
from carnyx.losses.base import apply_mask
from carnyx.losses.shapes import fit_weight, squeeze_or_expand_to_same_rank
from carnyx.metrics.base import Metric
from carnyx.ops.core import convert_to_tensor
from carnyx.ops.numpy import divide_no_nan
from carnyx.typing import DTypeLike, Tensor


def samplewise(
    values: Tensor, weight: Tensor, reduce: Callable, dtype: DTypeLike
) -> Any:
    """Weighted values and weights, one a sample each.

    Shapes: (n, ...), (n, ...) or None -> (n,), (n,) or None
    """
    mask = get_mask(values)
    values = convert_to_tensor(values, dtype)
    if weight is not None:
        weight = apply_mask(convert_to_tensor(weight), mask, dtype, "sum")
        values, weight = squeeze_or_expand_to_same_rank(values, weight)
        if values.ndim > weight.ndim:
            values = reduce(values, tuple(range(weight.ndim, values.ndim)))
        values, weight = fit_weight(values, weight)
        weight = jnp.broadcast_to(weight, values.shape)
        values = values * weight
        if weight.ndim > 1:
            weight = reduce(weight, tuple(range(1, weight.ndim)))
    if values.ndim > 1:
        values = reduce(values, tuple(range(1, values.ndim)))
    return values, weight


class Sum(Metric):
    """Σ values, weighted.

    >>> float(Sum()([1.0, 3.0], sample_weight=[1.0, 0.5]))
    2.5
    """

    name: Any = field("sum")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.total = self.add_weight(dtype=self.dtype, name="total")

    def update_state(self, values: Tensor, sample_weight: Tensor | None = None) -> None:
        values, _ = samplewise(values, sample_weight, jnp.sum, self.dtype)
        self.total.assign_add(jnp.sum(values))

    def result(self) -> Tensor:
        return self.total.value


class Mean(Metric):
    """Σ weight · value / Σ weight.

    >>> float(Mean()([1.0, 3.0], sample_weight=[1.0, 3.0]))
    2.5
    """

    name: Any = field("mean")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.total = self.add_weight(dtype=self.dtype, name="total")
        self.count = self.add_weight(dtype=self.dtype, name="count")

    def update_state(self, values: Tensor, sample_weight: Tensor | None = None) -> None:
        values, weight = samplewise(values, sample_weight, jnp.mean, self.dtype)
        self.total.assign_add(jnp.sum(values))
        self.count.assign_add(values.size if weight is None else jnp.sum(weight))

    def result(self) -> Tensor:
        return divide_no_nan(self.total.value, self.count.value)


class _MeanOf(Mean):
    """The mean of a function of targets and predictions.

    A class for a function is one line, `class Hinge(_MeanOf, of=hinge)`, and a field
    for each argument of the function.
    """

    _fn = None
    _arguments: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, of: Any = None, **keywords: Any) -> None:
        if of is not None:
            own = [n for n, f in vars(cls).items() if isinstance(f, Field)]
            cls._arguments = tuple(n for n in own if n not in ("name", "dtype"))
            cls._fn, cls._direction = staticmethod(of), _direction(of)
            if "name" not in own:
                cls.name = field(to_snake_case(cls.__name__))
                cls.name.__set_name__(cls, "name")
        super().__init_subclass__(**keywords)

    @property
    def _fn_kwargs(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._arguments}

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        mask = get_mask(y_pred)
        fn: Any = self._fn
        values = fn(y_true, y_pred, **self._fn_kwargs)
        if sample_weight is not None:
            sample_weight = convert_to_tensor(sample_weight)
        weight = apply_mask(sample_weight, mask, self.dtype, "sum")
        super().update_state(values, weight)


class MeanMetricWrapper(_MeanOf):
    """The mean of any function of `(y_true, y_pred, **kwargs)`.

    >>> metric = MeanMetricWrapper(lambda y_true, y_pred: abs(y_true - y_pred), "gap")
    >>> import numpy as np
    >>> float(metric(np.array([1.0, 2.0]), np.array([1.0, 5.0])))
    1.5
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        name: str | None = None,
        dtype: DTypeLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self._fn, self._kwargs = _function(fn), kwargs
        self._direction = _direction(fn)

    @property
    def _fn_kwargs(self) -> dict[str, Any]:
        return self._kwargs

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        if hasattr(y_true, "shape") and hasattr(y_pred, "shape"):
            mask = get_mask(y_pred)  # fitted as for a function given as a loss
            y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
            set_mask(y_pred, mask)
        super().update_state(y_true, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config() | {"fn": losses.serialize(self._fn)}
        return config | registry.serialize_dict(self._kwargs)


def metric_function(fn: Callable[..., Any]) -> Any:
    """Decorator: lets configs name a function whose name is also that of a class."""
    return registry.add_builtin(fn, "metric_functions")


def _function(identifier: Any) -> Any:
    if callable(identifier):
        return identifier
    name = identifier["config"] if isinstance(identifier, dict) else identifier
    own = isinstance(name, str) and registry.find_builtin(name, "metric_functions")
    return own or losses.get(identifier)


def _direction(fn: Any) -> str | None:
    """Losses are better when less, this folder's functions when more."""
    known = {"losses": "down", "metric_functions": "up"}
    return known.get(registry.own_family(fn))
