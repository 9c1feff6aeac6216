"""Pooling: the maximum or the mean of what a window sees."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from carnyx._core.op import op
from carnyx._core.scope import fast_gradients
from carnyx.ops._dtypes import tensor
from carnyx.ops._once import once
from carnyx.ops._spatial import (
    Sizes,
    Window,
    channels_last,
    known,
    padding_name,
    per_axis,
    volume,
    window,
)
from carnyx.typing import Tensor

__all__ = ["adaptive_average_pool", "adaptive_max_pool", "average_pool", "max_pool"]


def _lowest(dtype: np.dtype) -> int | float:
    return -jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).min


def _better(new: jax.Array, best: jax.Array) -> jax.Array:
    """Whether `new` replaces `best`: on ties the first stays, and NaN wins."""
    return (new > best) | (new != new)


@functools.partial(jax.jit, static_argnums=1, inline=True)  # one program when eager
def _max_of_views(x: jax.Array, w: Window) -> jax.Array:
    # A chain of choices, not `maximum`: a tie's gradient goes to the first winner.
    choose = lambda best, new: jnp.where(_better(new, best), new, best)  # noqa: E731
    return functools.reduce(choose, w.views(x, _lowest(x.dtype)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _max_with_winner(x: jax.Array, w: Window, shape: tuple[int, ...]) -> jax.Array:
    return _max_of_views(x, w)


def _winner_forward(x, w, shape):
    best, *others = w.views(x, _lowest(x.dtype))
    winner = jnp.zeros(best.shape, jnp.uint8)
    for place, new in enumerate(others, 1):
        wins = _better(new, best)
        best, winner = jnp.where(wins, new, best), jnp.where(wins, place, winner)
    return best, winner.astype(jnp.uint8)


def _winner_backward(w, shape, winner, g):
    shares = [jnp.where(winner == i, g, 0) for i in range(volume(w.size))]
    return (_spread(shares, w, shape),)


def _spread(parts: list[jax.Array], w: Window, shape: tuple[int, ...]) -> jax.Array:
    """The transpose of `w.views`: each part added where it lay.

    Inputs i·stride + p with one phase p are summed on their own, then the phases are
    interleaved: no zeros between elements, which XLA is slow to add.
    """
    reach = [
        max(-(-(low + shape[a]) // s), parts[0].shape[a] + (k - 1) // s)
        for a, s, k, (low, _) in zip(w.axes, w.strides, w.size, w.pads)
    ]
    phases: dict[tuple[int, ...], Any] = {}
    for offset, part in zip(w.offsets, parts):
        pads = [(0, 0)] * part.ndim
        for axis, o, s, n in zip(w.axes, offset, w.strides, reach):
            pads[axis] = (o // s, n - part.shape[axis] - o // s)
        phase = tuple(o % s for o, s in zip(offset, w.strides))
        phases[phase] = phases.get(phase, 0) + jnp.pad(part, pads)
    zeros = jnp.zeros_like(next(iter(phases.values())))

    def interleaved(phase: tuple[int, ...]) -> jax.Array:
        at = len(phase)
        if at == len(w.size):
            return phases.get(phase, zeros)
        each = [interleaved((*phase, i)) for i in range(w.strides[at])]
        joined = jnp.stack(each, w.axes[at] + 1)
        return joined.reshape(_merged(joined.shape, w.axes[at]))

    cut = [slice(None)] * len(shape)
    for axis, (low, _) in zip(w.axes, w.pads):
        cut[axis] = slice(low, low + shape[axis])
    return interleaved(())[tuple(cut)]


def _merged(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """The sizes with `axis` and the next as one."""
    return (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])


_max_with_winner.defvjp(_winner_forward, _winner_backward)


def _reduce_window(x: jax.Array, initial, combine, w: Window) -> jax.Array:
    outer = (1,) * w.axis, (1,) * (x.ndim - w.axis - len(w.size))
    pads = [(0, 0)] * x.ndim
    pads[w.axis : w.axis + len(w.size)] = w.pads
    size, strides = (outer[0] + s + outer[1] for s in (w.size, w.strides))
    return lax.reduce_window(x, initial, combine, size, strides, pads)


@op
def max_pool(
    inputs: Tensor,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """The maximum in each window.

    Shapes: (b, …space, c) -> (b, …space / strides, c)

    >>> max_pool([[[1.0], [3.0], [2.0], [0.0]]], 2).tolist()
    [[[3.0], [2.0]]]
    """
    x = tensor(inputs)
    last = channels_last(data_format)
    w = window(x, pool_size, strides, padding, last=last, what="max_pool")
    if volume(w.size) > 64 or not known(x):
        return _reduce_window(x, _lowest(x.dtype), lax.max, w)
    # As a maximum of slices. Gradients of 2x2 on (128, 24, 24, 64), 2 cores: 46 ms
    # through reduce_window, 5.5 through the choices, 1.2 keeping who won.
    if fast_gradients():
        return _max_with_winner(x, w, x.shape)
    return _max_of_views(x, w)


def _tiles(x: jax.Array, w: Window) -> jax.Array:
    """Windows side by side as axes of their own, after each pooled axis."""
    split: list[int] = []
    for axis, n in enumerate(x.shape):
        at = axis - w.axis
        inside = 0 <= at < len(w.size)
        split += [n // w.size[at], w.size[at]] if inside else [n]
    return x.reshape(split)


@op
def average_pool(
    inputs: Tensor,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """The mean in each window; what padding adds does not count.

    Shapes: (b, …space, c) -> (b, …space / strides, c)
    """
    x = tensor(inputs)
    last = channels_last(data_format)
    w = window(x, pool_size, strides, padding, last=last, what="average_pool")
    if w.size == w.strides and (not known(x) or not any(map(any, w.pads))):
        if padding_name(padding) == "VALID":
            # The mean over reshaped axes: its gradient is a broadcast (1.3 ms; 5.5
            # through reduce_window).
            cut = [slice(None)] * x.ndim
            for axis, k in zip(w.axes, w.size, strict=True):
                cut[axis] = slice(0, x.shape[axis] // k * k)
            inner = tuple(axis + 1 + i for i, axis in enumerate(w.axes))
            return _tiles(x[tuple(cut)], w).mean(inner)
    total = _reduce_window(x, 0.0, lax.add, w)
    if not any(map(any, w.pads)):
        return total / volume(w.size)
    ones = [n if axis in w.axes else 1 for axis, n in enumerate(x.shape)]
    return total / _reduce_window(jnp.ones(ones, x.dtype), 0.0, lax.add, w)


def _bounds(n: int, out: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each of `out` near-equal, perhaps overlapping, parts of n begins, ends."""
    i = np.arange(out)
    return i * n // out, -(-(i + 1) * n // out)


def _adaptive_axes(x: jax.Array, output_size: Sizes, data_format: str | None):
    rank, first = x.ndim - 2, 1 if channels_last(data_format) else 2
    return list(enumerate(per_axis(output_size, rank, "output_size"), first))


@op
def adaptive_average_pool(
    inputs: Tensor, output_size: Sizes, data_format: str | None = None
) -> Tensor:
    """The means of `output_size` parts of each spatial axis.

    Part i of n goes from floor(i n / out) to ceil((i + 1) n / out).
    """
    x = tensor(inputs)
    for axis, out in _adaptive_axes(x, output_size, data_format):
        starts, ends = _bounds(x.shape[axis], out)
        at = np.arange(x.shape[axis])
        part = (starts[:, None] <= at) & (at < ends[:, None])
        mean = jnp.asarray(part / (ends - starts)[:, None], x.dtype)
        x = jnp.moveaxis(jnp.tensordot(x, mean, (axis, 1)), -1, axis)
    return x


@op
def adaptive_max_pool(
    inputs: Tensor, output_size: Sizes, data_format: str | None = None
) -> Tensor:
    """The maxima of `output_size` parts of each spatial axis."""
    x = once(tensor(inputs))
    for axis, out in _adaptive_axes(x, output_size, data_format):
        starts, ends = _bounds(x.shape[axis], out)
        # Short parts repeat their last element, which changes no maximum.
        reach = starts[:, None] + np.arange((ends - starts).max())
        picked = jnp.take(x, np.minimum(reach, ends[:, None] - 1), axis)
        x = picked.max(axis + 1)
    return x
