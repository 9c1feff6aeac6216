"""Patches of images and volumes as channels, and images made of them again."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from carnyx._core.op import op
from carnyx.errors import ArgumentError, ShapeError
from carnyx.ops._dtypes import tensor
from carnyx.ops._spatial import Sizes, channels_last, per_axis, window
from carnyx.typing import Tensor

__all__ = ["extract_patches", "extract_patches_3d", "reconstruct_patches"]


def _patches(
    images: Tensor, size: Sequence[int], strides: Sizes | None, dilation: Sizes,
    padding: str, data_format: str | None,
) -> jax.Array:  # fmt: skip
    """What a window sees as channels: (place in the window, channel), flattened."""
    x, rank = tensor(images), len(size)
    if x.ndim not in (rank + 1, rank + 2):
        raise ShapeError(
            f"Got images of shape {x.shape}; expected rank {rank + 1} (one) or "
            f"{rank + 2} (a batch)."
        )
    last, batched = channels_last(data_format), x.ndim == rank + 2
    x = x if batched else x[None]
    w = window(x, size, size if strides is None else strides, padding, dilation, last)
    out = jnp.concatenate(w.views(x), -1 if last else 1)
    return out if batched else out[0]


@op
def extract_patches(
    images: Tensor,
    size: Sizes,
    strides: Sizes | None = None,
    dilation_rate: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Patches of images (or, for a size of 3 numbers, of volumes) as channels.

    Shapes: (…, h, w, c) -> (…, rows, columns, size · c)

    >>> extract_patches(jnp.ones((1, 4, 4, 3)), 2).shape
    (1, 2, 2, 12)
    """
    rank = len(size) if isinstance(size, list | tuple) else 2
    if rank not in (2, 3):
        raise ArgumentError(f"size got {size}; expected an int, 2 or 3 of them.")
    sizes = per_axis(size, rank, "extract_patches: size")
    return _patches(images, sizes, strides, dilation_rate, padding, data_format)


@op
def reconstruct_patches(
    patches: Tensor,
    size: Sizes,
    output_size: Sizes | None = None,
    strides: Sizes | None = None,
    padding: str = "valid",
    data_format: str | None = None,
    reduction: str = "mean",
    dilation_rate: Sizes = 1,
) -> Tensor:
    """The images (or volumes) that `extract_patches` cut up.

    Shapes: (…, rows, columns, size · c) -> (…, *output_size, c)

    Args:
        output_size: of the images; None takes what the patches cover, with "valid"
            padding. Pixels that no patch covers are 0.
        strides: from patch to patch; None puts them side by side.
        reduction: "mean" or "sum" of the patches that overlap in a pixel.

    >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    >>> bool((reconstruct_patches(extract_patches(x, 2), 2) == x).all())
    True
    """
    x, rank = tensor(patches), len(size) if isinstance(size, list | tuple) else 2
    sizes = per_axis(size, rank, "reconstruct_patches: size")
    if x.ndim not in (rank + 1, rank + 2):
        raise ShapeError(
            f"reconstruct_patches got shape {x.shape}; expected rank {rank + 1} (one "
            f"image) or {rank + 2} (a batch)."
        )
    if reduction not in ("mean", "sum"):
        raise ArgumentError(f"reduction got {reduction!r}; expected 'mean' or 'sum'.")
    steps = per_axis(sizes if strides is None else strides, rank, "strides")
    image = _uncut_shape(x, sizes, output_size, steps, padding, data_format,
                         per_axis(dilation_rate, rank, "dilation_rate"))  # fmt: skip

    def cut(image: jax.Array) -> jax.Array:
        return _patches(image, sizes, steps, dilation_rate, padding, data_format)

    if jax.eval_shape(cut, image).shape != x.shape:
        raise ShapeError(
            f"reconstruct_patches got patches of shape {x.shape}; an image of shape "
            f"{image.shape} has patches of shape {jax.eval_shape(cut, image).shape}."
        )
    join = jax.linear_transpose(cut, image)
    if reduction == "sum":
        return join(x)[0]
    return join(x)[0] / jnp.maximum(join(jnp.ones_like(x))[0], 1)


def _uncut_shape(
    x: jax.Array, size: Sequence[int], output_size: Sizes | None,
    strides: Sequence[int], padding: str, data_format: str | None,
    dilation: Sequence[int],
) -> jax.ShapeDtypeStruct:  # fmt: skip
    """The image of which `x` are the patches."""
    rank, last = len(size), channels_last(data_format)
    first = x.ndim - rank - (1 if last else 0)
    if output_size is not None:
        space = per_axis(output_size, rank, "output_size")
    elif padding == "valid":
        space = tuple(
            (n - 1) * step + (k - 1) * apart + 1
            for n, step, k, apart in zip(x.shape[first:], strides, size, dilation)
        )
    else:
        raise ArgumentError(
            f"reconstruct_patches got output_size=None with padding={padding!r}: how "
            "much was padded is not known. Give output_size."
        )
    channels, left = divmod(x.shape[-1 if last else first - 1], math.prod(size))
    if left:
        raise ShapeError(
            f"reconstruct_patches got patches of shape {x.shape}; expected a multiple "
            f"of {math.prod(size)} values each, for size={tuple(size)}."
        )
    batch = x.shape[:1] if x.ndim == rank + 2 else ()
    inner = (*space, channels) if last else (channels, *space)
    return jax.ShapeDtypeStruct((*batch, *inner), x.dtype)


@op
def extract_patches_3d(
    volumes: Tensor,
    size: Sizes,
    strides: Sizes | None = None,
    dilation_rate: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    """Patches of volumes as channels.

    Shapes: (…, d, h, w, c) -> (…, planes, rows, columns, size · c)
    """
    sizes = per_axis(size, 3, "size")
    return _patches(volumes, sizes, strides, dilation_rate, padding, data_format)
