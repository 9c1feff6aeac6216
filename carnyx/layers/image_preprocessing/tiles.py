"""Adaptive equalization: each pixel by the tables of the four tiles around it."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

_VALUES = 256


def equalized_in_tiles(x: jax.Array, grid: Sequence[int], limit: float) -> jax.Array:
    """Planes of pixels from 0 to 255, equalized by tiles.

    Shapes: (b, c, h, w) -> the same
    """
    height, width = x.shape[2:]
    sizes = [-(-n // tiles) for n, tiles in zip((height, width), grid, strict=True)]
    pads = [n * tiles - m for n, tiles, m in zip(sizes, grid, x.shape[2:], strict=True)]
    padded = jnp.pad(x, [(0, 0), (0, 0), (0, pads[0]), (0, pads[1])], "symmetric")
    pixels = jnp.clip(padded, 0, _VALUES - 1).astype("int32")
    one = lambda plane: _plane(plane, sizes, grid, limit)  # noqa: E731
    out = jax.vmap(jax.vmap(one))(pixels)[..., :height, :width]
    return out.astype(x.dtype)


def _plane(
    pixels: jax.Array, sizes: Sequence[int], grid: Sequence[int], limit: float
) -> jax.Array:
    """One plane of integers, (h, w)."""
    (rows, columns), (high, wide) = grid, sizes
    tiles = pixels.reshape(rows, high, columns, wide).swapaxes(1, 2)
    tables = jax.vmap(lambda t: _table(t, limit))(tiles.reshape(rows * columns, -1))
    tables = tables.reshape(rows, columns, _VALUES)
    top, bottom, down = _neighbours(rows, high)
    left, right, across = _neighbours(columns, wide)

    def looked_up(y: jax.Array, x: jax.Array) -> jax.Array:
        return tables[y[:, None], x[None, :], pixels]

    upper = _between(looked_up(top, left), looked_up(top, right), across)
    lower = _between(looked_up(bottom, left), looked_up(bottom, right), across)
    return _between(upper, lower, down[:, None])


def _table(tile: jax.Array, limit: float) -> jax.Array:
    """What becomes of each value in a tile."""
    count = jnp.bincount(tile, length=_VALUES).astype("float32")
    if limit > 0:
        kept = jnp.minimum(count, limit * tile.size / _VALUES)
        count = kept + (count - kept).sum() / _VALUES  # what is cut goes to all
    below = jnp.cumsum(count)
    least = below.min()
    others = tile.size - least
    scaled = (below - least) * 255 / jnp.where(others == 0, 1, others)
    return jnp.clip(scaled, 0, 255)


def _neighbours(tiles: int, size: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """For pixels along an axis: the tiles whose centres lie before and after, and how
    far it is from the first; at the borders both are one."""
    place = (jnp.arange(tiles * size) - size / 2) / size
    before = jnp.floor(place)
    first, second = (jnp.clip(before + n, 0, tiles - 1).astype("int32") for n in (0, 1))
    return first, second, (place - before).astype("float32")


def _between(a: jax.Array, b: jax.Array, share: jax.Array) -> jax.Array:
    return a * (1 - share) + b * share
