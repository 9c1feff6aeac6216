"""As many bounding boxes for each image as for any other."""

from __future__ import annotations

from carnyx import ops
from carnyx.configurable import field, positive
from carnyx.layers.image_preprocessing.augmentation import Always, Untouched
from carnyx.layers.image_preprocessing.base import Boxes, Transformation
from carnyx.typing import Tensor


class MaxNumBoundingBoxes(Untouched, Always):
    """The first `max_number` boxes of each image, or as many with `fill_value`s.

    Args:
        fill_value: of the coordinates and labels of boxes that are added.

    >>> import numpy as np
    >>> layer = MaxNumBoundingBoxes(3, bounding_box_format="xyxy")
    >>> boxes = {"boxes": np.ones((2, 1, 4)), "labels": np.ones((2, 1))}
    >>> out = layer({"images": np.ones((2, 4, 4, 3)), "bounding_boxes": boxes})
    >>> out["bounding_boxes"]["labels"].tolist()
    [[1.0, -1.0, -1.0], [1.0, -1.0, -1.0]]
    """

    max_number: int = field(check=positive)
    fill_value: int = field(-1)

    def transform_images(
        self,
        images: Tensor,
        transformation: Transformation = None,
        training: bool = True,
    ) -> Tensor:
        return images

    def transform_bounding_boxes(
        self,
        bounding_boxes: Boxes,
        transformation: Transformation = None,
        training: bool = True,
    ) -> Boxes:
        def limited(values: Tensor) -> Tensor:
            values = ops.convert_to_tensor(values)[:, : self.max_number]
            missing = self.max_number - values.shape[1]
            pads = [(0, 0), (0, missing)] + [(0, 0)] * (len(values.shape) - 2)
            return ops.pad(values, pads, constant_values=self.fill_value)

        return {key: limited(value) for key, value in bounding_boxes.items()}


__all__ = ["MaxNumBoundingBoxes"]
