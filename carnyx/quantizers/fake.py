"""Training that knows of the rounding: floats on the grid that integers will have.

References: Jacob et al. 2018, arXiv:1712.05877, section 3
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from carnyx._core.op import op
from carnyx._numbers import integer
from carnyx.ops._dtypes import tensor, to_float
from carnyx.typing import Tensor


@op
def fake_quant_with_min_max_vars(
    inputs: Tensor,
    min_vals: Tensor,
    max_vals: Tensor,
    num_bits: int = 8,
    narrow_range: bool = False,
    axis: int | None = None,
) -> Tensor:
    """`inputs` clipped and rounded to the 2 ** num_bits steps from min to max.

    The range is moved so that 0 is one of the steps. The gradient goes through the
    rounding unchanged; that of what was clipped goes to the range's end.

    Shapes: as `inputs`; the ends are scalars, or have an entry for each along `axis`

    Args:
        narrow_range: leave out the lowest step.

    >>> fake_quant_with_min_max_vars(jnp.array([-1.0, 0.3, 9.0]), 0.0, 3.0, 2).tolist()
    [0.0, 0.0, 3.0]
    """
    x, bits = tensor(inputs), integer(num_bits, "num_bits", 1)
    shape = [1] * x.ndim
    if axis is not None:
        shape[axis] = x.shape[axis]
    low, high = (to_float(v).reshape(shape if axis is not None else ()) for v in
                 (min_vals, max_vals))  # fmt: skip
    levels = (1 << bits) - 1 - bool(narrow_range)
    return _rounded(x, low, high, levels, int(bool(narrow_range)))


@jax.custom_vjp
def _rounded(
    x: jax.Array, low: jax.Array, high: jax.Array, levels: int, first: int
) -> jax.Array:
    low, _, step = _nudged(low, high, levels, first)
    wide = x.astype(step.dtype)
    at = jnp.clip(wide, low, low + levels * step)
    zero = jnp.floor(-low / step + 0.5)
    place = jnp.floor((at - low) / step - zero + 0.5)
    return (place * step).astype(x.dtype)


def _nudged(low: jax.Array, high: jax.Array, levels: int, first: int) -> tuple:
    """The ends of the range and the step, moved so that 0 is a step."""
    step = (high - low) / levels
    zero = jnp.round(jnp.clip(first - low / step, first, first + levels))
    return (first - zero) * step, (first + levels - zero) * step, step


def _forward(x, low, high, levels, first):
    ends = _nudged(low, high, levels, first)[:2]
    return _rounded(x, low, high, levels, first), (x, low, high, ends)


def _backward(kept, upstream):
    x, low, high, (least, most) = kept
    axes = tuple(i for i in range(x.ndim) if low.ndim == 0 or low.shape[i] == 1)

    def gathered(where: jax.Array, like: jax.Array) -> jax.Array:
        total = jnp.sum(jnp.where(where, upstream, 0), axes)
        return total.reshape(like.shape).astype(like.dtype)

    inside = (x >= least) & (x <= most)
    to_x = jnp.where(inside, upstream, 0).astype(x.dtype)
    return to_x, gathered(x <= least, low), gathered(x >= most, high), None, None


_rounded.defvjp(_forward, _backward)
