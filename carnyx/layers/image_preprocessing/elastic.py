"""Pixels moved each by itself, neighbours alike."""

from __future__ import annotations

from typing import Any

from carnyx import ops, random
from carnyx._core.seed import draw_seed
from carnyx.config import standardize_data_format
from carnyx.configurable import field
from carnyx.layers.image_preprocessing.arguments import (
    INTERPOLATION,
    drawn_from,
    known,
    pixel_range,
)
from carnyx.layers.image_preprocessing.augmentation import Augmentation
from carnyx.layers.image_preprocessing.base import Transformation
from carnyx.layers.image_preprocessing.batch import Batch
from carnyx.ops._warp import moved_by_noise
from carnyx.typing import Tensor

_FILLS = known("fill_mode", "constant", "nearest", "wrap", "mirror", "reflect")


class RandomElasticTransform(Augmentation):
    """In training moves pixels by a smooth random field.

    Args:
        factor: the probability of an image is drawn from (0, factor), or between two.
        scale: f is drawn from (0, scale), or between two: the field has a strength of
            f / 10 of the longer side, a smoothness of f / 20 of the shorter one.
        interpolation: `"bilinear"` or `"nearest"`.
        fill_mode, fill_value: what lies beyond the border, as of
            `ops.image.elastic_transform`.

    Shapes: (h, w, c) or (b, h, w, c) -> the same
    References: Simard, Steinkraus & Platt 2003, doi:10.1109/ICDAR.2003.1227801
    """

    factor: Any = drawn_from(0, 1, 1.0)
    scale: Any = drawn_from(0, 1, 1.0)
    interpolation: Any = field("bilinear", INTERPOLATION)
    fill_mode: Any = field("reflect", _FILLS)
    fill_value: float = field(0.0)
    value_range: Any = pixel_range()
    seed: Any = field(None)
    data_format: Any = field(None, standardize_data_format)

    def _drawn(self, batch: Batch) -> Transformation:
        if self.scale[1] == 0 or self.factor[1] == 0:
            return None
        return {
            "apply_transform": batch.chosen(self.factor),
            "distortion_factor": random.uniform(
                (), *self.scale, batch.dtype, batch.seed
            ),
            "seed": draw_seed(batch.seed),  # the field is the same for masks
        }

    def _changed(
        self, images: Tensor, how: Transformation, interpolation: str
    ) -> Tensor:
        shape, factor = images.shape, how["distortion_factor"]
        height, width = shape[1:3] if self.data_format == "channels_last" else shape[2:]
        short = 0.05 * min(height, width)
        moved = moved_by_noise(
            images, 0.1 * factor * max(height, width), factor * short,
            int(6 * short * self.scale[1]) | 1, draw_seed(how["seed"]), interpolation,
            self.fill_mode, self.fill_value, self.data_format,
        )  # fmt: skip
        chosen = how["apply_transform"][:, None, None, None]
        return ops.where(chosen, moved, images)

    def transform_images(
        self,
        images: Tensor,
        transformation: Transformation = None,
        training: bool = True,
    ) -> Tensor:
        images = super().transform_images(images, transformation, training)
        if not training or transformation is None:
            return images
        return ops.clip(images, *self.value_range)


__all__ = ["RandomElasticTransform"]
