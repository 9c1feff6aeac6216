"""Floats as integers of 8 and 4 bits with a scale, and two of 4 bits in a byte.

References: Jacob et al. 2018, arXiv:1712.05877; Dettmers et al. 2022, arXiv:2208.07339
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnyx._core.op import op
from carnyx._numbers import integer
from carnyx.errors import ArgumentError, DTypeError, ShapeError
from carnyx.ops._dtypes import tensor
from carnyx.ops._thin import axes as hashable
from carnyx.typing import Axis, Tensor

EPSILON = 1e-7


@op
def abs_max_quantize(
    inputs: Tensor,
    axis: Axis,
    value_range: tuple[float, float] = (-127, 127),
    dtype: str = "int8",
    epsilon: float = EPSILON,
    to_numpy: bool = False,
) -> tuple[Tensor, Tensor]:
    """`q, scale` with q = round(inputs · scale), the greatest size at the range's end.

    Args:
        axis: along which numbers share a scale.
        epsilon: what keeps the scale of zeros finite.
        to_numpy: compute on the host, for arrays that the device cannot hold twice.

    >>> q, scale = abs_max_quantize(jnp.array([[1.0, -2.0, 4.0]]), axis=-1)
    >>> q.tolist(), round(float(scale[0, 0]), 2)
    ([[32, -64, 127]], 31.75)
    """
    on: Any = np if to_numpy else jnp
    x = np.asarray(inputs) if to_numpy else tensor(inputs)
    low, high = value_range
    greatest = on.max(on.abs(x), axis=hashable(axis), keepdims=True)
    scale = (high / (greatest + epsilon)).astype(x.dtype)
    q = on.clip(on.round(x * scale), low, high).astype(dtype)
    return jnp.asarray(q), jnp.asarray(scale)


@op
def abs_max_quantize_grouped_with_zero_point(
    inputs: Tensor,
    block_size: int,
    value_range: tuple[int, int] = (-8, 7),
    dtype: str = "int8",
    epsilon: float = EPSILON,
    to_numpy: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """`q, scale, zero` with inputs ≈ (q - zero) · scale in blocks of rows.

    Each block of `block_size` rows has a scale and a zero point for each column; the
    last one may be shorter, and counts as filled with zeros.

    Shapes: (rows, columns) -> (rows, columns), (blocks, columns), (blocks, columns)

    Args:
        to_numpy: compute on the host.

    >>> q, scale, zero = abs_max_quantize_grouped_with_zero_point(jnp.eye(4), 2)
    >>> q.shape, scale.shape, zero.dtype.name
    ((4, 4), (2, 4), 'int8')
    """
    on: Any = np if to_numpy else jnp
    x = np.asarray(inputs) if to_numpy else tensor(inputs)
    block = integer(block_size, "block_size", 1)
    if x.ndim != 2:
        raise ShapeError(f"inputs got shape {x.shape}; expected (rows, columns).")
    (rows, columns), (low, high) = x.shape, value_range
    blocks = -(-rows // block)
    padded = on.pad(x, ((0, blocks * block - rows), (0, 0)))
    padded = padded.reshape(blocks, block, columns)
    least, most = padded.min(1, keepdims=True), padded.max(1, keepdims=True)
    flat = least == most  # one number is in the middle of a range of its own
    least, most = on.where(flat, least - 1, least), on.where(flat, most + 1, most)
    scale = (most - least + epsilon) / (high - low)
    zero = on.clip(on.round(-least / scale) + low, low, high)
    q = on.clip(on.round(padded / scale) + zero, low, high).astype(dtype)
    q = q.reshape(blocks * block, columns)[:rows]
    parts = q, scale[:, 0].astype(x.dtype), zero[:, 0].astype("int8")
    return jnp.asarray(parts[0]), jnp.asarray(parts[1]), jnp.asarray(parts[2])


def _check_byte(dtype: str) -> None:
    if dtype not in ("int8", "uint8"):
        raise ArgumentError(
            f"Expected dtype to be 'int8' or 'uint8', but got {dtype!r}."
        )


def pack_int4(
    arr: Tensor, axis: int = 0, dtype: str = "int8"
) -> tuple[jax.Array, tuple[int, ...], int]:
    """Two neighbours in a byte, the first in the lower half: `packed, shape, length`.

    Args:
        arr: integers from -8 to 7 (with `dtype="uint8"` from 0 to 15).
        axis: whose neighbours are packed; its length is the third result.

    Raises:
        DTypeError: where `arr` is not of `dtype`.

    >>> packed, shape, length = pack_int4(np.array([1, -1, 7], "int8"))
    >>> packed.tolist(), shape, length
    ([-15, 7], (2,), 3)
    """
    _check_byte(dtype)
    x = np.moveaxis(np.asarray(arr), axis, 0)
    if x.dtype.name != dtype:
        raise DTypeError(f"Expected {dtype} tensor for packing, got {x.dtype.name}.")
    length = x.shape[0]
    x = np.pad(x, [(0, length % 2)] + [(0, 0)] * (x.ndim - 1)).view("uint8")
    packed = np.moveaxis((x[::2] & 15) | (x[1::2] << 4), 0, axis).view(dtype)
    return jnp.asarray(packed), packed.shape, length


@op
def unpack_int4(
    packed: Tensor, orig_len: int, axis: int = 0, dtype: str = "int8"
) -> Tensor:
    """The inverse of `pack_int4`: `orig_len` numbers along the axis.

    >>> unpack_int4(np.array([-15, 7], "int8"), 3).tolist()
    [1, -1, 7]
    """
    _check_byte(dtype)
    x = tensor(packed)
    if x.dtype.name != dtype:
        raise DTypeError(f"Expected {dtype} tensor to unpack, got {x.dtype.name}.")
    x = jnp.moveaxis(x, axis, 0)
    if dtype == "int8":  # shifts of signed numbers carry the sign along
        low, high = jnp.right_shift(jnp.left_shift(x, 4), 4), jnp.right_shift(x, 4)
    else:
        low, high = x & 15, x >> 4
    both = jnp.stack([low, high], 1).reshape(2 * x.shape[0], *x.shape[1:])
    return jnp.moveaxis(both[:orig_len], 0, axis)
