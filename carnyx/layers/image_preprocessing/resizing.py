"""Images of another size by interpolation."""

from __future__ import annotations

from typing import Any

from carnyx import ops
from carnyx.config import standardize_data_format
from carnyx.configurable import field, one_of, positive
from carnyx.errors import ArgumentError
from carnyx.layers.image_preprocessing.base import Boxes, Transformation
from carnyx.layers.image_preprocessing.sizes import Sized
from carnyx.ops._boxes import Corners
from carnyx.typing import Tensor

_WAYS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")


class Resizing(Sized):
    """Images of size (height, width), by interpolation; integers stay integers.

    Args:
        interpolation: bilinear, nearest, bicubic, lanczos3 or lanczos5.
        crop_to_aspect_ratio: cut the longer side first, at both ends.
        pad_to_aspect_ratio: pad the shorter side first with `fill_value`.
        antialias: smooth what is made smaller.

    Shapes: (h, w, c) or (b, h, w, c) -> (…, height, width, c)

    >>> import numpy as np
    >>> Resizing(2, 3)(np.ones((4, 4, 1))).shape
    (2, 3, 1)
    """

    height: int = field(check=positive)
    width: int = field(check=positive)
    interpolation: Any = field("bilinear", check=one_of(*_WAYS))
    crop_to_aspect_ratio: bool = field(False)
    pad_to_aspect_ratio: bool = field(False)
    fill_mode: Any = field("constant", check=one_of("constant"))
    fill_value: float = field(0.0)
    antialias: bool = field(False, bool)
    data_format: Any = field(None, standardize_data_format)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            raise ArgumentError(
                "Resizing got crop_to_aspect_ratio and pad_to_aspect_ratio; expected "
                "one of them at most."
            )

    def _resized(self, images: Tensor, interpolation: str) -> Tensor:
        return ops.image.resize(
            images, (self.height, self.width), interpolation, self.antialias,
            self.crop_to_aspect_ratio, self.pad_to_aspect_ratio, self.fill_mode,
            self.fill_value, self.data_format,
        )  # fmt: skip

    def transform_images(
        self,
        images: Tensor,
        transformation: Transformation = None,
        training: bool = True,
    ) -> Tensor:
        return self._resized(images, self.interpolation)

    def transform_segmentation_masks(
        self,
        segmentation_masks: Tensor,
        transformation: Transformation = None,
        training: bool = True,
    ) -> Tensor:
        return self._resized(segmentation_masks, "nearest")

    def transform_bounding_boxes(
        self,
        bounding_boxes: Boxes,
        transformation: Transformation,
        training: bool = True,
    ) -> Boxes:
        """Boxes of nothing but 0, or -1, are padding and become 0."""
        boxes = ops.convert_to_tensor(bounding_boxes["boxes"])
        padding = ops.logical_or(
            ops.all(boxes == -1, -1, True), ops.all(boxes == 0, -1, True)
        )
        (sx, dx), (sy, dy) = self._placed(*transformation)

        def place(at: Corners) -> Corners:
            return Corners(
                at.x1 * sx + dx, at.y1 * sy + dy, at.x2 * sx + dx, at.y2 * sy + dy
            )

        out = self._converted(bounding_boxes, transformation, place)
        return out | {"boxes": ops.where(padding, 0.0, out["boxes"])}

    def _placed(self, height: int, width: int) -> list[tuple[float, float]]:
        """Scale and shift of x and of y."""
        scales = [self.width / width, self.height / height]
        if self.pad_to_aspect_ratio:
            scales = [min(scales)] * 2
        elif self.crop_to_aspect_ratio:
            scales = [max(scales)] * 2
        else:
            return [(scale, 0.0) for scale in scales]
        sizes = ((width, self.width), (height, self.height))
        return [
            (scale, float((new - old * scale) // 2))
            if self.pad_to_aspect_ratio
            else (scale, -float((old * scale - new) // 2))
            for scale, (old, new) in zip(scales, sizes, strict=True)
        ]


__all__ = ["Resizing"]
