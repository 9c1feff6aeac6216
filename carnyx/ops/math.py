"""Mathematics beyond NumPy's core: segments, ranks, special functions, einops."""

from __future__ import annotations

import builtins
import functools
import re
from collections.abc import Callable
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from carnyx._core.infer import some_size
from carnyx._core.memory import ensure_room
from carnyx._core.op import op
from carnyx._core.scope import in_symbolic_scope, is_tracer
from carnyx.errors import ArgumentError, ShapeError
from carnyx.ops import _signal
from carnyx.ops._dtypes import indices as as_indices
from carnyx.ops._dtypes import tensor, to_float, to_floats
from carnyx.ops._once import once
from carnyx.ops._safe import root
from carnyx.ops._signal import *  # noqa: F403
from carnyx.ops._thin import axes as hashable
from carnyx.ops._thin import unary
from carnyx.typing import Axis, Tensor

# fmt: off
__all__ = [
    "cdist", "erf", "erfc", "erfinv", "gammainc", "in_top_k", "lgamma", "logdet",
    "logsumexp", "rearrange", "rsqrt", "segment_max", "segment_min", "segment_prod",
    "segment_sum", "top_k",
    *(name for name in _signal.__all__ if name != "polar"),
]
# fmt: on


def _segments(
    reduce: Callable, data: Tensor, ids: Tensor, count: int | None, ordered: bool
) -> Tensor:
    data, known = tensor(data), ids
    ids = as_indices(ids)
    if ids.ndim != 1 or ids.shape[0] != data.shape[0]:
        raise ShapeError(
            f"segment_ids got shape {ids.shape}; expected ({data.shape[0]},), one for "
            f"each row of data {data.shape}."
        )
    if count is None:
        if is_tracer(known) and in_symbolic_scope():
            return jnp.zeros((some_size(), *data.shape[1:]), data.dtype)
        count = _number_of_segments(known)
    ensure_room((count, *data.shape[1:]), data.dtype, "An array of segments")
    return reduce(data, ids, count, indices_are_sorted=ordered)


def _number_of_segments(ids: Tensor) -> int:
    if is_tracer(ids):
        raise ArgumentError(
            "Segments got num_segments=None and ids that are computed: while a "
            "function is compiled their number is not known. Give num_segments=."
        )
    return int(np.max(np.asarray(ids), initial=-1)) + 1


@op
def segment_sum(
    data: Tensor, segment_ids: Tensor, num_segments: int | None = None,
    sorted: bool = False,
) -> Tensor:  # fmt: skip
    """Sums of the rows of each segment.

    Shapes: (n, …), (n,) -> (num_segments, …)

    >>> segment_sum([1, 2, 10], [0, 0, 1], 2).tolist()
    [3, 10]
    """
    return _segments(jax.ops.segment_sum, data, segment_ids, num_segments, sorted)


@op
def segment_max(
    data: Tensor, segment_ids: Tensor, num_segments: int | None = None,
    sorted: bool = False,
) -> Tensor:  # fmt: skip
    """Maxima of the rows of each segment; the lowest number where there are none."""
    return _segments(
        jax.ops.segment_max, once(tensor(data)), segment_ids, num_segments, sorted
    )


@op
def segment_min(
    data: Tensor, segment_ids: Tensor, num_segments: int | None = None,
    sorted: bool = False,
) -> Tensor:  # fmt: skip
    """Minima of the rows of each segment; the highest number where there are none."""
    return _segments(
        jax.ops.segment_min, once(tensor(data)), segment_ids, num_segments, sorted
    )


@op
def segment_prod(
    data: Tensor, segment_ids: Tensor, num_segments: int | None = None,
    sorted: bool = False,
) -> Tensor:  # fmt: skip
    """Products of the rows of each segment; 1 where there are none."""
    return _segments(jax.ops.segment_prod, data, segment_ids, num_segments, sorted)


@op
def top_k(x: Tensor, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest on the last axis, and where they are; in order in any case.

    >>> values, places = top_k([1, 3, 2], 2)
    >>> values.tolist(), places.tolist()
    ([3, 2], [1, 2])
    """
    values, places = lax.top_k(tensor(x), k)
    return values, places


@op
def in_top_k(targets: Tensor, predictions: Tensor, k: int) -> Tensor:
    """Whether fewer than k predictions are above that of the target.

    Shapes: (b,), (b, classes) -> (b,)
    """
    predictions = tensor(predictions)
    chosen = jnp.take_along_axis(predictions, as_indices(targets)[..., None], -1)
    chosen = jnp.where(jnp.isnan(chosen), -jnp.inf, chosen)
    return jnp.sum(predictions > chosen, -1) < k


@op
def logsumexp(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))), without leaving the range of floats."""
    return jax.nn.logsumexp(to_float(x), hashable(axis), keepdims=keepdims)


@op
def cdist(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances between all rows of x and of y.

    Shapes: (…, n, d), (…, m, d) -> (…, n, m)
    """
    x, y = to_floats(x, y)
    if builtins.min(x.ndim, y.ndim) < 2 or x.shape[-1] != y.shape[-1]:
        raise ShapeError(
            f"cdist got shapes {x.shape} and {y.shape}; expected (…, n, d), (…, m, d)."
        )
    # From differences: the expansion |x|² - 2xy + |y|² loses digits of near points.
    difference = x[..., :, None, :] - y[..., None, :, :]
    return root(jnp.square(difference).sum(-1))


_unary = functools.partial(unary, prepare=to_float, module="carnyx.ops.math")

rsqrt = _unary(lax.rsqrt, "1 / sqrt(x).")
erf = _unary(lax.erf, "2 / sqrt(pi) times the integral of exp(-t²) from 0 to x.")
erfc = _unary(lax.erfc, "1 - erf(x).")
erfinv = _unary(lax.erf_inv, "The inverse of `erf`.", name="erfinv")
logdet = _unary(
    lambda x: jnp.linalg.slogdet(x)[1], "log(|det(x)|) of matrices.", name="logdet"
)


lgamma = _unary(lax.lgamma, "log(|Γ(x)|), of the gamma function.")


@op
def gammainc(a: Tensor, x: Tensor) -> Tensor:
    """The regularized lower incomplete gamma function: the share of Γ(a) up to x.

    >>> round(float(gammainc(1.0, 2.0)), 6)  # of an exponential: 1 - e ** -2
    0.864665
    """
    a, x = to_floats(a, x)
    return jax.scipy.special.gammainc(a, x)


# --- einops: "b (h p) c -> b h (p c)" ------------------------------------------------


def _parse(side: str) -> list[list[str]]:
    """The axes of one side of a pattern, each a group of names."""
    groups = re.findall(r"\(([^()]*)\)|(\w+)", side)
    return [[name] if name else inside.split() for inside, name in groups]


def _axis_sizes(pattern: str, groups: list[list[str]], shape, given: dict) -> dict:
    if len(groups) != len(shape):
        raise ShapeError(
            f"rearrange got shape {shape} for {pattern!r}, of {len(groups)} axes."
        )
    sizes = dict(given)
    for group, n in zip(groups, shape, strict=True):
        unknown = [name for name in group if name not in sizes]
        if len(unknown) > 1:
            raise ArgumentError(
                f"rearrange cannot tell the sizes of {unknown} in {pattern!r}; give "
                "all but one of them as keywords."
            )
        rest = prod(sizes[name] for name in group if name in sizes)
        if unknown:
            sizes[unknown[0]] = n // rest
        if prod(sizes[name] for name in group) != n:
            raise ShapeError(
                f"rearrange cannot split {n} by {group} of sizes "
                f"{[sizes[name] for name in group]}, in {pattern!r}."
            )
    return sizes


@op
def rearrange(tensor: Tensor, pattern: str, **axes_lengths: int) -> Tensor:
    """Splits, permutes and joins axes by a pattern of names.

    >>> rearrange(jnp.ones((2, 6, 3)), "b (h p) c -> b h (p c)", p=2).shape
    (2, 3, 6)

    References: Rogozhnikov 2022, Einops, ICLR (openreview oapKSVM2bcj)
    """
    x = jnp.asarray(tensor)
    before, after = (_parse(side) for side in pattern.split("->"))
    sizes = _axis_sizes(pattern, before, x.shape, axes_lengths)
    names = [name for group in before for name in group]
    wanted = [name for group in after for name in group]
    if sorted(names) != sorted(wanted):
        raise ArgumentError(
            f"rearrange got {pattern!r}; expected the same names on both sides."
        )
    x = x.reshape([sizes[name] for name in names])
    x = x.transpose([names.index(name) for name in wanted])
    return x.reshape([prod(sizes[name] for name in group) for group in after])
