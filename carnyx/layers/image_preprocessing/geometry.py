"""Planes turned, zoomed, moved, sheared, projected; boxes and masks with them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from carnyx import ops
from carnyx.config import standardize_data_format
from carnyx.configurable import field, fraction
from carnyx.layers.image_preprocessing.arguments import (
    FILL_MODE,
    INTERPOLATION,
    as_given,
    as_range,
    both_ways,
    drawn_from,
    sides,
)
from carnyx.layers.image_preprocessing.augmentation import Augmentation, MovesBoxes
from carnyx.layers.image_preprocessing.base import Transformation
from carnyx.layers.image_preprocessing.batch import Batch
from carnyx.ops import _boxes
from carnyx.ops._warp import homography
from carnyx.typing import Tensor


class Moving(MovesBoxes, Augmentation):
    """Base: where each pixel of the new image comes from, as a projective transform.

    A subclass writes `_transform(how, height, width)`: 8 numbers for each image, as of
    `ops.image.affine_transform`.
    """

    fill_mode = "reflect"
    fill_value = 0.0

    def _transform(self, how: Transformation, height: int, width: int) -> jax.Array:
        raise NotImplementedError

    def _changed(
        self, images: Tensor, how: Transformation, interpolation: str
    ) -> Tensor:
        return ops.image.affine_transform(
            images, self._transform(how, *self._size(images.shape)), interpolation,
            self.fill_mode, self.fill_value, self.data_format,
        )  # fmt: skip

    def _moved(
        self, boxes: Tensor, how: Transformation, height: int, width: int
    ) -> Tensor:
        """The boxes around what boxes became."""
        x, y = _boxes.points(boxes)
        return _boxes.around(*_there(self._transform(how, height, width), x, y))


def _there(p: jax.Array, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Where points (b, …) go, for transforms that say where pixels come from."""
    ones = jnp.ones((len(p), 1), p.dtype)
    m = jnp.concatenate([p, ones], 1).reshape(-1, 3, 3)
    # The adjugate: a plane that is seen from its edge has no inverse.
    rows = [jnp.cross(m[:, :, (i + 1) % 3], m[:, :, (i + 2) % 3]) for i in range(3)]
    n = jnp.stack(rows, 1)
    n = n.reshape(-1, 3, 3, *[1] * (len(x.shape) - 1))
    u, v, w = (n[:, i, 0] * x + n[:, i, 1] * y + n[:, i, 2] for i in range(3))
    tiny = jnp.finfo(p.dtype).tiny
    w = jnp.where(w == 0, tiny, w)
    return u / w, v / w


def _affine(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> jax.Array:
    """x from a x + b y + c, y from d x + e y + f; each one number for every image."""
    parts = [jnp.asarray(v) for v in (a, b, c, d, e, f, 0.0, 0.0)]
    return jnp.stack(jnp.broadcast_arrays(*parts), -1).astype("float32")


class RandomRotation(Moving):
    """In training turns images about their middle.

    Args:
        factor: of a whole turn, counter-clockwise; drawn from (-factor, factor), or
            from the two given.
        fill_mode: what lies beyond the border: `"reflect"`, `"wrap"`, `"nearest"`
            or `"constant"`, which is `fill_value`.
        interpolation: `"bilinear"` or `"nearest"`.

    Shapes: (h, w, c) or (b, h, w, c) -> the same

    >>> import numpy as np
    >>> x = np.arange(4.0).reshape(2, 2, 1)
    >>> RandomRotation((0.5, 0.5))(x)[..., 0].round().tolist()
    [[3.0, 2.0], [1.0, 0.0]]
    """

    factor: Any = drawn_from(-1, 1, number=both_ways)
    fill_mode: Any = field("reflect", FILL_MODE)
    interpolation: Any = field("bilinear", INTERPOLATION)
    seed: Any = field(None)
    fill_value: float = field(0.0)
    data_format: Any = field(None, standardize_data_format)

    def _drawn(self, batch: Batch) -> Transformation:
        angle = batch.uniform(*(360 * f for f in self.factor))
        cos, sin = (f(jnp.deg2rad(angle)) for f in (jnp.cos, jnp.sin))
        x, y = (batch.width - 1) / 2, (batch.height - 1) / 2
        matrix = _affine(
            cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos
        )
        return {
            "angle": angle,
            "rotation_matrix": matrix,
            "image_height": batch.height,
            "image_width": batch.width,
            "batch_size": batch.size,
        }

    def _transform(self, how: Transformation, height: int, width: int) -> jax.Array:
        return jnp.atleast_2d(jnp.asarray(how["rotation_matrix"]))

    def _size_before(self, how: Transformation) -> tuple[int, int]:
        return how["image_height"], how["image_width"]


class RandomZoom(Moving):
    """In training zooms into images, or away from them.

    Args:
        height_factor: 1 + f is how much of the height is seen, f drawn from
            (-height_factor, height_factor) or from the two given: below 0 zooms in.
        width_factor: of the width; None zooms as much as down.
        fill_mode, interpolation, fill_value: as of `RandomRotation`.

    Shapes: (h, w, c) or (b, h, w, c) -> the same
    """

    height_factor: Any = as_given(-1.0, open_low=True)
    width_factor: Any = as_given(-1.0, None, open_low=True)
    fill_mode: Any = field("reflect", FILL_MODE)
    interpolation: Any = field("bilinear", INTERPOLATION)
    seed: Any = field(None)
    fill_value: float = field(0.0)
    data_format: Any = field(None, standardize_data_format)

    def _drawn(self, batch: Batch) -> Transformation:
        def one(factor: Any) -> Tensor:
            return 1 + batch.uniform(*as_range(factor), 1)

        down = one(self.height_factor)
        across = down if self.width_factor is None else one(self.width_factor)
        shape = batch.shape
        return {"height_zoom": down, "width_zoom": across, "input_shape": shape}

    def _transform(self, how: Transformation, height: int, width: int) -> jax.Array:
        across, down = (
            jnp.reshape(how[name], -1) for name in ("width_zoom", "height_zoom")
        )
        x, y = (1 - across) * (width - 1) / 2, (1 - down) * (height - 1) / 2
        return _affine(across, 0.0, x, 0.0, down, y)


class RandomTranslation(Moving):
    """In training moves images.

    Args:
        height_factor, width_factor: fractions of the size, down and to the right;
            drawn from (-factor, factor), or from the two given.
        fill_mode, interpolation, fill_value: as of `RandomRotation`.

    Shapes: (h, w, c) or (b, h, w, c) -> the same
    """

    height_factor: Any = as_given(-1.0)
    width_factor: Any = as_given(-1.0)
    fill_mode: Any = field("reflect", FILL_MODE)
    interpolation: Any = field("bilinear", INTERPOLATION)
    seed: Any = field(None)
    fill_value: float = field(0.0)
    data_format: Any = field(None, standardize_data_format)

    def _drawn(self, batch: Batch) -> Transformation:
        down = batch.uniform(*as_range(self.height_factor), 1) * batch.height
        right = batch.uniform(*as_range(self.width_factor), 1) * batch.width
        moves = ops.cast(ops.concatenate([right, down], 1), "float32")
        return {"translations": moves, "input_shape": batch.shape}

    def _transform(self, how: Transformation, height: int, width: int) -> jax.Array:
        right, down = jnp.moveaxis(jnp.asarray(how["translations"]), -1, 0)
        return _affine(1.0, 0.0, -right, 0.0, 1.0, -down)


class RandomShear(Moving):
    """In training shears images: x from x + a y, y from y + b x, both to one side.

    Args:
        x_factor, y_factor: a and b, drawn from (-factor, factor), or from two.
        interpolation, fill_mode, fill_value: as of `RandomRotation`.

    Shapes: (h, w, c) or (b, h, w, c) -> the same
    """

    x_factor: Any = sides(0.0)
    y_factor: Any = sides(0.0)
    interpolation: Any = field("bilinear", INTERPOLATION)
    fill_mode: Any = field("reflect", FILL_MODE)
    fill_value: float = field(0.0)
    data_format: Any = field(None, standardize_data_format)
    seed: Any = field(None)

    def _drawn(self, batch: Batch) -> Transformation:
        side = batch.signs(1)
        y = batch.uniform(*as_range(self.y_factor), 1)
        x = batch.uniform(*as_range(self.x_factor), 1)
        factor = ops.concatenate([x, y], 1) * side
        return {"shear_factor": factor, "input_shape": batch.shape}

    def _transform(self, how: Transformation, height: int, width: int) -> jax.Array:
        a, b = jnp.moveaxis(jnp.asarray(how["shear_factor"]), -1, 0)
        return _affine(1.0, a, 0.0, b, 1.0, 0.0)


class RandomPerspective(Moving):
    """In training moves the corners of images, and all between them.

    Args:
        factor: the probability of an image is drawn from (0, factor), or between two.
        scale: corners move by up to scale / 2 of their distance from the first.
        interpolation, fill_value: as of `RandomRotation`.

    Shapes: (h, w, c) or (b, h, w, c) -> the same
    """

    factor: Any = drawn_from(0, 1, 1.0)
    scale: float = field(1.0, check=fraction)
    interpolation: Any = field("bilinear", INTERPOLATION)
    fill_value: float = field(0.0)
    seed: Any = field(None)
    data_format: Any = field(None, standardize_data_format)
    fill_mode = "constant"

    def _drawn(self, batch: Batch) -> Transformation:
        chosen = batch.chosen(self.factor)
        moves = batch.uniform(-self.scale / 2, self.scale / 2, 4, 2)
        right, down = batch.width - 1, batch.height - 1
        corners = jnp.array([[0, 0], [right, 0], [0, down], [right, down]], batch.dtype)
        start = jnp.broadcast_to(corners, (batch.size, 4, 2))
        return {
            "apply_perspective": chosen,
            "start_points": start,
            "end_points": start + start * moves,
            "input_shape": batch.shape,
        }

    def _transform(self, how: Transformation, height: int, width: int) -> jax.Array:
        start, end = (
            jnp.asarray(how[name], "float32") for name in ("start_points", "end_points")
        )
        return homography(start, end)

    def _changed(
        self, images: Tensor, how: Transformation, interpolation: str
    ) -> Tensor:
        chosen = jnp.asarray(how["apply_perspective"])[:, None, None, None]
        moved = super()._changed(images, how, interpolation)
        return ops.where(chosen, moved, images)

    def _moved(
        self, boxes: Tensor, how: Transformation, height: int, width: int
    ) -> Tensor:
        chosen = jnp.asarray(how["apply_perspective"])[:, None, None]
        return ops.where(chosen, super()._moved(boxes, how, height, width), boxes)


__all__ = [
    "RandomPerspective",
    "RandomRotation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
]
