"""The layers that most models are made of: dense ones, and the plumbing between."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from carnyx import activations, constraints, initializers, registry, regularizers
from carnyx.configurable import field, positive
from carnyx.errors import ArgumentError, ShapeError
from carnyx.layers._sizes import known_size
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import InputSpec, label
from carnyx.typing import Shape, Tensor


class Dense(Layer):
    """activation(x @ kernel + bias), on the last axis.

    Shapes: (batch, …, features) -> (batch, …, units)
    Weights: kernel (features, units), bias (units,)

    >>> import numpy as np
    >>> Dense(4, "relu")(np.ones((2, 3))).shape
    (2, 4)
    """

    units: int = field(check=positive)
    activation: Any = field(None, activations.get)
    use_bias: bool = field(True)
    kernel_initializer: Any = field("glorot_uniform", initializers.get)
    bias_initializer: Any = field("zeros", initializers.get)
    kernel_regularizer: Any = field(None, regularizers.get)
    bias_regularizer: Any = field(None, regularizers.get)
    activity_regularizer: Any = field(None, regularizers.get, config=False)
    kernel_constraint: Any = field(None, constraints.get)
    bias_constraint: Any = field(None, constraints.get)

    supports_masking = True

    def __post_init__(self) -> None:
        self.input_spec = InputSpec(min_ndim=2)

    def build(self, input_shape: Shape) -> None:
        features = known_size(input_shape, -1, self)
        self.kernel = self.weight("kernel", (features, self.units))
        self.bias = self.weight("bias", (self.units,)) if self.use_bias else None
        self.input_spec = InputSpec(min_ndim=2, axes={-1: features})

    def call(self, inputs: Tensor) -> Tensor:
        # One product of two matrices: XLA's own lowering of (batch, time, features) @
        # (features, units) is slower on a CPU (a transformer's step: 557 ms, 382 flat).
        x = inputs.reshape(-1, inputs.shape[-1]) if inputs.ndim > 2 else inputs
        y = x @ self.kernel.value
        y = y if self.bias is None else y + self.bias.value
        return self.activation(y.reshape(*inputs.shape[:-1], self.units))


class Identity(Layer):
    """What it is given."""

    supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs
