"""`keras.ops.image`: colours, borders, patches; filters and warps from beside."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from carnyx._core.op import op
from carnyx._numbers import integer
from carnyx.errors import ArgumentError, ShapeError
from carnyx.ops import _filters, _warp
from carnyx.ops._dtypes import tensor, to_float
from carnyx.ops._filters import *  # noqa: F403
from carnyx.ops._spatial import (
    Sizes,
    channels_last,
    images_axes,
    per_axis,
    window,
)
from carnyx.ops._warp import *  # noqa: F403
from carnyx.typing import Tensor

__all__ = [
    *_filters.__all__,
    *_warp.__all__,
    "crop_images",
    "extract_patches",
    "extract_patches_3d",
    "hsv_to_rgb",
    "pad_images",
    "rgb_to_grayscale",
    "rgb_to_hsv",
]


def _channels(images: jax.Array, data_format: str | None, *counts: int) -> int:
    """The axis of the channels, of which there must be one of `counts`."""
    axis = images_axes(images, data_format)[2]
    if images.shape[axis] not in counts:
        raise ShapeError(
            f"Got images of shape {images.shape} with {images.shape[axis]} channels; "
            f"expected {' or '.join(map(str, counts))}."
        )
    return axis


def _float_images(images: Tensor) -> jax.Array:
    images = tensor(images)
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ArgumentError(f"Got images of dtype {images.dtype}; expected floats.")
    return images


@op
def rgb_to_grayscale(images: Tensor, data_format: str | None = None) -> Tensor:
    """0.2989 red + 0.587 green + 0.114 blue."""
    images = tensor(images)
    axis = _channels(images, data_format, 1, 3)
    if images.shape[axis] == 1:
        return images
    x = to_float(images)
    weights = jnp.array([0.2989, 0.5870, 0.1140], x.dtype)
    grey = jnp.tensordot(x, weights, (axis, 0))
    return jnp.expand_dims(grey, axis).astype(images.dtype)


@op
def rgb_to_hsv(images: Tensor, data_format: str | None = None) -> Tensor:
    """Hue, saturation and value in [0, 1] from red, green and blue in [0, 1]."""
    images = _float_images(images)
    axis = _channels(images, data_format, 3)
    x = jnp.where(jnp.abs(images) < jnp.finfo(images.dtype).eps, 0, images)
    r, g, b = jnp.moveaxis(x, axis, 0)
    value = jnp.maximum(jnp.maximum(r, g), b)
    spread = value - jnp.minimum(jnp.minimum(r, g), b)
    some = spread > 0
    safe = jnp.where(some, spread, 1)
    # Each of the largest colour's sixths of the circle, from where the second stands.
    # The colours are compared with each other: computed again, none need equal `value`.
    hue = jnp.where(g >= b, 2 + (b - r) / safe, 4 + (r - g) / safe)
    hue = jnp.where((r >= g) & (r >= b), (g - b) / safe, hue) / 6
    hue = jnp.where(some, jnp.where(hue < 0, hue + 1, hue), 0)
    saturation = jnp.where(value > 0, spread / jnp.where(value > 0, value, 1), 0)
    return jnp.stack([hue, saturation, value], axis)


@op
def hsv_to_rgb(images: Tensor, data_format: str | None = None) -> Tensor:
    """Red, green and blue from hue, saturation and value, all in [0, 1]."""
    images = _float_images(images)
    axis = _channels(images, data_format, 3)
    hue, saturation, value = jnp.moveaxis(images, axis, 0)
    h = hue % 1 * 6
    pure = jnp.abs(h - 3) - 1, 2 - jnp.abs(h - 2), 2 - jnp.abs(h - 4)
    mixed = [value * (1 - saturation * (1 - jnp.clip(p, 0, 1))) for p in pure]
    return jnp.stack(mixed, axis)


def _border(
    name: str, n: int, before: int | None, after: int | None, target: int | None,
    sign: int,
) -> tuple[int, int]:  # fmt: skip
    """What to add (sign 1) or cut (-1) before and after: two are given of the three."""
    if [before, after, target].count(None) != 1:
        raise ArgumentError(
            f"{name} got before={before}, after={after}, target={target}; expected "
            "exactly two of them."
        )
    change = 0 if target is None else sign * (target - n)
    before = change - after if before is None else before  # type: ignore[operator]
    after = change - before if after is None else after
    size = n + sign * (before + after)
    if min(before, after, size) < 0:
        raise ArgumentError(
            f"{name} got {n} pixels, {before} before, {after} after, {size} in the "
            "end; expected none to be negative."
        )
    return before, after


@op
def pad_images(
    images: Tensor,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Tensor:
    """Zeros around images; for each direction two of before, after, target."""
    x = tensor(images)
    rows, columns, _ = images_axes(x, data_format)
    pads = [(0, 0)] * x.ndim
    pads[rows] = _border(
        "Vertical padding", x.shape[rows], top_padding, bottom_padding, target_height, 1
    )
    pads[columns] = _border(
        "Horizontal padding", x.shape[columns], left_padding, right_padding,
        target_width, 1,
    )  # fmt: skip
    return jnp.pad(x, pads)


@op
def crop_images(
    images: Tensor,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Tensor:
    """The inner part of images; for each direction two of before, after, target."""
    x = tensor(images)
    rows, columns, _ = images_axes(x, data_format)
    top, bottom = _border(
        "Vertical cropping", x.shape[rows], top_cropping, bottom_cropping,
        target_height, -1,
    )  # fmt: skip
    left, right = _border(
        "Horizontal cropping", x.shape[columns], left_cropping, right_cropping,
        target_width, -1,
    )  # fmt: skip
    for axis, cut in ((rows, top + bottom), (columns, left + right)):
        if isinstance(x.shape[axis], int) and isinstance(cut, int):
            integer(x.shape[axis] - cut, f"crop_images: size of axis {axis}", 1)
    at = [slice(None)] * x.ndim
    at[rows] = slice(top, x.shape[rows] - bottom)
    at[columns] = slice(left, x.shape[columns] - right)
    return x[tuple(at)]


def _patches(
    images: Tensor, size: Sequence[int], strides: Sizes | None, dilation: Sizes,
    padding: str, data_format: str | None,
) -> jax.Array:  # fmt: skip
    """What a window sees as channels: (place in the window, channel), flattened."""
    x, rank = tensor(images), len(size)
    if x.ndim not in (rank + 1, rank + 2):
        raise ShapeError(
            f"Got images of shape {x.shape}; expected rank {rank + 1} (one) or "
            f"{rank + 2} (a batch)."
        )
    last, batched = channels_last(data_format), x.ndim == rank + 2
    x = x if batched else x[None]
    w = window(x, size, size if strides is None else strides, padding, dilation, last)
    out = jnp.concatenate(w.views(x), -1 if last else 1)
    return out if batched else out[0]


@op
def extract_patches(
    images: Tensor,
    size: Sizes,
    strides: Sizes | None = None,
    dilation_rate: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Patches of images (or, for a size of 3 numbers, of volumes) as channels.

    Shapes: (…, h, w, c) -> (…, rows, columns, size · c)

    >>> extract_patches(jnp.ones((1, 4, 4, 3)), 2).shape
    (1, 2, 2, 12)
    """
    rank = len(size) if isinstance(size, list | tuple) else 2
    if rank not in (2, 3):
        raise ArgumentError(f"size got {size}; expected an int, 2 or 3 of them.")
    sizes = per_axis(size, rank, "extract_patches: size")
    return _patches(images, sizes, strides, dilation_rate, padding, data_format)


@op
def extract_patches_3d(
    volumes: Tensor,
    size: Sizes,
    strides: Sizes | None = None,
    dilation_rate: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Patches of volumes as channels.

    Shapes: (…, d, h, w, c) -> (…, planes, rows, columns, size · c)
    """
    sizes = per_axis(size, 3, "size")
    return _patches(volumes, sizes, strides, dilation_rate, padding, data_format)
