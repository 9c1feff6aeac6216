"""What layers share that give images another height and width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

from carnyx.layers.image_preprocessing.augmentation import Always
from carnyx.layers.image_preprocessing.base import Boxes, Transformation
from carnyx.layers.image_preprocessing.batch import images_of
from carnyx.ops import _boxes
from carnyx.ops._boxes import Corners
from carnyx.typing import Tensor, Tensors

Size: TypeAlias = tuple[int, int]
"""(height, width)"""


class Sized(Always):
    """Base: every image comes out with `height` and `width`."""

    height: ClassVar[int]
    width: ClassVar[int]

    def _size_of(self, images: Tensor) -> Size:
        shape = tuple(images.shape)
        return shape[-3:-1] if self.data_format == "channels_last" else shape[-2:]

    def get_random_transformation(
        self, data: Tensors, training: bool = True, seed: Any = None
    ) -> Transformation:
        """The size that images had."""
        return self._size_of(images_of(data))

    def _converted(
        self, boxes: Boxes, old: Size, place: Callable[[Corners], Corners]
    ) -> Boxes:
        """Boxes whose corners (in pixels of the old image) `place` puts in the new."""
        form, size = self.bounding_box_format, (self.height, self.width)
        boxes = _boxes.convert_format(boxes, str(form), "xyxy", *old)
        moved = place(_boxes.corners(boxes["boxes"])).boxes
        boxes = _boxes.clip_to_image_size(boxes | {"boxes": moved}, *size)
        return _boxes.convert_format(boxes, "xyxy", str(form), *size)
