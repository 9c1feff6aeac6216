"""Parts of images: their middle, or one drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carnyx import ops, random
from carnyx._core.seed import SeedLike
from carnyx.config import standardize_data_format
from carnyx.configurable import field, positive
from carnyx.layers.image_preprocessing.augmentation import Augmentation
from carnyx.layers.image_preprocessing.base import Boxes, Transformation
from carnyx.layers.image_preprocessing.batch import images_of
from carnyx.layers.image_preprocessing.sizes import Size, Sized
from carnyx.ops._boxes import Corners
from carnyx.typing import Tensor, Tensors


class _Cropped(Sized):
    """Base: cut to size; images that are smaller are resized from their largest part
    of the right proportions."""

    def _kept(self, old: Size) -> Size:
        """What is cut of images of a size: as wanted, or the largest part that has the
        proportions of that."""
        (height, width), (h, w) = old, (self.height, self.width)
        if height >= h and width >= w:
            return h, w
        return (
            max(min(height, int(width * h / w)), 1),
            max(min(width, int(height * w / h)), 1),
        )

    def _cut(self, images: Tensor, start: Sequence[Any], interpolation: str) -> Tensor:
        """From `start`, which may be known later only, to its end, resized if small."""
        rank, size = len(images.shape), (self.height, self.width)
        last = self.data_format == "channels_last"
        first = rank - 3 if last else rank - 2  # the axis of rows
        kept = self._kept(self._size_of(images))
        shape = (*images.shape[:first], *kept, *images.shape[first + 2 :])
        begin = [0] * first + list(start) + [0] * (rank - first - 2)
        images = ops.slice(images, begin, shape)
        if kept == size:
            return images
        return ops.image.resize(
            images, size, interpolation, data_format=self.data_format
        )

    def _boxes_at(
        self, boxes: Boxes, old: Size, start: Sequence[Any], kept: Size
    ) -> Boxes:
        (top, left), (high, wide) = start, (self.height / kept[0], self.width / kept[1])

        def place(at: Corners) -> Corners:
            return Corners(
                (at.x1 - left) * wide, (at.y1 - top) * high,
                (at.x2 - left) * wide, (at.y2 - top) * high,
            )  # fmt: skip

        return self._converted(boxes, old, place)


class CenterCrop(_Cropped):
    """The middle of images, (height, width); smaller ones are resized.

    Shapes: (h, w, c) or (b, h, w, c) -> (…, height, width, c)
    """

    height: int = field(check=positive)
    width: int = field(check=positive)
    data_format: Any = field(None, standardize_data_format)

    def get_random_transformation(
        self, data: Tensors, training: bool = True, seed: SeedLike | None = None
    ) -> Transformation:
        return {"input_shape": tuple(images_of(data).shape)}

    def _middle(self, old: Size) -> list[int]:
        return [(n - m) // 2 for n, m in zip(old, self._kept(old), strict=True)]

    def transform_images(
        self,
        images: Tensor,
        transformation: Transformation = None,
        training: bool = True,
    ) -> Tensor:
        images = ops.cast(images, self.compute_dtype)
        return self._cut(images, self._middle(self._size_of(images)), "bilinear")

    def transform_segmentation_masks(
        self,
        segmentation_masks: Tensor,
        transformation: Transformation = None,
        training: bool = True,
    ) -> Tensor:
        masks = ops.convert_to_tensor(segmentation_masks)
        return self._cut(masks, self._middle(self._size_of(masks)), "nearest")

    def transform_bounding_boxes(
        self,
        bounding_boxes: Boxes,
        transformation: Transformation,
        training: bool = True,
    ) -> Boxes:
        shape = transformation["input_shape"]
        old = shape[-3:-1] if self.data_format == "channels_last" else shape[-2:]
        return self._boxes_at(bounding_boxes, old, self._middle(old), self._kept(old))


class _Place(tuple[Any, Any]):
    """(top, left) of what is cut; and the sizes of the image and of that part."""

    old: Size
    kept: Size

    @classmethod
    def of(cls, top: Any, left: Any, old: Size, kept: Size) -> _Place:
        place = cls((top, left))
        place.old, place.kept = old, kept
        return place


class RandomCrop(_Cropped, Augmentation):
    """In training a part of images, (height, width), the same for all of a batch; in
    prediction their middle. Smaller images are resized.

    Shapes: (h, w, c) or (b, h, w, c) -> (…, height, width, c)
    """

    height: int = field(check=positive)
    width: int = field(check=positive)
    seed: Any = field(None)
    data_format: Any = field(None, standardize_data_format)

    def get_random_transformation(
        self, data: Tensors, training: bool = True, seed: SeedLike | None = None
    ) -> Transformation:
        old = self._size_of(images_of(data))
        kept = self._kept(old)
        free = [n - m for n, m in zip(old, kept, strict=True)]
        if not training or kept != (self.height, self.width):
            return _Place.of(free[0] // 2, free[1] // 2, old, kept)
        seed = self.generator if seed is None else seed
        top, left = (random.randint((), 0, n + 1, seed=seed) for n in free)
        return _Place.of(top, left, old, kept)

    def transform_images(
        self,
        images: Tensor,
        transformation: Transformation,
        training: bool = True,
    ) -> Tensor:
        images = ops.cast(images, self.compute_dtype)
        return self._cut(images, transformation, "bilinear")

    def transform_segmentation_masks(
        self,
        segmentation_masks: Tensor,
        transformation: Transformation,
        training: bool = True,
    ) -> Tensor:
        masks = ops.convert_to_tensor(segmentation_masks)
        return self._cut(masks, transformation, "nearest")

    def transform_bounding_boxes(
        self,
        bounding_boxes: Boxes,
        transformation: Transformation,
        training: bool = True,
    ) -> Boxes:
        if not isinstance(transformation, _Place):
            size = (self.height, self.width)
            top, left = transformation
            transformation = _Place.of(top, left, size, size)
        place = transformation
        return self._boxes_at(bounding_boxes, place.old, place, place.kept)


__all__ = ["CenterCrop", "RandomCrop"]
