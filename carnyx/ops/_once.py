"""A value that is computed once, for gradients that look for it in itself.

The gradient of a maximum goes to where the input equals it. XLA is free to compute the
input twice, once for the maximum and once for the comparison, and two fusions of
normalisation or convolution need not agree to the last bit: then nothing is equal, and
the gradient is lost or goes elsewhere. So what is compared with its own maximum stands
behind a barrier, which XLA does not compute again.
"""

from __future__ import annotations

import jax
from jax import lax

from carnyx._core.scope import is_tracer

__all__ = ["once"]


def once(x: jax.Array) -> jax.Array:
    """`x`, held in memory where it is differentiated; else free to be fused.

    With JAX's own rules for the rest, ties share the gradient evenly, as in Keras, and
    forward mode, second derivatives and `vmap` work. The price is that what is computed
    before is not fused with what comes after: the array is written and read once more.
    """
    # Computed eagerly, every value is computed once.
    return _once(x) if is_tracer(x) else x


@jax.custom_jvp
def _once(x: jax.Array) -> jax.Array:
    return x


@_once.defjvp
def _once_rule(primals, tangents):
    return lax.optimization_barrier(primals[0]), tangents[0]
