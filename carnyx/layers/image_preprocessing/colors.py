"""Colours of pixels, each changed by itself; boxes and masks stay."""

from __future__ import annotations

from typing import Any

from carnyx import ops, random
from carnyx.config import standardize_data_format
from carnyx.configurable import field, fraction
from carnyx.layers.image_preprocessing.arguments import (
    both_ways,
    drawn_from,
    just,
    pixel_range,
)
from carnyx.layers.image_preprocessing.augmentation import Augmentation, Untouched
from carnyx.layers.image_preprocessing.base import Transformation, rescaled
from carnyx.layers.image_preprocessing.batch import Batch
from carnyx.typing import Tensor


class Colours(Untouched, Augmentation):
    """Base: pixels change, and stay within `value_range`."""

    value_range: Any = pixel_range()

    def _within_range(self, images: Tensor) -> Tensor:
        return ops.clip(images, *self.value_range)


class RandomBrightness(Colours):
    """In training x + d · (high - low), cut to the range (low, high) of pixels.

    Args:
        factor: d is drawn from (-factor, factor), or from the two given.

    Shapes: (h, w, c) or (b, h, w, c) -> the same

    >>> import numpy as np
    >>> float(RandomBrightness((0.5, 0.5))(np.zeros((2, 2, 3))).max())
    127.5
    """

    factor: Any = drawn_from(-1, 1, number=both_ways)
    value_range: Any = pixel_range()
    seed: Any = field(None)

    def _drawn(self, batch: Batch) -> Transformation:
        low, high = self.value_range
        return {"rgb_delta": batch.uniform(*self.factor, 1, 1, 1) * (high - low)}

    def _changed(self, images: Tensor, how: Transformation, _: str) -> Tensor:
        return self._within_range(images + how["rgb_delta"])


class RandomContrast(Colours):
    """In training (x - mean) · f + mean, by the mean of each channel of each image.

    Args:
        factor: f is drawn from (1 - factor, 1 + factor); of two, (1 - a, 1 + b).

    Shapes: (h, w, c) or (b, h, w, c) -> the same
    """

    factor: Any = drawn_from(0, 1, number=just)
    value_range: Any = pixel_range()
    seed: Any = field(None)

    def _drawn(self, batch: Batch) -> Transformation:
        below, above = self.factor
        return {"contrast_factor": batch.uniform(1 - below, 1 + above, 1, 1, 1)}

    def _changed(self, images: Tensor, how: Transformation, _: str) -> Tensor:
        last = self.data_format == "channels_last"
        mean = ops.mean(images, (1, 2) if last else (2, 3), keepdims=True)
        return self._within_range((images - mean) * how["contrast_factor"] + mean)


class RandomColorDegeneration(Colours):
    """In training x + f · (grey - x): colours towards grey.

    Args:
        factor: f is drawn from (0, factor), or from the two given; 1 is grey.

    Shapes: (h, w, 3) or (b, h, w, 3) -> the same
    """

    factor: Any = drawn_from(-1, 1)
    value_range: Any = pixel_range()
    data_format: Any = field(None, standardize_data_format)
    seed: Any = field(None)

    def _drawn(self, batch: Batch) -> Transformation:
        return {"factor": batch.uniform(*self.factor, 1, 1, 1)}

    def _changed(self, images: Tensor, how: Transformation, _: str) -> Tensor:
        grey = ops.image.rgb_to_grayscale(images, self.data_format)
        return self._within_range(images + how["factor"] * (grey - images))


class RandomGrayscale(Untouched, Augmentation):
    """In training makes images grey, each with probability `factor`.

    Shapes: (h, w, 3) or (b, h, w, 3) -> the same
    """

    factor: float = field(0.5, check=fraction)
    data_format: Any = field(None, standardize_data_format)
    seed: Any = field(None)

    def _drawn(self, batch: Batch) -> Transformation:
        return batch.uniform(0, 1, 1, 1, 1) < self.factor

    def _changed(self, images: Tensor, how: Transformation, _: str) -> Tensor:
        grey = ops.image.rgb_to_grayscale(images, self.data_format)
        return ops.where(how, grey, images)


class RandomInvert(Colours):
    """In training low + high - x, for the range (low, high) of pixels.

    Args:
        factor: the probability of an image is drawn from (0, factor), or between two.

    Shapes: (h, w, c) or (b, h, w, c) -> the same
    """

    factor: Any = drawn_from(0, 1, 1.0)
    value_range: Any = pixel_range()
    seed: Any = field(None)
    data_format: Any = field(None, standardize_data_format)

    def _drawn(self, batch: Batch) -> Transformation:
        return {"apply_inversion": batch.chosen(self.factor)}

    def _changed(self, images: Tensor, how: Transformation, _: str) -> Tensor:
        chosen = how["apply_inversion"][:, None, None, None]
        return ops.where(chosen, sum(self.value_range) - images, images)


class RandomPosterization(Colours):
    """In training keeps the first bits only of each channel's 8.

    Args:
        factor: how many bits, 1 to 8; of two numbers, drawn from the first to the last.

    Shapes: (h, w, c) or (b, h, w, c) -> the same
    References: arXiv:1805.09501, arXiv:1909.13719
    """

    factor: Any = drawn_from(1, 8, number=just)
    value_range: Any = pixel_range()
    data_format: Any = field(None, standardize_data_format)
    seed: Any = field(None)

    def _drawn(self, batch: Batch) -> Transformation:
        least, most = map(int, self.factor)
        bits = random.randint((batch.size,), least, most + 1, "uint8", batch.seed)
        return {"shift_factor": 8 - bits}

    def _changed(self, images: Tensor, how: Transformation, _: str) -> Tensor:
        shift = ops.cast(how["shift_factor"], "int32")[:, None, None, None]
        pixels = rescaled(images, self.value_range, (0, 255), self.compute_dtype)
        kept = ops.cast(ops.clip(pixels, 0, 255), "int32") >> shift << shift
        kept = ops.cast(kept, self.compute_dtype)
        return rescaled(kept, (0, 255), self.value_range, self.compute_dtype)


class Solarization(Colours):
    """In training (x + a), and 255 minus that where it is above a threshold.

    Args:
        addition_factor, threshold_factor: 255 · f is added, is the threshold; f drawn
            from (0, factor), or between two.
        value_range: the range of pixels, in which 255 is the highest.

    Shapes: (h, w, c) or (b, h, w, c) -> the same
    """

    addition_factor: Any = drawn_from(0, 1, 0.0, strict=True)
    threshold_factor: Any = drawn_from(0, 1, 0.0, strict=True)
    value_range: Any = pixel_range()
    seed: Any = field(None)

    def _drawn(self, batch: Batch) -> Transformation:
        def one(low: float, high: float) -> Tensor:
            return batch.uniform(255 * low, 255 * high, 1, 1, 1)

        return {
            "additions": one(*self.addition_factor),
            "thresholds": one(*self.threshold_factor),
        }

    def _changed(self, images: Tensor, how: Transformation, _: str) -> Tensor:
        pixels = rescaled(images, self.value_range, (0, 255), self.compute_dtype)
        x = ops.clip(pixels + how["additions"], 0, 255)
        x = ops.where(x < how["thresholds"], x, 255 - x)
        return rescaled(x, (0, 255), self.value_range, self.compute_dtype)


__all__ = [
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomContrast",
    "RandomGrayscale",
    "RandomInvert",
    "RandomPosterization",
    "Solarization",
]
