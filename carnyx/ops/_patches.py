"""Patches of images as rows, and blocks of pixels as channels."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from carnyx._core.op import op
from carnyx._numbers import integer
from carnyx.errors import ShapeError
from carnyx.ops._dtypes import tensor
from carnyx.ops._spatial import (
    Sizes,
    Window,
    channels_last,
    check_fits,
    per_axis,
    volume,
)
from carnyx.typing import Tensor

__all__ = ["depth_to_space", "fold", "space_to_depth", "unfold"]


def _sliding(kernel_size: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes):
    pads = tuple((p, p) for p in per_axis(padding, 2, "padding", 0))
    return Window(
        per_axis(kernel_size, 2, "kernel_size"), per_axis(stride, 2, "stride"), pads,
        per_axis(dilation, 2, "dilation"), (0, 0), axis=2,
    )  # fmt: skip


@functools.partial(jax.jit, static_argnums=1, inline=True)  # one program when eager
def _unfold(x: jax.Array, w: Window) -> jax.Array:
    views = jnp.stack(w.views(x), 2)  # n, c, place in window, h, w
    return views.reshape(x.shape[0], x.shape[1] * volume(w.size), -1)


@op
def unfold(
    x: Tensor,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """The blocks under a sliding window as columns (im2col), channels first.

    Shapes: (n, c, h, w) -> (n, c · size, blocks)
    """
    x = tensor(x)
    if x.ndim != 4:
        raise ShapeError(f"unfold got shape {x.shape}; expected (n, c, h, w).")
    w = _sliding(kernel_size, dilation, padding, stride)
    padded = [n + sum(pads) for n, pads in zip(x.shape[2:], w.pads)]
    check_fits("unfold", padded, w.spans, "valid")
    return _unfold(x, w)


@op
def fold(
    x: Tensor,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """The transpose of `unfold`: columns added up where their blocks lay.

    Shapes: (n, c · size, blocks) -> (n, c, *output_size)
    """
    x = tensor(x)
    if x.ndim != 3:
        raise ShapeError(f"fold got shape {x.shape}; expected (n, c · size, blocks).")
    w = _sliding(kernel_size, dilation, padding, stride)
    size = per_axis(output_size, 2, "output_size")
    channels = x.shape[1] // volume(w.size)
    image = jax.ShapeDtypeStruct((x.shape[0], channels, *size), x.dtype)
    columns = lambda image: _unfold(image, w)  # noqa: E731
    expected = jax.eval_shape(columns, image).shape
    if x.shape != expected:
        raise ShapeError(f"fold got shape {x.shape}; expected {expected} for {size}.")
    return jax.linear_transpose(columns, image)(x)[0]


def _images(x: Tensor, block: Any, what: str) -> tuple[jax.Array, int]:
    x, block = tensor(x), integer(block, f"{what}: block_size", 2)
    if x.ndim != 4:
        raise ShapeError(f"{what} got shape {x.shape}; expected a batch of images.")
    return x, block


def _check_divides(what: str, sizes: Sequence[Any], block: int) -> None:
    if any(isinstance(n, int) and n % block for n in sizes):
        raise ShapeError(
            f"{what} got sizes {tuple(sizes)} to divide; expected multiples of {block}."
        )


@op
def depth_to_space(
    x: Tensor, block_size: int, data_format: str = "channels_last"
) -> Tensor:
    """Channels as blocks of pixels (pixel shuffle).

    Shapes: (n, h, w, c · k²) -> (n, h · k, w · k, c)

    References: Shi et al. 2016, arXiv:1609.05158
    """
    x, k = _images(x, block_size, "depth_to_space")
    channels = x.shape[-1 if channels_last(data_format) else 1]
    _check_divides("depth_to_space", [channels], k**2)
    if channels_last(data_format):
        n, h, w, c = x.shape
        x = x.reshape(n, h, w, k, k, c // k**2).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(n, h * k, w * k, c // k**2)
    n, c, h, w = x.shape
    x = x.reshape(n, c // k**2, k, k, h, w).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(n, c // k**2, h * k, w * k)


@op
def space_to_depth(
    x: Tensor, block_size: int, data_format: str = "channels_last"
) -> Tensor:
    """Blocks of pixels as channels: the inverse of `depth_to_space`."""
    x, k = _images(x, block_size, "space_to_depth")
    space = x.shape[1:3] if channels_last(data_format) else x.shape[2:]
    _check_divides("space_to_depth", space, k)
    if channels_last(data_format):
        n, h, w, c = x.shape
        x = x.reshape(n, h // k, k, w // k, k, c).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(n, h // k, w // k, c * k**2)
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // k, k, w // k, k).transpose(0, 1, 3, 5, 2, 4)
    return x.reshape(n, c * k**2, h // k, w // k)
