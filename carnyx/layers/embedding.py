"""Vectors for integers."""

from __future__ import annotations

from typing import Any

from carnyx import constraints, initializers, ops, regularizers
from carnyx.configurable import derived, field, positive
from carnyx.layers.base import Layer
from carnyx.typing import Shape, Tensor


class Embedding(Layer):
    """embeddings[i]: a learned vector for each integer below `input_dim`.

    Shapes: (batch, …) -> (batch, …, output_dim)
    Weights: embeddings (input_dim, output_dim)

    Args:
        mask_zero: whether 0 is padding: then the output has a mask.

    >>> import numpy as np
    >>> Embedding(10, 4)(np.array([[1, 2, 0]])).shape
    (1, 3, 4)
    """

    input_dim: int = field(check=positive)
    output_dim: int = field(check=positive)
    embeddings_initializer: Any = field("uniform", initializers.get)
    embeddings_regularizer: Any = field(None, regularizers.get)
    embeddings_constraint: Any = field(None, constraints.get)
    mask_zero: bool = field(False)
    activity_regularizer: Any = field(None, regularizers.get, kw_only=True)

    supports_masking = derived(lambda self: self.mask_zero)

    def __post_init__(self) -> None:
        self.autocast = False  # indices given as floats would lose digits
        if self._initial_weights is not None:
            weights = self._initial_weights
            one = isinstance(weights, list) and len(weights) == 1
            self._initial_weights = weights if one else [weights]
            self.build()

    def build(self, input_shape: Shape | None = None) -> None:
        self.embeddings = self.weight("embeddings", (self.input_dim, self.output_dim))

    def call(self, inputs: Tensor) -> Tensor:
        if inputs.dtype not in ("int32", "int64"):
            inputs = ops.cast(inputs, "int32")
        return ops.cast(ops.take(self.embeddings, inputs, axis=0), self.compute_dtype)

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        return ops.not_equal(inputs, 0) if self.mask_zero else None


__all__ = ["Embedding"]
