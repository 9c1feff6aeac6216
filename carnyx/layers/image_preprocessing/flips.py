"""Images mirrored, and pixels moved each by itself."""

from __future__ import annotations

from typing import Any

from carnyx import ops
from carnyx.config import standardize_data_format
from carnyx.configurable import field, one_of
from carnyx.layers.image_preprocessing.augmentation import Augmentation, MovesBoxes
from carnyx.layers.image_preprocessing.base import Transformation
from carnyx.layers.image_preprocessing.batch import Batch
from carnyx.ops import _boxes
from carnyx.ops._boxes import Corners
from carnyx.typing import Tensor

_MODES = {
    "horizontal": (True, False),
    "vertical": (False, True),
    "horizontal_and_vertical": (True, True),
}


class RandomFlip(MovesBoxes, Augmentation):
    """In training mirrors half of the images.

    Args:
        mode: `"horizontal"` (left and right change places), `"vertical"`, or
            `"horizontal_and_vertical"`, which turns an image by 180°.

    Shapes: (h, w, c) or (b, h, w, c) -> the same

    >>> import numpy as np
    >>> layer = RandomFlip("horizontal", bounding_box_format="xyxy")
    >>> boxes = {"boxes": np.array([[[0, 0, 1, 2]]]), "labels": np.array([[7]])}
    >>> how = {"flips": np.ones((1, 1, 1, 1), bool), "input_shape": (1, 4, 5, 3)}
    >>> layer.transform_bounding_boxes(boxes, how)["boxes"].tolist()
    [[[4.0, 0.0, 5.0, 2.0]]]
    """

    mode: Any = field("horizontal_and_vertical", check=one_of(*_MODES))
    seed: Any = field(None)
    data_format: Any = field(None, standardize_data_format)

    def _drawn(self, batch: Batch) -> Transformation:
        flips = batch.uniform(0, 1, 1, 1, 1) <= 0.5
        return {"flips": flips, "input_shape": batch.shape}

    def _changed(
        self, images: Tensor, how: Transformation, interpolation: str
    ) -> Tensor:
        across, down = _MODES[self.mode]
        rows, columns = (1, 2) if self.data_format == "channels_last" else (2, 3)
        axes = [a for a, on in ((rows, down), (columns, across)) if on]
        return ops.where(how["flips"], ops.flip(images, axes), images)

    def _moved(
        self, boxes: Tensor, how: Transformation, height: int, width: int
    ) -> Tensor:
        across, down = _MODES[self.mode]
        x1, y1, x2, y2 = at = _boxes.corners(boxes)
        x1, x2 = (width - x2, width - x1) if across else (x1, x2)
        y1, y2 = (height - y2, height - y1) if down else (y1, y2)
        flips = ops.squeeze(ops.convert_to_tensor(how["flips"]), -1)
        return ops.where(flips, Corners(x1, y1, x2, y2).boxes, at.boxes)


__all__ = ["RandomFlip"]
