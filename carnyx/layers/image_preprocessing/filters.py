"""Neighbours of pixels weighed: sharper or softer images, and patches erased."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carnyx import ops, random
from carnyx._numbers import REFUSED, as_integer
from carnyx.config import standardize_data_format
from carnyx.configurable import field
from carnyx.layers.image_preprocessing.arguments import drawn_from, pixel_range
from carnyx.layers.image_preprocessing.base import Transformation
from carnyx.layers.image_preprocessing.batch import Batch
from carnyx.layers.image_preprocessing.colors import Colours
from carnyx.layers.image_preprocessing.patches import inside, patch
from carnyx.typing import Tensor


class RandomSharpness(Colours):
    """In training x + (1 - 2 f) · (smoothed x - x).

    Args:
        factor: f is drawn from (0, factor), or from the two given: 0 smooths, 0.5
            changes nothing, 1 makes edges sharper.

    Shapes: (h, w, c) or (b, h, w, c) -> the same
    """

    factor: Any = drawn_from(0, 1)
    value_range: Any = pixel_range()
    data_format: Any = field(None, standardize_data_format)
    seed: Any = field(None)

    def _drawn(self, batch: Batch) -> Transformation:
        return {"factor": batch.uniform(*self.factor)}

    def _changed(self, images: Tensor, how: Transformation, _: str) -> Tensor:
        axes = (1, 2) if self.data_format == "channels_last" else (2, 3)
        sums = images
        for axis in axes:  # of 3 × 3 pixels, none beyond the border
            before, after = _shifted(sums, axis, 1), _shifted(sums, axis, -1)
            sums = before + sums + after
        smooth = (sums + 4 * images) / 13
        amount = 2 * ops.cast(how["factor"], images.dtype)[:, None, None, None]
        return self._within_range(images + (1 - amount) * (smooth - images))


def _shifted(x: Tensor, axis: int, by: int) -> Tensor:
    """Moved by one pixel; zeros come in."""
    pads = [(0, 0)] * len(x.shape)
    pads[axis] = (1, 0) if by > 0 else (0, 1)
    at = [slice(None)] * len(x.shape)
    at[axis] = slice(None, -1) if by > 0 else slice(1, None)
    return ops.pad(x[tuple(at)], pads)


def _odd_sizes(value: object) -> str | None:
    sizes = [
        as_integer(v) for v in (value if isinstance(value, list | tuple) else [value])
    ]
    good = len(sizes) <= 2 and all(n is not REFUSED and n > 0 and n % 2 for n in sizes)
    return None if good else "an odd integer, or two (across, down)"


class RandomGaussianBlur(Colours):
    """In training smooths images by a Gaussian kernel.

    Args:
        factor: the probability of an image is drawn from (0, factor), or between two.
        kernel_size: an odd number, or two: across, down.
        sigma: deviations, across and down, are drawn from (0, sigma), or between two.

    Shapes: (h, w, c) or (b, h, w, c) -> the same
    """

    factor: Any = drawn_from(0, 1, 1.0)
    kernel_size: Any = field(
        3,
        lambda n: tuple(map(int, n)) if isinstance(n, list | tuple) else (int(n),) * 2,
        check=_odd_sizes,
    )
    sigma: Any = drawn_from(0, 1, 1.0)
    value_range: Any = pixel_range()
    data_format: Any = field(None, standardize_data_format)
    seed: Any = field(None)

    def _drawn(self, batch: Batch) -> Transformation:
        sigma = random.uniform((2,), *self.sigma, batch.dtype, batch.seed)
        chosen = batch.chosen(self.factor)
        return {"should_apply_blur": chosen, "blur_factor": sigma + 1e-6}

    def _changed(self, images: Tensor, how: Transformation, _: str) -> Tensor:
        sigma, chosen = how["blur_factor"], how["should_apply_blur"]
        blurred = ops.image.gaussian_blur(
            images, self.kernel_size, (sigma[0], sigma[1]), self.data_format
        )
        chosen = chosen[:, None, None, None]
        return self._within_range(ops.where(chosen, blurred, images))


def _fill(value: object) -> str | None:
    many = value if isinstance(value, list | tuple) else [value]
    three = many is value and len(many) == 3
    good = (three or many is not value) and not any(isinstance(v, str) for v in many)
    return None if good else "a number, three numbers, or None for noise"


class RandomErasing(Colours):
    """In training puts noise, or a colour, in place of a rectangle.

    Args:
        factor: the probability of an image is drawn from (0, factor), or between two.
        scale: the squares of the sides, as fractions of the image's, are drawn from it.
        fill_value: a number, a colour of three, or None for normal noise.

    Shapes: (h, w, c) or (b, h, w, c) -> the same
    References: arXiv:1708.04896
    """

    factor: Any = drawn_from(0, 1, 1.0)
    scale: Any = drawn_from(0, 1, (0.02, 0.33))
    fill_value: float | Sequence[float] | None = field(None, check=_fill)
    value_range: Any = pixel_range()
    seed: Any = field(None)
    data_format: Any = field(None, standardize_data_format)

    def _drawn(self, batch: Batch) -> Transformation:
        sides = ops.sqrt(batch.uniform(*self.scale, 2))
        rectangle = patch(batch, sides[:, 0], sides[:, 1])
        return {
            "apply_erasing": batch.chosen(self.factor),
            "batch_masks": inside(batch, rectangle, self.data_format),
            "fill_value": self._within_range(self._filling(batch)),
        }

    def _filling(self, batch: Batch) -> Tensor:
        if self.fill_value is None:
            shape = batch.shape if len(batch.shape) == 4 else (1, *batch.shape)
            return self.value_range[1] * random.normal(
                shape, dtype=batch.dtype, seed=batch.seed
            )
        colour = ops.convert_to_tensor(self.fill_value, batch.dtype)
        alone = not colour.shape or self.data_format == "channels_last"
        return colour if alone else colour[:, None, None]

    def _changed(self, images: Tensor, how: Transformation, _: str) -> Tensor:
        chosen = how["apply_erasing"][:, None, None, None]
        chosen = ops.logical_and(chosen, how["batch_masks"])
        return ops.where(chosen, how["fill_value"], images)


__all__ = ["RandomErasing", "RandomGaussianBlur", "RandomSharpness"]
