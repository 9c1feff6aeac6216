"""Rectangles of images, as masks."""

from __future__ import annotations

from typing import NamedTuple

from carnyx import ops
from carnyx.layers.image_preprocessing.batch import Batch
from carnyx.typing import Tensor


class Rectangle(NamedTuple):
    """Edges in pixels, one of each for every image."""

    x1: Tensor
    x2: Tensor
    y1: Tensor
    y2: Tensor


def patch(batch: Batch, wide: Tensor, high: Tensor) -> Rectangle:
    """A rectangle somewhere in each image; sides are fractions of the image's."""
    wide, high = wide * batch.width, high * batch.height
    x = batch.uniform(0, 1) * (batch.width - wide)
    y = batch.uniform(0, 1) * (batch.height - high)
    return Rectangle(x, x + wide, y, y + high)


def inside(batch: Batch, rectangle: Rectangle, data_format: str) -> Tensor:
    """Which pixels lie in it: (b, h, w, 1), or (b, 1, h, w)."""
    x1, x2, y1, y2 = (v[:, None] for v in rectangle)
    x, y = ops.arange(batch.width), ops.arange(batch.height)
    columns = ops.logical_and(x >= x1, x < x2)[:, None, :]
    rows = ops.logical_and(y >= y1, y < y2)[:, :, None]
    both = ops.logical_and(rows, columns)
    return both[..., None] if data_format == "channels_last" else both[:, None]
