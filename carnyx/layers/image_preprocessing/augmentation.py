"""Bases of the library's own layers on images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from carnyx import ops
from carnyx._core.seed import SeedGenerator, SeedLike
from carnyx.layers.image_preprocessing.base import (
    BaseImagePreprocessingLayer,
    Boxes,
    Transformation,
)
from carnyx.layers.image_preprocessing.batch import Batch, is_batched
from carnyx.ops import _boxes
from carnyx.typing import Tensor, Tensors


def on_batch(change: Callable[..., Tensor], images: Tensor, *how: Any) -> Tensor:
    """`change` of a batch; one image is a batch of one for it."""
    if is_batched(images):
        return change(images, *how)
    return change(images[None], *how)[0]


class Always(BaseImagePreprocessingLayer):
    """Of the library's: does the same in training and prediction; labels stay."""

    _USE_BASE_FACTOR = False

    def transform_labels(
        self, labels: Tensor, transformation: Transformation, training: bool = True
    ) -> Tensor:
        return labels


class Augmentation(Always):
    """Of the library's: changes a batch in training only.

    A subclass writes what is drawn, `_drawn(batch)`, and what becomes of images (and
    masks), `_changed(images, how, interpolation)`.
    """

    seed: ClassVar[int | None]
    interpolation: ClassVar[str] = "bilinear"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.generator = SeedGenerator(self.seed)

    def get_random_transformation(
        self, data: Tensors, training: bool = True, seed: SeedLike | None = None
    ) -> Transformation:
        return self._drawn(self._batch(data, seed)) if training else None

    def _drawn(self, batch: Batch) -> Transformation:
        raise NotImplementedError

    def _changed(self, images: Tensor, how: Transformation, interpolation: str):
        raise NotImplementedError

    def transform_images(
        self,
        images: Tensor,
        transformation: Transformation = None,
        training: bool = True,
    ) -> Tensor:
        images = ops.cast(images, self.compute_dtype)
        if not training or transformation is None:
            return images
        how = transformation, self.interpolation
        out = on_batch(self._changed, images, *how)
        return ops.cast(out, self.compute_dtype)

    def transform_segmentation_masks(
        self,
        segmentation_masks: Tensor,
        transformation: Transformation = None,
        training: bool = True,
    ) -> Tensor:
        masks = ops.convert_to_tensor(segmentation_masks)
        if not training or transformation is None:
            return masks
        return self._changed_masks(masks, transformation)

    def _changed_masks(self, masks: Tensor, how: Transformation) -> Tensor:
        out = on_batch(self._changed, masks, how, "nearest")
        return ops.cast(out, masks.dtype)


class ChangesBoxes:
    """A mixin: in training boxes change with the images, by `_changed_boxes`."""

    def transform_bounding_boxes(
        self,
        bounding_boxes: Boxes,
        transformation: Transformation = None,
        training: bool = True,
    ) -> Boxes:
        if not training or transformation is None:
            return bounding_boxes
        return self._changed_boxes(bounding_boxes, transformation)

    def _changed_boxes(self, boxes: Boxes, how: Transformation) -> Boxes:
        raise NotImplementedError


class MovesBoxes(ChangesBoxes):
    """A mixin: boxes are moved within the image, `"input_shape"` in what was drawn, and
    cut at its border; labels of those that left it become -1.

    A subclass writes `_moved(boxes, how, height, width)`, of corners in pixels.
    """

    data_format: Any
    bounding_box_format: str | None

    def _size(self, shape: Any) -> tuple[int, int]:
        last = self.data_format == "channels_last"
        return tuple(shape[-3:-1] if last else shape[-2:])

    def _size_before(self, how: Transformation) -> tuple[int, int]:
        return self._size([int(n) for n in how["input_shape"]])

    def _changed_boxes(self, boxes: Boxes, how: Transformation) -> Boxes:
        height, width = self._size_before(how)
        form = str(self.bounding_box_format)
        boxes = _boxes.convert_format(boxes, form, "xyxy", height, width)
        moved = self._moved(boxes["boxes"], how, height, width)
        boxes = _boxes.clip_to_image_size(boxes | {"boxes": moved}, height, width)
        return _boxes.convert_format(boxes, "xyxy", form, height, width)

    def _moved(
        self, boxes: Tensor, how: Transformation, height: int, width: int
    ) -> Tensor:
        raise NotImplementedError


class Untouched:
    """A mixin: colours change, so that boxes and masks stay as they are."""

    def transform_bounding_boxes(
        self,
        bounding_boxes: Boxes,
        transformation: Transformation = None,
        training: bool = True,
    ) -> Boxes:
        return bounding_boxes

    def transform_segmentation_masks(
        self,
        segmentation_masks: Tensor,
        transformation: Transformation = None,
        training: bool = True,
    ) -> Tensor:
        return segmentation_masks
