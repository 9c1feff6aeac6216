"""A GPU's attention kernel on paper, for programs that are traced for their costs.

It computes the same numbers and has the kernel's costs: nothing of the size of the
scores is kept between its forward and its backward pass.
"""

from __future__ import annotations

import functools
from typing import Any

import jax


def _plain(q, k, v, mask, scale: float, is_causal: bool) -> Any:
    return jax.nn.dot_product_attention(
        q, k, v, None, mask, scale=scale, is_causal=is_causal, implementation="xla"
    )


# What is named "fused_…" is counted as one kernel by `_costs/fusion_model.py`.
@functools.partial(jax.jit, static_argnums=(4, 5))
def fused_attention(q, k, v, mask, scale: float, is_causal: bool) -> jax.Array:
    return _plain(q, k, v, mask, scale, is_causal)


@functools.partial(jax.jit, static_argnums=(5, 6))
def fused_attention_gradient(q, k, v, mask, g, scale: float, is_causal: bool) -> Any:
    def attention(q, k, v):
        return _plain(q, k, v, mask, scale, is_causal)

    return jax.vjp(attention, q, k, v)[1](g)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def flash_attention(q, k, v, mask, scale: float, is_causal: bool) -> jax.Array:
    """Shapes: (b, t, n, h), (b, s, k, h), (b, s, k, h) -> (b, t, n, h)"""
    return fused_attention(q, k, v, mask, scale, is_causal)


def _forward(q, k, v, mask, scale, is_causal):
    return flash_attention(q, k, v, mask, scale, is_causal), (q, k, v, mask)


def _backward(scale, is_causal, saved, g):
    return *fused_attention_gradient(*saved, g, scale, is_causal), None


flash_attention.defvjp(_forward, _backward)
