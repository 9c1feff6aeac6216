"""Hue and saturation, and all colours at once."""

from __future__ import annotations

from typing import Any

from carnyx import config, ops
from carnyx.config import standardize_data_format
from carnyx.configurable import field
from carnyx.layers.image_preprocessing.arguments import Factor, drawn_from, pixel_range
from carnyx.layers.image_preprocessing.augmentation import Augmentation
from carnyx.layers.image_preprocessing.base import Transformation, rescaled
from carnyx.layers.image_preprocessing.batch import Batch
from carnyx.layers.image_preprocessing.colors import (
    Colours,
    RandomBrightness,
    RandomContrast,
)
from carnyx.typing import Tensor


class _Hsv(Colours):
    """Base: hue, saturation and value change, each in [0, 1]."""

    def _changed(self, images: Tensor, how: Transformation, _: str) -> Tensor:
        axis = -1 if self.data_format == "channels_last" else -3
        x = rescaled(images, self.value_range, (0, 1), self.compute_dtype)
        hsv = ops.split(ops.image.rgb_to_hsv(x, self.data_format), 3, axis)
        amount = ops.cast(how["factor"], x.dtype)[:, None, None, None]
        x = ops.concatenate(self._moved(hsv, amount), axis)
        x = ops.clip(ops.image.hsv_to_rgb(x, self.data_format), 0, 1)
        return rescaled(x, (0, 1), self.value_range, self.compute_dtype)

    def _moved(self, hsv: list[Tensor], amount: Tensor) -> list[Tensor]:
        raise NotImplementedError


class RandomHue(_Hsv):
    """In training turns the hue by f / 2 of the circle, one way or the other.

    Args:
        factor: f is drawn from (0, factor), or from the two given.

    Shapes: (h, w, 3) or (b, h, w, 3) -> the same
    """

    factor: Any = drawn_from(0, 1)
    value_range: Any = pixel_range()
    data_format: Any = field(None, standardize_data_format)
    seed: Any = field(None)

    def _drawn(self, batch: Batch) -> Transformation:
        return {"factor": 0.5 * batch.signs() * batch.uniform(*self.factor)}

    def _moved(self, hsv: list[Tensor], amount: Tensor) -> list[Tensor]:
        return [(hsv[0] + amount) % 1, *hsv[1:]]


class RandomSaturation(_Hsv):
    """In training multiplies the saturation by f / (1 - f).

    Args:
        factor: f is drawn from (0, factor), or from the two given: 0 is grey, 0.5
            changes nothing, 1 makes colours as pure as they can be.

    Shapes: (h, w, 3) or (b, h, w, 3) -> the same
    """

    factor: Any = drawn_from(-1, 1)
    value_range: Any = pixel_range()
    data_format: Any = field(None, standardize_data_format)
    seed: Any = field(None)

    def _drawn(self, batch: Batch) -> Transformation:
        f = batch.uniform(*self.factor)
        return {"factor": f / (1 - f + config.epsilon())}

    def _moved(self, hsv: list[Tensor], amount: Tensor) -> list[Tensor]:
        hue, saturation, value = hsv
        return [hue, ops.clip(saturation * amount, 0, 1), value]


_PARTS = {
    "brightness": RandomBrightness,
    "contrast": RandomContrast,
    "saturation": RandomSaturation,
    "hue": RandomHue,
}


class RandomColorJitter(Colours):
    """In training brightness, contrast, saturation and hue, one after the other.

    Args:
        brightness_factor, contrast_factor, saturation_factor, hue_factor: as of the
            layers `RandomBrightness` and so on; None leaves one out.

    Shapes: (h, w, 3) or (b, h, w, 3) -> the same
    """

    value_range: Any = pixel_range()
    brightness_factor: Factor | None = field(None)
    contrast_factor: Factor | None = field(None)
    saturation_factor: Factor | None = field(None)
    hue_factor: Factor | None = field(None)
    seed: Any = field(None)
    data_format: Any = field(None, standardize_data_format)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in _PARTS:
            setattr(self, f"random_{name}", self._part(name))

    def _part(self, name: str) -> Augmentation | None:
        amount = getattr(self, f"{name}_factor")
        if amount is None:
            return None
        return _PARTS[name](
            amount, self.value_range, seed=self.seed, data_format=self.data_format,
            dtype=self.dtype_policy,
        )  # fmt: skip

    def _parts(self) -> dict[str, Augmentation]:
        parts = {name: getattr(self, f"random_{name}") for name in _PARTS}
        return {name: part for name, part in parts.items() if part is not None}

    def _drawn(self, batch: Batch) -> Transformation:
        parts = self._parts().items()
        return {name: part._drawn(batch) for name, part in parts}

    def _changed(self, images: Tensor, how: Transformation, _: str) -> Tensor:
        for name, part in self._parts().items():
            images = part._changed(images, how[name], part.interpolation)
        return images


__all__ = ["RandomColorJitter", "RandomHue", "RandomSaturation"]
