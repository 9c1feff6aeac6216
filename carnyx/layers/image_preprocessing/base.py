"""What layers on images share: what is drawn, and what it does to all that is given.

A layer draws a transformation for a batch, once, and applies it to images, labels,
bounding boxes and segmentation masks alike. Everything around that is here: single
images and batches, dicts, boxes in lists of unequal length, dtypes, compilation of
calls outside of a model. A subclass is its ranges and its mathematics on a batch.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import jax

from carnyx import ops, registry
from carnyx._core.compiled import CompiledCall, computes_now
from carnyx._core.seed import Keys, SeedGenerator, SeedLike
from carnyx.config import standardize_data_format
from carnyx.configurable import field
from carnyx.errors import ArgumentError
from carnyx.layers.base import Layer
from carnyx.layers.image_preprocessing import backend
from carnyx.layers.image_preprocessing.arguments import (
    Factor,
    Range,
    as_range,
    within,
)
from carnyx.layers.image_preprocessing.batch import Batch, images_of, is_batched
from carnyx.layers.image_preprocessing.ragged import dense_boxes
from carnyx.ops._boxes import FORMATS
from carnyx.typing import DTypeLike, Tensor, Tensors

Boxes: TypeAlias = dict[str, Any]
"""A dict with `"boxes"` (…, boxes, 4) and `"labels"` (…, boxes)."""

Transformation: TypeAlias = Any
"""What was drawn: a dict of tensors in the library's layers; None to change nothing."""


def _box_format(value: str | None) -> str | None:
    return None if value is None or value.lower() in FORMATS else repr(FORMATS)


class DataLayer(Layer):
    """Base of layers that data pass before a model, or in it: compiled by themselves.

    A subclass writes `_transformed(data, training)`.
    """

    def call(self, data: Tensors, training: bool = True) -> Tensors:
        if training and computes_now() and self._compiles():
            return self._compiled_for_training()(data)
        return self._transformed(data, training)

    def _transformed(self, data: Tensors, training: bool = True) -> Tensors:
        raise NotImplementedError

    def _compiles(self) -> bool:
        """Whether nothing but tensors and seeds decides: a user's code may do more."""
        return registry.is_own(type(self))

    def _compiled_for_training(self) -> CompiledCall:
        own = self.__dict__
        if own.get("_compiled") is None:  # copies of layers have None
            own["_compiled"] = CompiledCall(self._transformed)
        return own["_compiled"]

    def _convert(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        """Boxes in lists of unequal length become arrays first."""
        return super()._convert(*dense_boxes(args, kwargs))


class BaseImagePreprocessingLayer(DataLayer):
    """Base of layers on images.

    A subclass writes `get_random_transformation(data, training, seed)` and, for all
    that its data may hold, `transform_images`, `transform_labels`,
    `transform_bounding_boxes`, `transform_segmentation_masks`, each with the arguments
    (value, transformation, training); all see batches.

    Args:
        factor: of a subclass that leaves `_USE_BASE_FACTOR` True: a number, or two,
            within `_FACTOR_BOUNDS`; `self.factor` is (least, most).
        bounding_box_format: see `utils.bounding_boxes.convert_format`.
        data_format: `"channels_last"` or `"channels_first"`.

    >>> import numpy as np, carnyx as keras
    >>> class Darken(keras.layers.BaseImagePreprocessingLayer):
    ...     def get_random_transformation(self, data, training=True, seed=None):
    ...         return 0.5
    ...     def transform_images(self, images, transformation, training=True):
    ...         return images * transformation if training else images
    ...     def transform_labels(self, labels, transformation, training=True):
    ...         return labels
    >>> out = Darken()({"images": np.ones((1, 2, 2, 3)), "labels": np.ones(1)})
    >>> float(out["images"].max()), float(out["labels"].max())
    (0.5, 1.0)
    """

    _USE_BASE_FACTOR: ClassVar[bool] = True
    _FACTOR_BOUNDS: ClassVar[Range] = (-1, 1)
    backend = backend  # `self.backend.numpy.clip(…)`, as layers for Keras write it

    factor: Any = field(None, config=False, kw_only=True)
    bounding_box_format: str | None = field(None, check=_box_format, kw_only=True)
    data_format: Any = field(None, standardize_data_format, kw_only=True)

    def __post_init__(self) -> None:
        if self._USE_BASE_FACTOR:
            self._set_factor(0.0 if self.factor is None else self.factor)
        elif self.factor is not None and not self._fields["factor"].in_config:
            raise ArgumentError(
                f"{type(self).__name__} got factor={self.factor!r}; it takes none."
            )

    def _set_factor(self, factor: Factor) -> None:
        low, high = self._FACTOR_BOUNDS
        problem = within(low, high)(factor)
        if problem:
            kind = type(self).__name__
            raise ArgumentError(f"{kind} got factor={factor!r}; expected {problem}.")
        self.factor = as_range(factor, low)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config() | {"data_format": self.data_format}
        if self.bounding_box_format is not None:
            config["bounding_box_format"] = self.bounding_box_format
        return config

    # ---- what subclasses write

    def get_random_transformation(
        self, data: Tensors, training: bool = True, seed: SeedLike | None = None
    ) -> Transformation:
        """What is done to a batch of data; None to change nothing."""
        return None

    def _transform_images(
        self, images: Tensor, transformation: Transformation, interpolation: str
    ) -> Tensor:
        raise NotImplementedError(self._lacks("images"))

    def transform_images(
        self, images: Tensor, transformation: Transformation, training: bool = True
    ) -> Tensor:
        """The batch of images, changed."""
        images = ops.cast(images, self.compute_dtype)
        if not training:
            return images
        return self._transform_images(images, transformation, self.interpolation)

    def transform_labels(
        self, labels: Tensor, transformation: Transformation, training: bool = True
    ) -> Tensor:
        """The labels of a batch, changed."""
        raise NotImplementedError(self._lacks("labels"))

    def transform_bounding_boxes(
        self,
        bounding_boxes: Boxes,
        transformation: Transformation,
        training: bool = True,
    ) -> Boxes:
        """The boxes of a batch, changed, in the layer's `bounding_box_format`."""
        raise NotImplementedError(self._lacks("bounding_boxes"))

    def transform_segmentation_masks(
        self,
        segmentation_masks: Tensor,
        transformation: Transformation,
        training: bool = True,
    ) -> Tensor:
        """The masks of a batch, changed; values are not mixed."""
        if not training:
            return segmentation_masks
        return self._transform_images(segmentation_masks, transformation, "nearest")

    def _lacks(self, what: str) -> str:
        return (
            f"{type(self).__name__} has no transform_{what}(): it cannot change the "
            f"{what.replace('_', ' ')} that it was given along with the images."
        )

    # ---- one image, as a batch of one

    def transform_single_image(
        self, image: Tensor, transformation: Transformation, training: bool = True
    ) -> Tensor:
        """One image, changed."""
        return self.transform_images(image[None], transformation, training)[0]

    def transform_single_label(
        self, label: Tensor, transformation: Transformation, training: bool = True
    ) -> Tensor:
        """The label of one image, changed."""
        label = ops.convert_to_tensor(label)
        return self.transform_labels(label[None], transformation, training)[0]

    def transform_single_bounding_box(
        self, bounding_box: Boxes, transformation: Transformation, training: bool = True
    ) -> Boxes:
        """The boxes of one image, changed."""
        boxes = {k: v[None] for k, v in bounding_box.items()}
        out = self.transform_bounding_boxes(boxes, transformation, training)
        return {k: v[0] for k, v in out.items()}

    def transform_single_segmentation_mask(
        self, segmentation_mask: Tensor, transformation: Transformation,
        training: bool = True,
    ) -> Tensor:  # fmt: skip
        """The mask of one image, changed."""
        mask = segmentation_mask[None]
        return self.transform_segmentation_masks(mask, transformation, training)[0]

    # ---- a call

    def _transformed(self, data: Tensors, training: bool = True) -> Tensors:
        transformation = self.get_random_transformation(data, training=training)
        images = images_of(data)
        form = "transform_{}s" if is_batched(images) else "transform_single_{}"

        def changed(kind: str, value: Any) -> Any:
            method = getattr(self, form.format(kind))
            return method(value, transformation=transformation, training=training)

        def one(key: str, value: Any) -> Any:
            if key == "images":
                return changed("image", value)
            if key == "labels":
                return changed("label", value)
            if key == "segmentation_masks":
                return changed("segmentation_mask", value)
            if key != "bounding_boxes":
                return value
            self._check_boxes(value)
            if form.endswith("s"):
                return self.transform_bounding_boxes(
                    value, transformation=transformation, training=training
                )
            return changed("bounding_box", value)

        if not isinstance(data, dict):
            return one("images", images)
        return {key: one(key, value) for key, value in data.items()}

    def _check_boxes(self, value: Any) -> None:
        if self.bounding_box_format is None:
            raise ArgumentError(
                f"{type(self).__name__} got bounding boxes and does not know how they "
                "are written; make it with bounding_box_format=, such as 'xyxy'."
            )
        if not isinstance(value, dict) or not {"boxes", "labels"} <= set(value):
            raise ArgumentError(
                f"bounding_boxes got {value!r}; expected a dict with 'boxes' (…, "
                "boxes, 4) and 'labels' (…, boxes)."
            )

    # ---- for layers written for Keras

    def _get_seed_generator(self, backend: object = None) -> SeedGenerator:
        return self.generator

    def _is_batched(self, images: Tensor) -> bool:
        return is_batched(images)

    def _transform_value_range(
        self, images: Tensor, original_range: Range, target_range: Range,
        dtype: DTypeLike = "float32",
    ) -> Tensor:  # fmt: skip
        return rescaled(images, original_range, target_range, dtype)

    def _batch(self, data: Tensors, seed: SeedLike | None = None) -> Batch:
        last = self.data_format == "channels_last"
        source: SeedLike = self.generator if seed is None else seed
        source = Keys(source) if isinstance(source, jax.Array) else source
        # An angle or a shift of 8 bits would be off by pixels.
        wide = self.compute_dtype == "float64"
        return Batch(data, last, source, "float64" if wide else "float32")


def rescaled(
    images: Tensor, old: Range, new: Range, dtype: DTypeLike = "float32"
) -> Tensor:
    """Pixels of one range of values in another."""
    if tuple(old) == tuple(new):
        return images
    share = (ops.cast(images, dtype) - old[0]) / (old[1] - old[0])
    return share * (new[1] - new[0]) + new[0]


__all__ = ["BaseImagePreprocessingLayer"]
