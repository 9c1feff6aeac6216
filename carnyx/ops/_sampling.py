"""Images read at coordinates between their pixels.

The hot spot of augmentation. Coordinates are folded into the image first, once for all
channels; then each pixel is four reads of a whole colour and three mixtures.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from carnyx.ops._spatial import images_axes


class Reads(NamedTuple):
    """For coordinates along one axis: two neighbours, and how much of each."""

    first: jax.Array
    second: jax.Array
    of_first: jax.Array
    of_second: jax.Array


def sampled(
    images: jax.Array,
    yx: jax.Array,
    linear: bool,
    mode: str,
    fill: float,
    data_format: str | None,
) -> jax.Array:
    """Every image at coordinates, in the dtype that it has.

    Shapes: (h, w, c) or (b, h, w, c), (b or 1, 2, new h, new w) -> as images

    Args:
        linear: mix the neighbours; otherwise take the nearest.
        mode: what lies beyond the border: constant, nearest, wrap, mirror, reflect.
    """
    rows, columns, channels = images_axes(images, data_format)
    height, width = images.shape[rows], images.shape[columns]
    x = jnp.moveaxis(images if images.ndim == 4 else images[None], channels, -1)
    yx = jnp.broadcast_to(yx, (len(x), *yx.shape[1:]))
    # Computed once and kept: else XLA does it anew for each read of each channel, and
    # a floor there may not be the floor here.
    x, yx = lax.optimization_barrier((x, yx))
    down, across = (
        _reads(at, n, linear, mode) for at, n in ((yx[:, 0], height), (yx[:, 1], width))
    )
    out = _mixed(x, down, across, linear)
    if mode == "constant":
        inside = (down.of_first + down.of_second) * (across.of_first + across.of_second)
        out = out + (fill * (1 - inside))[..., None]
    if not jnp.issubdtype(images.dtype, jnp.floating):
        out = _rounded(out)
    # Kept, too: who reads it twice (a mean, and its use) must not have it made twice.
    out = lax.optimization_barrier(out.astype(images.dtype))
    out = jnp.moveaxis(out, -1, channels)
    return out if images.ndim == 4 else out[0]


def _mixed(x: jax.Array, down: Reads, across: Reads, linear: bool) -> jax.Array:
    def read(rows: jax.Array, columns: jax.Array) -> jax.Array:
        def one(image: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
            return image.at[y, x].get(mode="promise_in_bounds")

        return jax.vmap(one)(x, rows, columns)

    def row(rows: jax.Array) -> jax.Array:
        left = read(rows, across.first) * across.of_first[..., None]
        if not linear:
            return left
        return left + read(rows, across.second) * across.of_second[..., None]

    upper = row(down.first) * down.of_first[..., None]
    return upper + row(down.second) * down.of_second[..., None] if linear else upper


def _reads(at: jax.Array, n: int, linear: bool, mode: str) -> Reads:
    """Which pixels of an axis of n are read at coordinates, and how much of each."""
    at = at if linear else _rounded(at)
    at = at if mode == "constant" else _folded(at, n, mode)
    low = jnp.floor(at)
    share = at - low
    weights = [1 - share, share]
    if mode == "constant":
        inside = [(low + i >= 0) & (low + i < n) for i in (0, 1)]
        weights = [jnp.where(i, w, 0) for i, w in zip(inside, weights, strict=True)]
    first = jnp.clip(low, 0, n - 1).astype("int32")
    after = (first + 1) % n if mode == "wrap" else jnp.minimum(first + 1, n - 1)
    # Beyond the border by one: the second neighbour is the first pixel.
    second = jnp.where(low < 0, 0, after) if mode == "constant" else after
    return Reads(first, second, *weights)


def _rounded(x: jax.Array) -> jax.Array:
    """Halves away from 0."""
    return jnp.sign(x) * jnp.floor(jnp.abs(x) + 0.5)


def _folded(at: jax.Array, n: int, mode: str) -> jax.Array:
    """Coordinates of the same value within the image."""
    if mode == "wrap":  # a b c d | a b c d | a b c d
        at = at - n * jnp.floor(at / n)
        return jnp.where(at >= n, at - n, at)  # of -1e-9, say, n was left
    if mode == "reflect":  # d c b a | a b c d | d c b a
        at = _there_and_back(at + 0.5, n) - 0.5
    elif mode == "mirror":  # d c b | a b c d | c b a
        at = _there_and_back(at, max(n - 1, 1))
    return jnp.clip(at, 0, n - 1)


def _there_and_back(at: jax.Array, n: int) -> jax.Array:
    at = jnp.abs(at)
    at = at - 2 * n * jnp.floor(at / (2 * n))
    return jnp.minimum(at, 2 * n - at)
