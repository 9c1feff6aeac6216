"""Pixels by their rank: contrast from how often each value occurs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from carnyx import ops
from carnyx.config import standardize_data_format
from carnyx.configurable import field, positive
from carnyx.layers.image_preprocessing.arguments import pixel_range
from carnyx.layers.image_preprocessing.augmentation import Always, Untouched, on_batch
from carnyx.layers.image_preprocessing.base import Transformation, rescaled
from carnyx.layers.image_preprocessing.tiles import equalized_in_tiles
from carnyx.typing import Tensor


class _Contrast(Untouched, Always):
    """Base: the same in training and prediction, for each channel of each image."""

    value_range: Any = pixel_range()

    def transform_images(
        self,
        images: Tensor,
        transformation: Transformation = None,
        training: bool = True,
    ) -> Tensor:
        images = ops.cast(images, self.compute_dtype)
        out = on_batch(self._of_batch, images)
        return ops.cast(out, self.compute_dtype)

    def _of_batch(self, images: Tensor) -> Tensor:
        """In planes (b, c, h, w), of pixels from 0 to 255."""
        last = self.data_format == "channels_last"
        planes = ops.moveaxis(images, -1, 1) if last else images
        x = rescaled(planes, self.value_range, (0, 255), self.compute_dtype)
        out = rescaled(self._of_planes(x), (0, 255), self.value_range, images.dtype)
        return ops.moveaxis(out, 1, -1) if last else out

    def _of_planes(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class AutoContrast(_Contrast):
    """Stretches each channel of each image to the whole range of pixels.

    Args:
        value_range: the range of pixels.

    Shapes: (h, w, c) or (b, h, w, c) -> the same

    >>> import numpy as np
    >>> AutoContrast()(np.array([[[10.0], [20.0], [30.0]]])).ravel().tolist()
    [0.0, 127.5, 255.0]
    """

    value_range: Any = pixel_range()

    def _of_planes(self, x: Tensor) -> Tensor:
        low, high = ops.amin(x, (2, 3), True), ops.amax(x, (2, 3), True)
        some = high > low
        scale = 255 / ops.where(some, high - low, 1)
        return ops.where(some, ops.clip((x - low) * scale, 0, 255), x)


class Equalization(_Contrast):
    """Makes all values of each channel of each image about equally frequent.

    Args:
        value_range: the range of pixels.
        bins: how many values are told apart.

    Shapes: (h, w, c) or (b, h, w, c) -> the same
    """

    value_range: Any = pixel_range()
    bins: int = field(256, check=positive)
    data_format: Any = field(None, standardize_data_format)

    def _of_planes(self, x: Tensor) -> Tensor:
        flat = ops.reshape(x, (*x.shape[:2], -1))
        return ops.reshape(jax.vmap(jax.vmap(self._of_channel))(flat), x.shape)

    def _of_channel(self, x: jax.Array) -> jax.Array:
        top = self.bins - 1
        place = jnp.clip((x.astype("float32") * top / 255).astype("int32"), 0, top)
        below = jnp.cumsum(jnp.bincount(place, length=self.bins))
        least = below[jnp.argmax(below > 0)]
        others = below[-1] - least
        table = (below - least) * (255 / jnp.maximum(others, 1).astype("float32"))
        table = jnp.clip(jnp.round(table), 0, 255).astype(x.dtype)
        return jnp.where(others > 0, table[place], x)


def _grid(value: Any) -> str | None:
    good = isinstance(value, list | tuple) and len(value) == 2
    good = good and all(positive(n) is None for n in value)
    return None if good else "two integers above 0: tiles down, across"


class ContrastLimitedAdaptiveHistogramEqualization(_Contrast):
    """Equalizes by the histograms of tiles, of which none may steepen much (CLAHE).

    Args:
        value_range: the range of pixels.
        clip_limit: how often a value counts at most, in multiples of the average; 0
            for no limit.
        tile_grid_size: tiles down and across.

    Shapes: (h, w, c) or (b, h, w, c) -> the same
    References: Zuiderveld 1994, doi:10.1016/B978-0-12-336156-1.50061-6
    """

    value_range: Any = pixel_range()
    clip_limit: float = field(4.0)
    tile_grid_size: Any = field((8, 8), tuple, check=_grid)
    data_format: Any = field(None, standardize_data_format)

    def _of_planes(self, x: Tensor) -> Tensor:
        return equalized_in_tiles(x, self.tile_grid_size, self.clip_limit)


__all__ = [
    "AutoContrast",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "Equalization",
]
