"""Images of a batch mixed with each other, and their labels with them."""

from __future__ import annotations

from typing import Any

from carnyx import ops, random
from carnyx.config import standardize_data_format
from carnyx.configurable import above_zero, field
from carnyx.layers.image_preprocessing.arguments import drawn_from
from carnyx.layers.image_preprocessing.augmentation import Augmentation, ChangesBoxes
from carnyx.layers.image_preprocessing.base import Boxes, Transformation
from carnyx.layers.image_preprocessing.batch import Batch, is_batched
from carnyx.layers.image_preprocessing.patches import inside, patch
from carnyx.typing import Tensor, Tensors


class _Mixing(Augmentation):
    """Base: each image meets another one, by `permutation_order`."""

    def _partners(self, batch: Batch) -> Tensor:
        return random.shuffle(ops.arange(batch.size, dtype="int32"), seed=batch.seed)

    def transform_labels(
        self, labels: Tensor, transformation: Transformation, training: bool = True
    ) -> Tensor:
        """Weighted as the images: floats, also of classes as integers."""
        if not training or transformation is None:
            return labels
        labels = ops.cast(labels, self.compute_dtype)
        return _mean(labels, transformation)


def _mean(values: Tensor, how: Transformation) -> Tensor:
    """w · value + (1 - w) · that of the partner."""
    values = ops.convert_to_tensor(values)
    shape = (-1, *[1] * (len(values.shape) - 1))
    weight = ops.reshape(ops.cast(how["mix_weight"], values.dtype), shape)
    others = ops.take(values, ops.convert_to_tensor(how["permutation_order"]), 0)
    return weight * values + (1 - weight) * others


class MixUp(ChangesBoxes, _Mixing):
    """In training w · x + (1 - w) · x', x' another image; labels alike.

    Boxes are those of both images.

    Args:
        alpha: w is of a Beta(alpha, alpha) distribution, near 0 or 1 for small alpha.

    Shapes: (b, h, w, c) -> the same
    References: arXiv:1710.09412, arXiv:1902.04103
    """

    alpha: float = field(0.2, check=above_zero)
    data_format: Any = field(None, standardize_data_format)
    seed: Any = field(None)

    def _drawn(self, batch: Batch) -> Transformation:
        size, alpha = (batch.size,), self.alpha
        return {
            "mix_weight": random.beta(size, alpha, alpha, batch.dtype, batch.seed),
            "permutation_order": self._partners(batch),
        }

    def _changed(self, images: Tensor, how: Transformation, _: str) -> Tensor:
        return _mean(images, how)

    def _changed_masks(self, masks: Tensor, how: Transformation) -> Tensor:
        """Weighted as the images: floats."""
        return _mean(ops.cast(masks, self.compute_dtype), how)

    def _changed_boxes(self, boxes: Boxes, how: Transformation) -> Boxes:
        partners = ops.convert_to_tensor(how["permutation_order"])

        def both(value: Tensor) -> Tensor:
            value = ops.convert_to_tensor(value)
            axis = min(1, len(value.shape) - 1)
            return ops.concatenate([value, ops.take(value, partners, 0)], axis)

        return {key: both(value) for key, value in boxes.items()}


class CutMix(_Mixing):
    """In training a rectangle of each image is that of another; labels by area.

    Args:
        factor: alpha is drawn from (0, factor), or between two; the area that stays
            is of a Beta(alpha, alpha) distribution.

    Shapes: (b, h, w, c) -> the same; one image alone stays as it is
    References: arXiv:1905.04899
    """

    factor: Any = drawn_from(0, 1, 1.0)
    seed: Any = field(None)
    data_format: Any = field(None, standardize_data_format)

    def get_random_transformation(
        self, data: Tensors, training: bool = True, seed: Any = None
    ) -> Transformation:
        alone = not is_batched(data["images"] if isinstance(data, dict) else data)
        return (
            None if alone else super().get_random_transformation(data, training, seed)
        )

    def _drawn(self, batch: Batch) -> Transformation:
        alpha = random.uniform((), *self.factor, batch.dtype, batch.seed) + 1e-6
        stays = random.beta((batch.size,), alpha, alpha, batch.dtype, batch.seed)
        side = ops.sqrt(1 - stays)
        cut = patch(batch, side, side)
        area = (cut.x2 - cut.x1) * (cut.y2 - cut.y1) / (batch.width * batch.height)
        return {
            "permutation_order": self._partners(batch),
            "batch_masks": inside(batch, cut, self.data_format),
            "mix_weight": (1 - area)[:, None, None, None],
        }

    def _changed(self, images: Tensor, how: Transformation, _: str) -> Tensor:
        order = ops.convert_to_tensor(how["permutation_order"])
        return ops.where(how["batch_masks"], ops.take(images, order, 0), images)


__all__ = ["CutMix", "MixUp"]
