"""`keras.ops.image`: colours, borders; filters, patches and warps from beside."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from carnyx._core.op import op
from carnyx._numbers import integer
from carnyx.errors import ArgumentError, ShapeError
from carnyx.ops import _filters, _image_patches, _warp
from carnyx.ops._dtypes import tensor, to_float
from carnyx.ops._filters import *  # noqa: F403
from carnyx.ops._image_patches import *  # noqa: F403
from carnyx.ops._spatial import images_axes
from carnyx.ops._warp import *  # noqa: F403
from carnyx.typing import Tensor

__all__ = [
    *_filters.__all__,
    *_image_patches.__all__,
    *_warp.__all__,
    "crop_images",
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
