"""A dense layer whose weights are -1, 0 and 1."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from carnyx import ops
from carnyx._numbers import REFUSED, as_number
from carnyx.configurable import field
from carnyx.errors import ArgumentError
from carnyx.layers.core import Dense
from carnyx.typing import Tensor


def _at_least_zero(value: float | None) -> float | None:
    number = None if value is None else as_number(value)
    if number is REFUSED or (number is not None and not number >= 0):
        raise ArgumentError(
            f"threshold got {value!r}; expected a number of at least 0, or None for "
            "the mean of the weights' sizes."
        )
    return number


class TernaryDense(Dense):
    """activation(x @ t + bias), where t is the kernel's sign, 0 where that is small.

    The kernel itself has ordinary floats, which the optimizer changes; the gradient
    with respect to t goes to it unchanged ("straight through"), since that of a sign
    is 0.

    Shapes: (batch, …, features) -> (batch, …, units)
    Weights: kernel (features, units), bias (units,)

    Args:
        threshold: weights of at most this size count as 0; None takes the mean size.

    References: Ma et al. 2024, arXiv:2402.17764; Bengio et al. 2013, arXiv:1308.3432

    >>> import numpy as np
    >>> layer = TernaryDense(2, threshold=0.5, kernel_initializer="ones")
    >>> layer(np.array([[1.0, 2.0]])).tolist()
    [[3.0, 3.0]]
    """

    field_order = ("units", "threshold", ...)

    threshold: float | None = field(None, _at_least_zero)

    @property
    def ternary_kernel(self) -> jax.Array:
        """What the input is multiplied with: -1, 0 and 1."""
        kernel = jnp.asarray(self.kernel)
        size = jnp.abs(kernel)
        least = jnp.mean(size) if self.threshold is None else self.threshold
        ternary = jnp.where(size > least, jnp.sign(kernel), 0).astype(kernel.dtype)
        return kernel + jax.lax.stop_gradient(ternary - kernel)

    def call(self, inputs: Tensor) -> Tensor:
        y = ops.matmul(inputs, self.ternary_kernel)
        return self.activation(y if self.bias is None else y + self.bias)


__all__ = ["TernaryDense"]
