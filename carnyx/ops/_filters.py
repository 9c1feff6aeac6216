"""Images through small fixed kernels, and how alike two images are."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from carnyx._core.op import op
from carnyx._numbers import integers
from carnyx.errors import ArgumentError, ShapeError
from carnyx.ops._convolution import depthwise_conv
from carnyx.ops._dtypes import tensor, to_floats
from carnyx.ops._spatial import images_axes
from carnyx.typing import Tensor

__all__ = ["gaussian_blur", "sobel_edges", "ssim"]


def _separable(
    images: jax.Array, down: jax.Array, across: jax.Array, data_format: str | None,
    padding: str = "same",
) -> jax.Array:  # fmt: skip
    """Every channel through the outer product of two kernels, one after the other."""
    channels = images_axes(images, data_format)[2]
    x = images if images.ndim == 4 else images[None]
    for kernel in (down[:, None], across[None]):
        each = jnp.repeat(kernel[..., None, None], x.shape[channels], 2)
        x = depthwise_conv(x, each.astype(x.dtype), 1, padding, data_format)
    return x if images.ndim == 4 else x[0]


def _gaussian(size: int, sigma: Tensor) -> jax.Array:
    x = jnp.arange(size) - (size - 1) / 2
    weights = jnp.exp(-0.5 * (x / sigma) ** 2)
    return weights / weights.sum()


@op
def gaussian_blur(
    images: Tensor,
    kernel_size: Sequence[int] = (3, 3),
    sigma: Sequence[float] = (1.0, 1.0),
    data_format: str | None = None,
) -> Tensor:
    """A mean of neighbours weighted by exp(-d² / (2 sigma²)).

    Args:
        kernel_size, sigma: across, then down, as in Keras.
    """
    sizes = integers(kernel_size, 2, "gaussian_blur: kernel_size", 1)
    if any(isinstance(s, int | float) and s <= 0 for s in sigma):
        raise ArgumentError(f"gaussian_blur got sigma={sigma}; expected two above 0.")
    across, down = (_gaussian(n, s) for n, s in zip(sizes, sigma, strict=True))
    return _separable(tensor(images), down, across, data_format)


@op
def sobel_edges(images: Tensor, data_format: str | None = None) -> Tensor:
    """Slopes down and across, on a new last axis: (…, 2)."""
    images = tensor(images)
    slope, smooth = jnp.array([-1, 0, 1]), jnp.array([1, 2, 1])
    dy = _separable(images, slope, smooth, data_format)
    dx = _separable(images, smooth, slope, data_format)
    return jnp.stack([dy, dx], -1)


@op
def ssim(
    image1: Tensor,
    image2: Tensor,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> Tensor:
    """Structural similarity, 1 for equal images.

    Shapes: twice (h, w, c) -> (), or twice (b, h, w, c) -> (b,)

    References: Wang et al. 2004, doi:10.1109/TIP.2003.819861
    """
    x, y = to_floats(image1, image2)
    if x.shape != y.shape:
        raise ShapeError(f"ssim got shapes {x.shape} and {y.shape}; expected one.")
    weights = _gaussian(filter_size, filter_sigma)

    def mean(a):
        return _separable(a, weights, weights, data_format, "valid")

    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    alike = (2 * mx * my + c1) * (2 * cov + c2)
    alike /= (mx**2 + my**2 + c1) * (vx + vy + c2)
    return alike.mean((-3, -2, -1)).astype(tensor(image1).dtype)
