"""Convolutions: sums over a sliding window of inputs times kernel.

XLA's own lowering is best on a GPU or TPU. On a CPU (JAX 0.12, 2 cores) other forms of
the same sums win. In ms, with the gradients of both arguments: a 1x1 kernel as a matrix
product 235 -> 65; groups one by one 5215 -> 49. Depthwise as a sum of shifted products:
forward 90 -> 4, kernel gradient 154 -> 16. The kernel gradient of the general case over
a few images at a time: 15 -> 12.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from carnyx._core.memory import ensure_room
from carnyx._core.op import op
from carnyx._core.scope import distributed, fast_gradients, is_tracer
from carnyx.errors import ShapeError
from carnyx.ops._dtypes import among_floats
from carnyx.ops._spatial import (
    Sizes,
    Window,
    channels_last,
    check_fits,
    known,
    on_cpu,
    padding_name,
    per_axis,
    volume,
    window,
)
from carnyx.typing import Tensor

__all__ = ["conv", "conv_transpose", "depthwise_conv", "separable_conv"]


class _How(NamedTuple):
    """The static arguments of a convolution."""

    strides: tuple[int, ...]
    padding: Any
    dilation: tuple[int, ...]
    layout: tuple[str, str, str]
    groups: int = 1


def _layout(rank: int, last: bool) -> tuple[str, str, str]:
    space = "DHW"[-rank:]
    images = f"N{space}C" if last else f"NC{space}"
    return images, f"{space}IO", images


def _lax_conv(x: jax.Array, kernel: jax.Array, how: _How) -> jax.Array:
    return lax.conv_general_dilated(
        x, kernel, how.strides, how.padding, rhs_dilation=how.dilation,
        dimension_numbers=how.layout, feature_group_count=how.groups,
    )  # fmt: skip


# --- the kernel gradient in chunks: the derived form transposes whole arrays --------


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _chunked_conv(x: jax.Array, kernel: jax.Array, how: _How) -> jax.Array:
    return _lax_conv(x, kernel, how)


def _chunked_forward(x, kernel, how):
    return _lax_conv(x, kernel, how), (x, kernel)


def _chunked_backward(how, saved, g):
    x, kernel = saved
    (dx,) = jax.linear_transpose(lambda x: _lax_conv(x, kernel, how), x)(g)
    # At least 8 images a chunk, and at most 16 chunks: each is code of its own, since
    # a convolution inside a loop is slow on a CPU.
    step = max(8, -(-x.shape[0] // 16))
    parts = []
    for i in range(0, x.shape[0], step):
        some = x[i : i + step]
        transpose = jax.linear_transpose(lambda k, s=some: _lax_conv(s, k, how), kernel)
        parts += transpose(g[i : i + step])
    return dx, functools.reduce(jnp.add, parts)


_chunked_conv.defvjp(_chunked_forward, _chunked_backward)


# --- depthwise: a sum of shifted products --------------------------------------------


def _weights(kernel: jax.Array, w: Window) -> list[jax.Array]:
    """The kernel's rows, one for each place in the window, ready to broadcast."""
    ones = (1,) * (len(w.size) if w.axis == 2 else 0)
    return [kernel[place].reshape(-1, *ones) for place in w.offsets]


@functools.partial(jax.jit, static_argnums=2, inline=True)  # one program when eager
def _shifted_sum(x: jax.Array, kernel: jax.Array, w: Window) -> jax.Array:
    """sum_k x[… i·stride + k …, c] kernel[k, c], in float32 at least."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    terms = zip(w.views(x.astype(wide)), _weights(kernel.astype(wide), w), strict=True)
    return functools.reduce(jnp.add, (v * k for v, k in terms)).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _fast_shifted_sum(x: jax.Array, kernel: jax.Array, w: Window) -> jax.Array:
    return _shifted_sum(x, kernel, w)


def _input_gradient(g: jax.Array, kernel: jax.Array, w: Window, shape) -> jax.Array:
    space = slice(w.axis, w.axis + len(w.size))
    back = w.transposed(shape[space], g.shape[space])
    flipped = jnp.flip(kernel, tuple(range(len(w.size))))
    return _fast_shifted_sum(g, flipped, back)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _kernel_gradient(x: jax.Array, g: jax.Array, w: Window) -> jax.Array:
    """sum over batch and space of each view of x times g: (*size, channels)."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    g = g.astype(wide)
    terms = [v * g for v in w.views(x.astype(wide))]
    zeros = [jnp.zeros((), wide) for _ in terms]
    # One reduction of many operands reads g once; one for each place is 7 times slower.
    add = lambda a, b: [p + q for p, q in zip(a, b, strict=True)]  # noqa: E731
    sums = jnp.stack(lax.reduce(terms, zeros, add, w.axes)).sum(1)
    return sums.reshape(*w.size, -1).astype(x.dtype)


_fast_shifted_sum.defvjp(
    lambda x, kernel, w: (_shifted_sum(x, kernel, w), (x, kernel)),
    lambda w, saved, g: (
        _input_gradient(g, saved[1], w, saved[0].shape),
        _kernel_gradient(saved[0], g, w),
    ),
)
_kernel_gradient.defvjp(
    lambda x, g, w: (_kernel_gradient(x, g, w), (x, g)),
    lambda w, saved, t: (
        _input_gradient(saved[1], t, w, saved[0].shape),
        _fast_shifted_sum(saved[0], t, w),
    ),
)


def _depthwise_by_shifts(x: jax.Array, kernel: jax.Array, how: _How) -> jax.Array:
    """`kernel`: (*size, channels · multiplier)."""
    last = how.layout[0].endswith("C")
    channel = -1 if last else 1
    size = kernel.shape[:-1]
    w = window(x, size, how.strides, how.padding, how.dilation, last)
    if kernel.shape[-1] != x.shape[channel]:
        x = jnp.repeat(x, kernel.shape[-1] // x.shape[channel], channel)
    return (_fast_shifted_sum if fast_gradients() else _shifted_sum)(x, kernel, w)


# --- which form --------------------------------------------------------------------


def _pointwise(x: jax.Array, kernel: jax.Array, strides: tuple[int, ...]) -> jax.Array:
    """A 1x1 kernel is a matrix product over all pixels at once."""
    x = x[(slice(None), *(slice(None, None, s) for s in strides))]
    rows = x.reshape(-1, x.shape[-1]) @ kernel.reshape(kernel.shape[-2:])
    return rows.reshape(*x.shape[:-1], kernel.shape[-1])


def _grouped(x: jax.Array, kernel: jax.Array, how: _How) -> jax.Array:
    channel = how.layout[0].index("C")
    pairs = zip(
        jnp.split(x, how.groups, channel), jnp.split(kernel, how.groups, -1),
        strict=True,
    )  # fmt: skip
    one = how._replace(groups=1)
    return jnp.concatenate([_convolve(x, k, one) for x, k in pairs], channel)


def _convolve(x: jax.Array, kernel: jax.Array, how: _How) -> jax.Array:
    size, last = kernel.shape[:-2], how.layout[0].endswith("C")
    if how.groups == 1 and last and volume(size) == 1:
        return _pointwise(x, kernel, how.strides)
    if on_cpu() and known(x):
        if how.groups > 1 and kernel.shape[-2] == 1 and volume(size) <= 64:
            return _depthwise_by_shifts(x, kernel.reshape(*size, -1), how)
        if 1 < how.groups <= 64:
            return _grouped(x, kernel, how)
        if how.groups == 1 and fast_gradients() and x.shape[0] > 8:
            if not distributed():
                return _chunked_conv(x, kernel, how)
    return _lax_conv(x, kernel, how)


def _check_channels(x: jax.Array, kernel: jax.Array, axis: int, of: int) -> None:
    if x.shape[axis] != kernel.shape[of]:
        raise ShapeError(
            f"conv got {x.shape[axis]} input channels, of shape {x.shape}, but the "
            f"kernel {kernel.shape} expects {kernel.shape[of]}. Check data_format."
        )


@op
def conv(
    inputs: Tensor,
    kernel: Tensor,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> Tensor:
    """Convolution over 1, 2 or 3 spatial axes.

    y[b, i, o] = sum over k, c of x[b, i·stride + k·dilation, c] kernel[k, c, o]

    Shapes: (b, …space, c), (…size, c / groups, o) -> (b, …space', o)

    >>> import numpy as np
    >>> conv(np.ones((1, 5, 5, 2)), np.ones((3, 3, 2, 4))).shape
    (1, 3, 3, 4)
    """
    x, kernel = among_floats(inputs, kernel)
    x = x.astype(kernel.dtype)
    rank, last = x.ndim - 2, channels_last(data_format)
    channels, each = x.shape[-1 if last else 1], kernel.shape[-2]
    if channels % each:
        raise ShapeError(
            f"conv got {channels} input channels, of shape {x.shape}; expected a "
            f"multiple of the {each} that the kernel {kernel.shape} reads."
        )
    how = _How(
        per_axis(strides, rank, "strides"),
        padding_name(padding),
        per_axis(dilation_rate, rank, "dilation_rate"),
        _layout(rank, last),
        channels // each,
    )
    spans = [(k - 1) * d + 1 for k, d in zip(kernel.shape, how.dilation)]
    check_fits("conv", x.shape[1:-1] if last else x.shape[2:], spans, padding)
    return _convolve(x, kernel, how)


@op
def depthwise_conv(
    inputs: Tensor,
    kernel: Tensor,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> Tensor:
    """Convolution of each channel by itself with `multiplier` kernels.

    Shapes: (b, …space, c), (…size, c, multiplier) -> (b, …space', c · multiplier)
    """
    x, kernel = among_floats(inputs, kernel)
    _check_channels(x, kernel, -1 if channels_last(data_format) else 1, -2)
    kernel = kernel.reshape(*kernel.shape[:-2], 1, -1)
    return conv(x, kernel, strides, padding, data_format, dilation_rate)


@op
def separable_conv(
    inputs: Tensor,
    depthwise_kernel: Tensor,
    pointwise_kernel: Tensor,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> Tensor:
    """A depthwise convolution, then one of size 1 that mixes the channels.

    References: Chollet 2017, arXiv:1610.02357
    """
    y = depthwise_conv(
        inputs, depthwise_kernel, strides, padding, data_format, dilation_rate
    )
    return conv(y, pointwise_kernel, data_format=data_format)


def _transpose_padding(
    size: int, stride: int, dilation: int, padding: str, extra: int | None
) -> tuple[int, int]:
    """Padding of the inflated input that gives Keras's output size."""
    span = (size - 1) * dilation + 1
    if padding == "VALID":
        extra = max(span, stride) - span if extra is None else extra
        return span - 1, span - 1 + extra
    total = stride + span - 2 if extra is None else span + span % 2 - 2 + extra
    low = min(-(-total // 2), span - 1)
    return low, total - low


@op
def conv_transpose(
    inputs: Tensor,
    kernel: Tensor,
    strides: Sizes = 1,
    padding: str = "valid",
    output_padding: Sizes | None = None,
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> Tensor:
    """The transpose of a convolution: each input spreads a kernel over the outputs.

    Shapes: (b, …space, c), (…size, o, c) -> (b, …space · stride, o) for "same"
    """
    x, kernel = among_floats(inputs, kernel)
    rank, last = x.ndim - 2, channels_last(data_format)
    _check_channels(x, kernel, -1 if last else 1, -1)
    steps = per_axis(strides, rank, "strides")
    spread = per_axis(dilation_rate, rank, "dilation_rate")
    extra: Sequence[int | None] = (None,) * rank
    if output_padding is not None:
        extra = per_axis(output_padding, rank, "output_padding", 0)
    pads = [
        _transpose_padding(k, s, d, padding_name(padding), e)
        for k, s, d, e in zip(kernel.shape[:rank], steps, spread, extra, strict=True)
    ]
    if not is_tracer(x):  # XLA would not come back from making it
        space = x.shape[1:-1] if last else x.shape[2:]
        sizes = [max(n - 1, 0) * s for n, s in zip(space, steps, strict=True)]
        ensure_room((x.shape[0], *sizes, kernel.shape[-2]), x.dtype, "An image")
    return lax.conv_transpose(
        x, kernel, steps, pads, rhs_dilation=spread,
        dimension_numbers=_layout(rank, last), transpose_kernel=True,
    )  # fmt: skip
