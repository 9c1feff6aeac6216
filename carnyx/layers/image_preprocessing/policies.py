"""Several augmentations, drawn from a list."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from carnyx import ops, random
from carnyx._core.seed import Keys, draw_seed
from carnyx.config import standardize_data_format
from carnyx.configurable import above_zero, at_least, field, positive
from carnyx.layers.image_preprocessing.arguments import (
    INTERPOLATION,
    drawn_from,
    pixel_range,
)
from carnyx.layers.image_preprocessing.augmentation import (
    Always,
    Augmentation,
    ChangesBoxes,
    on_batch,
)
from carnyx.layers.image_preprocessing.base import Boxes, Transformation
from carnyx.layers.image_preprocessing.batch import Batch
from carnyx.layers.image_preprocessing.colors import (
    RandomBrightness,
    RandomColorDegeneration,
    RandomContrast,
    RandomPosterization,
    Solarization,
)
from carnyx.layers.image_preprocessing.filters import RandomSharpness
from carnyx.layers.image_preprocessing.geometry import (
    RandomRotation,
    RandomShear,
    RandomTranslation,
)
from carnyx.layers.image_preprocessing.histograms import AutoContrast, Equalization
from carnyx.typing import Tensor

_count = at_least(0, "an integer")


class _Policy(Augmentation):
    """Base: the layers that are drawn from, as attributes, in the order of `_names`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self._names():
            setattr(self, name, self._layer(name))

    def _names(self) -> Sequence[str]:
        raise NotImplementedError

    def _choices(self) -> list[Always]:
        return [getattr(self, name) for name in self._names()]

    def _layer(self, name: str) -> Always:
        f = self.factor
        cls, own = {
            "random_shear": (RandomShear, {"x_factor": f, "y_factor": f}),
            "random_translation": (
                RandomTranslation, {"height_factor": f, "width_factor": f}
            ),
            "random_rotation": (RandomRotation, {"factor": f}),
            "random_brightness": (RandomBrightness, {"factor": f}),
            "random_color_degeneration": (RandomColorDegeneration, {"factor": f}),
            "random_contrast": (RandomContrast, {"factor": f}),
            "random_sharpness": (RandomSharpness, {"factor": f}),
            "random_posterization": (
                RandomPosterization, {"factor": max(1, int(8 * f[1]))}
            ),
            "solarization": (
                Solarization, {"addition_factor": f, "threshold_factor": f}
            ),
            "auto_contrast": (AutoContrast, {}),
            "equalization": (Equalization, {}),
        }[name]  # fmt: skip
        for shared in ("interpolation", "value_range", "seed"):
            if shared in cls._fields:
                own = own | {shared: getattr(self, shared)}
        return cls(
            **own, data_format=self.data_format, dtype=self.dtype_policy,
            bounding_box_format=self.bounding_box_format,
        )  # fmt: skip


class RandAugment(ChangesBoxes, _Policy):
    """In training `num_ops` changes of a batch, one after the other, of eleven kinds.

    Args:
        value_range: the range of pixels.
        factor: how strong each is, drawn from (0, factor), or between two.
        interpolation: of those that move pixels.

    Shapes: (h, w, 3) or (b, h, w, 3) -> the same
    References: arXiv:1909.13719
    """

    value_range: Any = pixel_range()
    num_ops: int = field(2, check=_count)
    factor: Any = drawn_from(0, 1, 0.5)
    interpolation: Any = field("bilinear", INTERPOLATION)
    seed: Any = field(None)
    data_format: Any = field(None, standardize_data_format)

    def _names(self) -> Sequence[str]:
        return (
            "random_shear", "random_translation", "random_rotation",
            "random_brightness", "random_color_degeneration", "random_contrast",
            "random_sharpness", "random_posterization", "solarization",
            "auto_contrast", "equalization",
        )  # fmt: skip

    def _drawn(self, batch: Batch) -> Transformation:
        kinds = len(self._names())
        chosen = random.randint((self.num_ops,), 0, kinds, seed=batch.seed)
        pairs = zip(self._names(), self._choices(), strict=True)
        draws = {
            name: layer.get_random_transformation(batch.images, seed=batch.seed)
            for name, layer in pairs
        }
        return {"transforms": draws, "layer_idxes": chosen}

    def _each(self, value: Any, how: Transformation, method: str) -> Any:
        """What the method of each layer that was chosen makes of a value, in turn."""
        draws = how["transforms"]
        pairs = zip(self._names(), self._choices(), strict=True)
        branches = [
            functools.partial(getattr(layer, method), transformation=draws[name])
            for name, layer in pairs
        ]
        chosen = jnp.asarray(how["layer_idxes"])
        return lax.scan(
            lambda value, i: (lax.switch(i, branches, value), None), value, chosen
        )[0]

    def _changed(
        self, images: Tensor, how: Transformation, interpolation: str
    ) -> Tensor:
        return self._each(images, how, "transform_images")

    def _changed_masks(self, masks: Tensor, how: Transformation) -> Tensor:
        return self._each(masks, how, "transform_segmentation_masks")

    def _changed_boxes(self, boxes: Boxes, how: Transformation) -> Boxes:
        boxes = {k: ops.convert_to_tensor(v) for k, v in boxes.items()}
        boxes["boxes"] = ops.cast(boxes["boxes"], "float32")
        return self._each(boxes, how, "transform_bounding_boxes")


_GEOMETRY_AND_RANKS = (
    "random_shear", "random_translation", "random_rotation", "random_posterization",
    "solarization", "auto_contrast", "equalization",
)  # fmt: skip
_COLOURS = (
    "random_brightness", "random_color_degeneration", "random_contrast",
    "random_sharpness",
)  # fmt: skip


class AugMix(_Policy):
    """In training a mean of the images and of chains of changes of them.

    w · x + (1 - w) · sum over chains of m · chain(x), w of a Beta and m of a Dirichlet
    distribution. Boxes stay, as the images are still there.

    Args:
        value_range: the range of pixels.
        num_chains, chain_depth: how many chains, of how many changes, each drawn from
            the kinds there are and from none.
        factor: how strong each is, drawn from (0, factor), or between two.
        alpha: of both distributions.
        all_ops: False leaves out brightness, colours, contrast and sharpness, which
            corruptions in tests may be.

    Shapes: (h, w, 3) or (b, h, w, 3) -> the same
    References: arXiv:1912.02781
    """

    value_range: Any = pixel_range()
    num_chains: int = field(3, check=positive)
    chain_depth: int = field(3, check=positive)
    factor: Any = drawn_from(0, 1, 0.3)
    alpha: float = field(1.0, check=above_zero)
    all_ops: bool = field(True)
    interpolation: Any = field("bilinear", INTERPOLATION)
    seed: Any = field(None)
    data_format: Any = field(None, standardize_data_format)

    def _names(self) -> Sequence[str]:
        return _GEOMETRY_AND_RANKS + (_COLOURS if self.all_ops else ())

    def _drawn(self, batch: Batch) -> Transformation:
        steps = (self.num_chains, self.chain_depth)
        shares = random.gamma((self.num_chains,), self.alpha, seed=batch.seed)
        weight = random.beta((), self.alpha, self.alpha, seed=batch.seed)
        kinds = len(self._names()) + 1  # or none
        keys = jax.random.split(draw_seed(batch.seed), steps)
        return {
            "chain_mixing_weights": shares / ops.sum(shares),
            "weight_sample": weight,
            "layer_idxes": random.randint(steps, 0, kinds, seed=batch.seed),
            "seeds": keys,
        }

    def _mixed(self, x: Tensor, how: Transformation, method: str) -> Tensor:
        """The mean of x and its chains."""

        def branch(layer: Always) -> Callable[..., Tensor]:
            def changed(x: Tensor, key: jax.Array) -> Tensor:
                draw = layer.get_random_transformation(x, seed=Keys(key))
                return getattr(layer, method)(x, draw)

            return changed

        branches = [*map(branch, self._choices()), lambda x, key: x]

        def step(x: Tensor, at: Any) -> Any:
            kind, key = at
            return lax.switch(kind, branches, x, key), None

        def chain(total: Tensor, at: Any) -> Any:
            share, kinds, keys = at
            changed = lax.scan(step, x, (kinds, keys))[0]
            return total + ops.cast(share, x.dtype) * changed, None

        chains = how["chain_mixing_weights"], how["layer_idxes"], how["seeds"]
        mixed = lax.scan(chain, jnp.zeros_like(x), chains)[0]
        weight = ops.cast(how["weight_sample"], x.dtype)
        return weight * x + (1 - weight) * mixed

    def _changed(
        self, images: Tensor, how: Transformation, interpolation: str
    ) -> Tensor:
        mixed = self._mixed(images, how, "transform_images")
        return ops.clip(mixed, *self.value_range)

    def _changed_masks(self, masks: Tensor, how: Transformation) -> Tensor:
        """A mean as of the images: floats."""
        masks = ops.cast(masks, self.compute_dtype)
        return on_batch(self._mixed, masks, how, "transform_segmentation_masks")

    def transform_bounding_boxes(
        self,
        bounding_boxes: Boxes,
        transformation: Transformation = None,
        training: bool = True,
    ) -> Boxes:
        return bounding_boxes


__all__ = ["AugMix", "RandAugment"]
