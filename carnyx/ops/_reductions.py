"""Many entries to one: sums, extremes, moments, quantiles; and running sums."""

from __future__ import annotations

from typing import Any, Protocol

import jax.numpy as jnp

from carnyx._core.memory import ensure_room
from carnyx._core.op import op
from carnyx._core.scope import is_tracer
from carnyx.ops._dtypes import float_dtype, given_dtype, result_type, tensor, to_float
from carnyx.ops._once import once
from carnyx.ops._safe import root
from carnyx.ops._thin import axes, named, reduction
from carnyx.typing import ArrayLike, Axis, DTypeLike, Tensor

# fmt: off
__all__ = [
    "all", "amax", "amin", "any", "average", "corrcoef", "count_nonzero", "cov",
    "cumprod", "cumsum", "max", "mean", "median", "min", "nancumprod", "nancumsum",
    "nanmax", "nanmean", "nanmedian", "nanmin", "nanpercentile", "nanprod",
    "nanquantile", "nanstd", "nansum", "nanvar", "percentile", "prod", "ptp",
    "quantile", "std", "sum", "trapezoid", "var",
]
# fmt: on


def _held(x: Tensor) -> Tensor:
    return once(tensor(x))


all = reduction(jnp.all, "Whether all entries are nonzero.")
any = reduction(jnp.any, "Whether some entry is nonzero.")
amax = reduction(jnp.amax, "The greatest entry.", _held)
amin = reduction(jnp.amin, "The least entry.", _held)
ptp = reduction(jnp.ptp, "The greatest entry minus the least.", _held)
sum = reduction(jnp.sum, "The sum of the entries.")
median = reduction(jnp.median, "The middle entry, or the mean of two.", to_float)

nanmax = reduction(jnp.nanmax, "`max` of the entries that are not NaN.", _held)
nanmin = reduction(jnp.nanmin, "`min` of the entries that are not NaN.", _held)
nansum = reduction(jnp.nansum, "`sum` of the entries that are not NaN.")
nanprod = reduction(jnp.nanprod, "`prod` of the entries that are not NaN.")
nanmean = reduction(jnp.nanmean, "`mean` of the entries that are not NaN.", to_float)
nanvar = reduction(jnp.nanvar, "`var` of the entries that are not NaN.", to_float)
nanmedian = reduction(
    jnp.nanmedian, "`median` of the entries that are not NaN.", to_float
)


@op
def max(
    x: Tensor, axis: Axis = None, keepdims: bool = False, initial: Any = None
) -> Tensor:
    """The greatest entry, at least `initial`."""
    return jnp.max(_held(x), axes(axis), keepdims=keepdims, initial=initial)


@op
def min(
    x: Tensor, axis: Axis = None, keepdims: bool = False, initial: Any = None
) -> Tensor:
    """The least entry, at most `initial`."""
    return jnp.min(_held(x), axes(axis), keepdims=keepdims, initial=initial)


@op
def prod(
    x: Tensor, axis: Axis = None, keepdims: bool = False, dtype: DTypeLike = None
) -> Tensor:
    """The product of the entries."""
    return jnp.prod(tensor(x), axes(axis), dtype=given_dtype(dtype), keepdims=keepdims)


@op
def count_nonzero(x: Tensor, axis: Axis = None) -> Tensor:
    """How many entries are nonzero."""
    return jnp.count_nonzero(tensor(x), axes(axis)).astype("int32")


# Moments of half-precision entries are formed in float32, which neither overflows at
# 65,504 (float16) nor stops counting at 256 (bfloat16).


def _moment(fn: Any, x: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    x = tensor(x)
    wide = result_type(x.dtype, "float32")
    out = fn(x, axes(axis), dtype=wide, keepdims=keepdims)
    dtype = float_dtype(x)
    return out if out.dtype == dtype else out.astype(dtype)


@op
def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum of the entries over their number.

    >>> mean([[1, 2], [3, 6]], axis=0).tolist()
    [2.0, 4.0]
    """
    return _moment(jnp.mean, x, axis, keepdims)


@op
def var(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """mean((x - mean(x)) ** 2)."""
    return _moment(jnp.var, x, axis, keepdims)


@op
def std(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """sqrt(var(x)); of equal entries its gradient is 0."""
    return jnp.real(_moment(lambda *a, **k: root(jnp.var(*a, **k)), x, axis, keepdims))


@op
def nanstd(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """`std` of the entries that are not NaN."""
    return root(jnp.nanvar(to_float(x), axes(axis), keepdims=keepdims))


@op
def average(x: Tensor, axis: Axis = None, weights: Tensor = None) -> Tensor:
    """sum(weights x) / sum(weights); 0 where the weights sum to 0."""
    x = tensor(x)
    if weights is None:
        return jnp.average(to_float(x), axes(axis))
    weights = tensor(weights)
    dtype = result_type(x, weights, float)
    x, weights = x.astype(dtype), weights.astype(dtype)
    each = weights.shape == x.shape
    none = jnp.sum(weights, axes(axis) if each else None, keepdims=True) == 0
    out = jnp.average(x, axes(axis), jnp.where(none, 1, weights))
    return jnp.where(none.reshape(out.shape if each else ()), 0, out)


@op
def corrcoef(x: Tensor) -> Tensor:
    """Pearson's correlations of the rows of x; NaN for a row of equal entries.

    Shapes: (variables, observations) -> (variables, variables)
    """
    x = to_float(x)
    if x.ndim == 2 and not is_tracer(x):
        ensure_room((x.shape[0], x.shape[0]), x.dtype, "The result of corrcoef")
    covariances = jnp.cov(x)
    if covariances.ndim == 0:
        return covariances / covariances
    variances = jnp.real(jnp.diagonal(covariances))
    none = variances == 0
    deviations = root(jnp.where(none, 1, variances))
    found = covariances / jnp.outer(deviations, deviations)
    if not jnp.iscomplexobj(x):
        found = jnp.clip(found, -1, 1)  # rounding may lead beyond
    return jnp.where(none | none[:, None], jnp.nan, found)


@op
def cov(
    x: Tensor,
    y: Tensor | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
) -> Tensor:
    """The covariances of the rows of x (of its columns where not `rowvar`).

    Shapes: (variables, observations) -> (variables, variables)

    Args:
        y: more variables, with the observations of x.
        bias: divide by the number of observations n, not by n - 1.
        ddof: divide by n - ddof, whatever `bias` says.

    >>> import numpy as np
    >>> cov(np.array([[1.0, 3.0], [2.0, 2.0]])).tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """
    y = None if y is None else to_float(y)
    return jnp.cov(to_float(x), y, rowvar, bias, ddof)


@op
def trapezoid(
    y: Tensor, x: ArrayLike | None = None, dx: ArrayLike = 1.0, axis: int = -1
) -> Tensor:
    """The integral of y by the trapezoidal rule, at the points x or `dx` apart."""
    x = None if x is None else tensor(x)
    return jnp.trapezoid(tensor(y), x, tensor(dx), axis)


class _Quantile(Protocol):
    def __call__(
        self,
        x: Tensor,
        q: Tensor,
        axis: Axis = None,
        method: str = "linear",
        keepdims: bool = False,
    ) -> Tensor: ...


def _quantile(fn: Any, doc: str) -> _Quantile:
    def apply(
        x: Tensor,
        q: Tensor,
        axis: Axis = None,
        method: str = "linear",
        keepdims: bool = False,
    ) -> Tensor:
        x, q = to_float(x), tensor(q)
        return fn(x, q, axis=axes(axis), method=method, keepdims=keepdims)

    return named(apply, fn.__name__, doc)


quantile = _quantile(jnp.quantile, "The value below which a part q of x lies.")
percentile = _quantile(jnp.percentile, "The value below which q percent of x lies.")
nanquantile = _quantile(jnp.nanquantile, "`quantile` of the entries that are not NaN.")
nanpercentile = _quantile(
    jnp.nanpercentile, "`percentile` of the entries that are not NaN."
)


class _Running(Protocol):
    def __call__(
        self, x: Tensor, axis: int | None = None, dtype: DTypeLike = None
    ) -> Tensor: ...


def _running(fn: Any, doc: str) -> _Running:
    def apply(x: Tensor, axis: int | None = None, dtype: DTypeLike = None) -> Tensor:
        return fn(tensor(x), axis=axis, dtype=given_dtype(dtype))

    return named(apply, fn.__name__, doc)


cumsum = _running(jnp.cumsum, "Running sums along `axis` (None: of x flattened).")
cumprod = _running(jnp.cumprod, "Running products along `axis` (None: of x flattened).")
nancumsum = _running(jnp.nancumsum, "`cumsum` with NaN as 0.")
nancumprod = _running(jnp.nancumprod, "`cumprod` with NaN as 1.")
