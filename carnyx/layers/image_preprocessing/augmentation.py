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
        out = on_batch(self._changed, masks, transformation, "nearest")
        return ops.cast(out, masks.dtype)


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
