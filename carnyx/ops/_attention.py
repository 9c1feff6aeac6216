"""Attention: softmax(q k' · scale) v."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from carnyx import config
from carnyx._core.memory import ensure_room
from carnyx._core.op import op
from carnyx._core.scope import current, fast_gradients, is_tracer, platform
from carnyx.errors import ArgumentError, ShapeError
from carnyx.ops._dtypes import result_type, tensor
from carnyx.ops._flash import flash_attention as flash_on_paper
from carnyx.typing import Tensor

__all__ = ["dot_product_attention"]


def _check(query: jax.Array, key: jax.Array, value: jax.Array) -> None:
    shapes = query.shape, key.shape, value.shape
    if any(len(s) != 4 for s in shapes):
        raise ShapeError(
            "dot_product_attention got query, key, value of shapes "
            f"{', '.join(map(str, shapes))}; expected (batch, time, heads, size)."
        )
    if query.shape[2] % key.shape[2]:
        raise ShapeError(
            f"dot_product_attention got {query.shape[2]} query heads and "
            f"{key.shape[2]} key heads; expected a multiple."
        )


def _fits_flash(q: jax.Array, k: jax.Array, v: jax.Array, bias: Any, mask: Any) -> bool:
    """What cuDNN's fused kernel takes: half precision, small heads, an Ampere GPU.

    A mask is a bias to it, and of a bias its gradient needs even lengths.
    """
    capability = getattr(jax.devices()[0], "compute_capability", "0")
    capability = "8" if _on_paper() else capability
    half = q.dtype.name in ("float16", "bfloat16")
    size = q.shape[-1]
    even = mask is None or (q.shape[1] % 2 == 0 and k.shape[1] % 2 == 0)
    return half and bias is None and even and v.shape[-1] == size and (
        size <= 128 and size % 8 == 0 and float(capability) >= 8
    )  # fmt: skip


def _on_paper() -> bool:
    """Whether a program is traced for its costs on a GPU, and not to run."""
    return current().platform == "gpu"


def _weights(q, k, bias, mask, scale: float, cap: float | None) -> jax.Array:
    """softmax(q k' · scale + bias, where mask), in float32 at least."""
    wide = jnp.promote_types(q.dtype, jnp.float32)
    scores = jnp.einsum("btnh,bsnh->bnts", q, k, preferred_element_type=wide) * scale
    if bias is not None:
        scores += bias
    if cap is not None:
        scores = scores / (1 + jnp.abs(scores) / cap)
    return softmax_where(scores, mask)


def softmax_where(scores: jax.Array, mask: jax.Array | None) -> jax.Array:
    """softmax over the keys that a mask allows; over none of them, an even mean.

    Shapes: (…, t, s), a mask that broadcasts to it -> (…, t, s)
    """
    if mask is not None:
        # Finite, so that a row without any key gives a mean, not NaN.
        scores = jnp.where(mask, scores, -0.7 * jnp.finfo(scores.dtype).max)
    return jax.nn.softmax(scores)


def ahead(queries: Sequence[int], keys: Sequence[int]) -> jax.Array:
    """Position of each query less that of each key; several axes go row by row.

    A causal mask is where it is at least 0. Sizes: of the attended axes.

    Shapes: -> (*queries, *keys)

    >>> (ahead([2], [3]) >= 0).tolist()
    [[True, False, False], [True, True, False]]
    """
    own, others = (jnp.arange(math.prod(n)).reshape(n) for n in (queries, keys))
    return own.reshape(own.shape + (1,) * len(keys)) - others


def _mean(weights: jax.Array, v: jax.Array) -> jax.Array:
    return jnp.einsum("bnts,bsnh->btnh", weights.astype(v.dtype), v)


def _by_head(x: jax.Array) -> jax.Array:
    return jnp.swapaxes(x, 1, 2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _fast_attention(q, k, v, mask, scale: float) -> jax.Array:
    return _fast_forward(q, k, v, mask, scale)[0]


def _fast_forward(q, k, v, mask, scale):
    wide = jnp.promote_types(q.dtype, jnp.float32)
    q, k, v = map(_by_head, (q, k, v))
    scores = jnp.einsum("bnth,bnsh->bnts", q, k, preferred_element_type=wide) * scale
    weights = softmax_where(scores, mask)
    output = _by_head(jnp.einsum("bnts,bnsh->bnth", weights.astype(v.dtype), v))
    return output, (q, k, v, mask, weights, output)


def _fast_backward(scale, saved, g):
    """18 ms with the forward pass where derived it is 34 (32 x 128 x 4 x 64, a CPU).

    The softmax's gradient w (dw - sum(w dw)) needs no sum over weights, since
    sum_s w dw = g · output; so there is little between the products.
    """
    q, k, v, mask, weights, output = saved
    wide = weights.dtype
    total = _by_head(jnp.sum((g * output).astype(wide), -1, keepdims=True))
    g = _by_head(g)
    dv = jnp.einsum("bnts,bnth->bnsh", weights.astype(g.dtype), g)
    dw = jnp.einsum("bnth,bnsh->bnts", g, v, preferred_element_type=wide)
    ds = weights * (dw - total) * scale
    ds = (ds if mask is None else jnp.where(mask, ds, 0)).astype(q.dtype)
    dq = jnp.einsum("bnts,bnsh->bnth", ds, k)
    dk = jnp.einsum("bnts,bnth->bnsh", ds, q)
    return _by_head(dq), _by_head(dk), _by_head(dv), None


_fast_attention.defvjp(_fast_forward, _fast_backward)


def _einsums(q, k, v, bias, mask, scale, is_causal: bool, cap) -> jax.Array:
    """Two einsums: as fast as any other form on a CPU."""
    if k.shape[2] != q.shape[2]:  # groups of query heads share a key
        k, v = (jnp.repeat(a, q.shape[2] // k.shape[2], 2) for a in (k, v))
    if not is_tracer(q):
        scores = (q.shape[0], q.shape[2], q.shape[1], k.shape[1])
        ensure_room(
            scores, jnp.promote_types(q.dtype, jnp.float32), "An array of scores"
        )
    if is_causal:
        causal = ahead(q.shape[1:2], k.shape[1:2]) >= 0
        mask = causal if mask is None else mask & causal
    if bias is None and cap is None and fast_gradients():
        return _fast_attention(q, k, v, mask, scale)
    return _mean(_weights(q, k, bias, mask, scale, cap), v)


@op
def dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    scale: float | Tensor | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Tensor:
    """softmax(q k' · scale + bias, where mask) v.

    Shapes: (b, t, n, h), (b, s, k, h), (b, s, k, h) -> (b, t, n, h), k dividing n;
    bias and mask broadcast to (b, n, t, s)

    Args:
        scale: 1 / sqrt(h) if None.
        flash_attention: True insists on the GPU's fused kernel, None takes it where
            it fits.
        attn_logits_soft_cap: c turns a logit x into x / (1 + |x| / c).

    References: Vaswani et al. 2017, arXiv:1706.03762
    """
    q, k, v = tensor(query), tensor(key), tensor(value)
    _check(q, k, v)
    dtype = result_type(q.dtype, k.dtype, v.dtype)
    q, k, v = (a.astype(dtype) for a in (q, k, v))
    bias = None if bias is None else tensor(bias).astype(dtype)
    mask = None if mask is None else tensor(mask).astype(bool)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    gpu = platform() == "gpu" and attn_logits_soft_cap is None
    if flash_attention and not gpu:
        raise ArgumentError(
            "dot_product_attention got flash_attention=True; the fused kernel needs a "
            f"GPU, and no soft cap. This is a {jax.default_backend()}."
        )
    allowed = flash_attention is not False
    allowed = allowed and config.is_flash_attention_enabled() is not False
    fits = gpu and allowed and _fits_flash(q, k, v, bias, mask)
    if flash_attention or fits:
        mask = None if mask is None else _for_kernel(mask, q, k)
        if _on_paper() and bias is None:
            return flash_on_paper(q, k, v, mask, scale, is_causal)
        return jax.nn.dot_product_attention(
            q, k, v, bias if bias is None else _rank_4(bias), mask,
            scale=scale, is_causal=is_causal, implementation="cudnn",
        )  # fmt: skip
    return _einsums(q, k, v, bias, mask, scale, is_causal, attn_logits_soft_cap)


def _for_kernel(mask: jax.Array, q: jax.Array, k: jax.Array) -> jax.Array:
    """A mask of rank 4 with all times, which cuDNN does not broadcast."""
    mask = _rank_4(mask)
    return jnp.broadcast_to(mask, (*mask.shape[:2], q.shape[1], k.shape[1]))


def _rank_4(x: jax.Array) -> jax.Array:
    return x.reshape((1,) * (4 - x.ndim) + x.shape)
