"""Which keys each query attends to: masks of steps, causal ones, windows, as one.

A mask of scores without heads is (batch…, query…, key…); query and key have the
attended axes, `axes`, and the other ones of the inputs count as batch axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from carnyx.ops._attention import ahead
from carnyx.typing import Tensor

Mask = jax.Array | None


def both(first: Mask, second: Mask) -> Mask:
    """What both masks allow; None allows all."""
    if first is None or second is None:
        return second if first is None else first
    return first & second


def of_positions(
    query: Tensor,
    key: Tensor,
    axes: Sequence[int],
    causal: bool = False,
    window: int | None = None,
) -> Mask:
    """Keys not after the query, and less than `window` away from it.

    Shapes: the inputs as given, with features -> (1, query…, key…)
    """
    if not causal and window is None:
        return None
    sizes = ([x.shape[axis] for axis in axes] for x in (query, key))
    distance = ahead(*sizes)[None]
    near = None if window is None else jnp.abs(distance) < window
    return both(distance >= 0 if causal else None, near)


def of_steps(mask: Tensor | None, rank: int, axes: Sequence[int], query: bool) -> Mask:
    """A mask of the steps of the query, or else of key and value.

    Shapes: (batch…, attended…) as the inputs without features, or (b, attended…) ->
    (batch…, query…, key…), of size 1 on the other's axes
    """
    if mask is None:
        return None
    mask = jnp.asarray(mask, bool)
    if mask.ndim == rank - 1:
        mask = jnp.moveaxis(mask, axes, range(-len(axes), 0))
    elif mask.ndim == 1 + len(axes):
        mask = jnp.expand_dims(mask, tuple(range(1, rank - 1 - len(axes))))
    place = mask.ndim if query else mask.ndim - len(axes)
    return jnp.expand_dims(mask, tuple(range(place, place + len(axes))))


def with_heads(mask: Mask, rank: int, axes: Sequence[int]) -> Mask:
    """The mask with axes of size 1 for the heads, and for batch axes it lacks."""
    if mask is None:
        return None
    place = mask.ndim - 2 * len(axes)
    return jnp.expand_dims(mask, tuple(range(place, place + rank - mask.ndim)))
