"""Activations as layers."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from carnyx import activations, constraints, initializers, ops, regularizers
from carnyx.configurable import at_least, field
from carnyx.errors import ShapeError
from carnyx.layers._sizes import known_size
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import InputSpec, label
from carnyx.typing import Shape, Tensor


class Activation(Layer):
    """activation(x).

    >>> import numpy as np
    >>> Activation("relu")(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    activation: Any = field(convert=activations.get)

    supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return self.activation(inputs)


class ReLU(Layer):
    """min(x, max_value) above `threshold`, negative_slope · (x - threshold) below."""

    max_value: float | None = field(None, check=at_least(0))
    negative_slope: float = field(0.0, check=at_least(0))
    threshold: float = field(0.0, check=at_least(0))

    supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return activations.relu(
            inputs, self.negative_slope, self.max_value, self.threshold
        )


class LeakyReLU(Layer):
    """x where it is positive, else negative_slope · x.

    References: Maas, Hannun & Ng 2013
    """

    negative_slope: float = field(0.3, float, check=at_least(0))

    supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return activations.leaky_relu(inputs, self.negative_slope)


class ELU(Layer):
    """x where it is positive, else alpha · (exp(x) - 1).

    References: arXiv:1511.07289
    """

    alpha: float = field(1.0)

    supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return activations.elu(inputs, self.alpha)


class PReLU(Layer):
    """x where it is positive, else alpha · x, with a learned alpha.

    Weights: alpha, of one sample's shape, 1 on `shared_axes`
    References: arXiv:1502.01852
    """

    alpha_initializer: Any = field("Zeros", initializers.get)
    alpha_regularizer: Any = field(None, regularizers.get)
    alpha_constraint: Any = field(None, constraints.get)
    shared_axes: Any = field(
        None, lambda a: a if a is None else [a] if isinstance(a, int) else list(a)
    )

    supports_masking = True

    def build(self, input_shape: Shape) -> None:
        shared = set(self.shared_axes or ())
        kept = [i for i in range(1, len(input_shape)) if i not in shared]
        size = {axis: known_size(input_shape, axis, self) for axis in kept}
        shape = [size.get(axis, 1) for axis in range(1, len(input_shape))]
        self.alpha = self.weight("alpha", shape)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={**size})

    def call(self, inputs: Tensor) -> Tensor:
        return ops.relu(inputs) - self.alpha * ops.relu(-inputs)


class Softmax(Layer):
    """exp(x) / sum(exp(x)) over `axis`; 0 where a mask is False.

    >>> import numpy as np
    >>> Softmax()(np.zeros((1, 3)), mask=np.array([[True, True, False]])).tolist()
    [[0.5, 0.5, 0.0]]
    """

    axis: Any = field(-1)

    supports_masking = True

    def call(self, inputs: Tensor, mask: Any = None) -> Tensor:
        axis = self.axis if isinstance(self.axis, int) else tuple(self.axis)
        if mask is None:
            return ops.softmax(inputs, axis)
        mask = jnp.asarray(mask)
        sizes = zip(mask.shape[::-1], inputs.shape[::-1])
        if mask.ndim > inputs.ndim or any(m not in (1, n) for m, n in sizes):
            raise ShapeError(
                f"{label(self)} got a mask of shape {mask.shape}; expected one that "
                f"broadcasts to the inputs {inputs.shape}."
            )
        mask = mask if mask.dtype == bool else mask > 0.5
        # Finite, so that a row with nothing unmasked has no NaN; as Keras has it.
        low = -3e4 if inputs.dtype == "float16" else -1e9
        return jnp.where(mask, ops.softmax(jnp.where(mask, inputs, low), axis), 0)


__all__ = ["Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"]
