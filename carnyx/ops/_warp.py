"""Images resampled: values at coordinates between pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates as sample

from carnyx._core.op import op
from carnyx._core.seed import SeedLike, draw_seed
from carnyx._numbers import integers
from carnyx.errors import ArgumentError, ShapeError
from carnyx.ops import _filters
from carnyx.ops._dtypes import tensor, to_float
from carnyx.ops._sampling import sampled
from carnyx.ops._spatial import images_axes
from carnyx.typing import Tensor

# fmt: off
__all__ = [
    "affine_transform", "elastic_transform", "map_coordinates", "perspective_transform",
    "resize", "scale_and_translate",
]
# fmt: on

_WAYS = ("nearest", "bilinear")
_FILLS = ("constant", "nearest", "wrap", "mirror", "reflect")
_RESIZES = ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic")
_METHODS = (
    "linear", "bilinear", "trilinear", "cubic", "bicubic", "tricubic", "lanczos3",
    "lanczos5",
)  # fmt: skip


def _one_of(name: str, value: Any, known: Sequence[Any] | dict) -> None:
    if value not in known:
        raise ArgumentError(f"{name} got {value!r}; expected one of {list(known)}.")


@op
def map_coordinates(
    inputs: Tensor,
    coordinates: Tensor,
    order: int,
    fill_mode: str = "constant",
    fill_value: float = 0,
) -> Tensor:
    """Values at coordinates: the nearest's (order 0), or between neighbours (1).

    Shapes: inputs of rank r, (r, …) -> (…)
    """
    x = tensor(inputs)
    at = jnp.asarray(coordinates)
    if at.ndim < 2 or at.shape[0] != x.ndim:
        raise ShapeError(
            f"map_coordinates got coordinates {at.shape}; expected ({x.ndim}, …), one "
            f"row for each axis of the inputs {x.shape}."
        )
    _one_of("order", order, (0, 1))
    _one_of("fill_mode", fill_mode, _FILLS)
    return sample(x, list(at), order, fill_mode, fill_value)


def _grid(images: jax.Array, data_format: str | None) -> tuple[jax.Array, jax.Array]:
    """The coordinates y and x of every pixel."""
    rows, columns, _ = images_axes(images, data_format)
    height, width = images.shape[rows], images.shape[columns]
    y, x = jnp.mgrid[:height, :width].astype("float32")
    return y, x


def _projected(p: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
    """Where each pixel comes from, for transforms p of 8 numbers: (b, 2, h, w)."""
    a0, a1, a2, b0, b1, b2, c0, c1 = (p[:, i, None, None] for i in range(8))
    k = c0 * x + c1 * y + 1
    return jnp.stack([b0 * x + b1 * y + b2, a0 * x + a1 * y + a2], 1) / k[:, None]


@op
def affine_transform(
    images: Tensor,
    transform: Tensor,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    """The pixel at (x, y) taken from ((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k).

    k = c0 x + c1 y + 1; `transform` is (a0, a1, a2, b0, b1, b2, c0, c1), or one an
    image.
    """
    _one_of("interpolation", interpolation, _WAYS)
    _one_of("fill_mode", fill_mode, _FILLS)
    images, p = tensor(images), to_float(transform)
    if p.ndim not in (1, 2) or p.shape[-1] != 8:
        raise ShapeError(f"transform got shape {p.shape}; expected (8,) or (b, 8).")
    yx = _projected(jnp.atleast_2d(p), *_grid(images, data_format))
    return sampled(
        images, yx, interpolation == "bilinear", fill_mode, fill_value, data_format
    )


def homography(start: jax.Array, end: jax.Array) -> jax.Array:
    """The transform (as of `affine_transform`) that takes 4 `end` points to `start`."""
    (x, y), (u, v) = jnp.moveaxis(end, -1, 0), jnp.moveaxis(start, -1, 0)
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    for_u = jnp.stack([x, y, one, zero, zero, zero, -u * x, -u * y], -1)
    for_v = jnp.stack([zero, zero, zero, x, y, one, -v * x, -v * y], -1)
    rows = jnp.concatenate([for_u, for_v], 1)
    return jnp.linalg.solve(rows, jnp.concatenate([u, v], 1)[..., None])[..., 0]


@op
def perspective_transform(
    images: Tensor,
    start_points: Tensor,
    end_points: Tensor,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    """The plane projected so that 4 points (x, y) at `start` come to lie at `end`.

    Shapes: images, (4, 2), (4, 2) or (b, 4, 2) each -> as images
    """
    _one_of("interpolation", interpolation, _WAYS)
    images = tensor(images)
    start, end = (jnp.asarray(p, "float32") for p in (start_points, end_points))
    if start.shape != end.shape or start.shape[-2:] != (4, 2) or start.ndim > 3:
        raise ShapeError(
            f"Got start_points {start.shape} and end_points {end.shape}; expected both "
            "(4, 2) or (b, 4, 2)."
        )
    p = homography(start.reshape(-1, 4, 2), end.reshape(-1, 4, 2))
    yx = _projected(p, *_grid(images, data_format))
    return sampled(
        images, yx, interpolation == "bilinear", "constant", fill_value, data_format
    )


@op
def elastic_transform(
    images: Tensor,
    alpha: float = 20.0,
    sigma: float = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: SeedLike | None = None,
    data_format: str | None = None,
) -> Tensor:
    """Pixels moved by a smooth random field, of strength `alpha`, smoothness `sigma`.

    Unlike Keras, whose two components are the same numbers, x and y move separately.

    References: Simard, Steinkraus & Platt 2003, doi:10.1109/ICDAR.2003.1227801
    """
    _one_of("interpolation", interpolation, _WAYS)
    _one_of("fill_mode", fill_mode, _FILLS)
    size = int(6 * float(sigma)) | 1
    return moved_by_noise(
        tensor(images), alpha, sigma, size, draw_seed(seed), interpolation, fill_mode,
        fill_value, data_format,
    )  # fmt: skip


def moved_by_noise(
    images: jax.Array, alpha: Any, sigma: Any, size: int, key: jax.Array,
    interpolation: str, fill_mode: str, fill_value: float, data_format: str | None,
) -> jax.Array:  # fmt: skip
    """`elastic_transform` with a kernel of `size`, for an `alpha` and a `sigma` that
    may be known only later."""
    y, x = _grid(images, data_format)
    batch = images.shape[0] if images.ndim == 4 else 1
    noise = sigma * jax.random.normal(key, (batch, *y.shape, 2))
    field = _filters.gaussian_blur(noise, (size, size), (sigma, sigma), "channels_last")
    yx = jnp.stack([y, x]) + alpha * jnp.moveaxis(field, -1, 1)
    return sampled(
        images, yx, interpolation == "bilinear", fill_mode, fill_value, data_format
    )


@op
def scale_and_translate(
    images: Tensor,
    output_shape: Sequence[int] | Tensor,
    scale: Tensor,
    translation: Tensor,
    spatial_dims: Sequence[int],
    method: str,
    antialias: bool = True,
) -> Tensor:
    """Resampled so that what was at i comes to lie at i · scale + translation."""
    _one_of("method", method, _METHODS)
    return jax.image.scale_and_translate(
        tensor(images), tuple(output_shape), tuple(spatial_dims), to_float(scale),
        to_float(translation), method, antialias,
    )  # fmt: skip


def _cropped_to_ratio(x: jax.Array, axes: Sequence[int], size: Sequence[int]):
    (rows, columns), (th, tw) = axes, size
    height, width = x.shape[rows], x.shape[columns]
    at: list[Any] = [slice(None)] * x.ndim
    for axis, n, wanted in (
        (rows, height, int(width * th / tw)),
        (columns, width, int(height * tw / th)),
    ):
        kept = max(min(n, wanted), 1)
        start = (n - kept) // 2
        at[axis] = slice(start, start + kept)
    return x[tuple(at)]


def _padded_to_ratio(
    x: jax.Array, axes: Sequence[int], size: Sequence[int], fill: float
):
    (rows, columns), (th, tw) = axes, size
    height, width = x.shape[rows], x.shape[columns]
    pads = [(0, 0)] * x.ndim
    tall = (max(height, int(width * th / tw)) - height) // 2
    wide = (max(width, int(height * tw / th)) - width) // 2
    # One of them only: rounding must not pad the other axis too.
    pads[rows], pads[columns] = (tall, tall), (0, 0) if tall else (wide, wide)
    return jnp.pad(x, pads, constant_values=fill)


@op
def resize(
    images: Tensor,
    size: Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Tensor:
    """Images of another height and width, in the dtype that they have.

    >>> import numpy as np
    >>> resize(np.ones((2, 4, 4, 3)), (8, 6)).shape
    (2, 8, 6, 3)
    """
    _one_of("interpolation", interpolation, _RESIZES)
    _one_of("fill_mode", fill_mode, ("constant",))
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ArgumentError("Give crop_ or pad_to_aspect_ratio, not both.")
    size = integers(size, 2, "resize: size", 1)
    x = tensor(images)
    axes = images_axes(x, data_format)[:2]
    if crop_to_aspect_ratio:
        x = _cropped_to_ratio(x, axes, size)
    elif pad_to_aspect_ratio:
        x = _padded_to_ratio(x, axes, size, fill_value)
    shape = list(x.shape)
    for axis, n in zip(axes, size, strict=True):
        shape[axis] = n
    if interpolation != "nearest" and not jnp.issubdtype(x.dtype, jnp.floating):
        y = jax.image.resize(to_float(x), shape, interpolation, antialias=antialias)
        return _rounded(y, x.dtype)
    return jax.image.resize(x, shape, interpolation, antialias=antialias)


def _rounded(y: jax.Array, dtype: Any) -> jax.Array:
    """As integers, without leaving their range, which bicubic would."""
    limits = jnp.iinfo("uint8" if dtype == "bool" else dtype)
    return jnp.clip(jnp.round(y), limits.min, limits.max).astype(dtype)
