"""Floats of 8 bits, whose scale follows the greatest values of the last steps.

References: Micikevicius et al. 2022, arXiv:2209.05433
"""

from __future__ import annotations

import jax.numpy as jnp
import ml_dtypes

from carnyx._core.op import op
from carnyx.ops._dtypes import tensor
from carnyx.typing import Tensor


@op
def compute_float8_scale(
    amax: Tensor, scale: Tensor, dtype_max: float, margin: int = 0
) -> Tensor:
    """The scale with which `amax` becomes `dtype_max` / 2 ** margin.

    The old scale stays where `amax` is 0 or no number.
    """
    amax, scale = tensor(amax), tensor(scale)
    usable = (amax > 0) & jnp.isfinite(amax)
    return jnp.where(usable, jnp.where(usable, amax, 1) * 2**margin / dtype_max, scale)


@op
def compute_float8_amax_history(x: Tensor, amax_history: Tensor) -> Tensor:
    """The history one step further: the newest greatest size is its first entry.

    >>> history = jnp.array([9.0, 8.0])
    >>> compute_float8_amax_history(jnp.array([-3.0, 1.0]), history).tolist()
    [3.0, 9.0]
    """
    history = tensor(amax_history)
    newest = jnp.max(jnp.abs(tensor(x))).astype(history.dtype)
    return jnp.roll(history, -1).at[0].set(newest)


@op
def quantize_and_dequantize(
    inputs: Tensor, scale: Tensor, quantized_dtype: str, compute_dtype: str
) -> Tensor:
    """What is left of `inputs` after a stay in `quantized_dtype`.

    >>> y = quantize_and_dequantize(jnp.array([1.07]), 1.0, "float8_e4m3fn", "float32")
    >>> y.tolist()
    [1.125]
    """
    most = jnp.asarray(float(ml_dtypes.finfo(quantized_dtype).max), compute_dtype)
    scale = jnp.asarray(scale, compute_dtype)
    x = jnp.clip(tensor(inputs) / scale, -most, most).astype(quantized_dtype)
    return x.astype(compute_dtype) * scale
