"""Attention without projections: softmax(scores(query, key)) value.

Letters: b batch, t steps of the query, s steps of key and value, d features.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from carnyx import ops, random
from carnyx._core.seed import SeedGenerator
from carnyx.configurable import attribute, field, fraction, one_of
from carnyx.errors import ArgumentError
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import label
from carnyx.ops._attention import ahead, softmax_where
from carnyx.typing import ShapeLike, Tensor


class SequenceAttention(Layer):
    """What attention without projections shares; a subclass gives the scores."""

    supports_masking = True
    dropout: Any = attribute(0.0)
    seed: Any = attribute(None)

    def __post_init__(self) -> None:
        if self.dropout > 0:
            self.seed_generator = SeedGenerator(self.seed)

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """How much each step of the query wants each step of the key.

        Shapes: (b, t, d), (b, s, d) -> (b, t, s)
        """
        raise NotImplementedError

    def call(
        self,
        inputs: list[Tensor],
        mask: list[Any] | None = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Tensor:
        query, value, key = self._three(inputs)
        query_mask, value_mask = (None, None) if mask is None else mask[:2]
        scores = self.scores(query, key)
        allowed = None if value_mask is None else jnp.asarray(value_mask, bool)[:, None]
        if use_causal_mask:
            causal = ahead(scores.shape[-2:-1], scores.shape[-1:]) >= 0
            allowed = causal if allowed is None else allowed & causal
        weights = softmax_where(scores, allowed)
        if training and self.dropout > 0:
            weights = random.dropout(weights, self.dropout, seed=self.seed_generator)
        output = ops.matmul(weights, value)
        if query_mask is not None:
            output = jnp.where(jnp.asarray(query_mask, bool)[..., None], output, 0)
        return (output, weights) if return_attention_scores else output

    def _three(self, inputs: Any) -> tuple[Any, Any, Any]:
        many = isinstance(inputs, list | tuple)
        if many and any(n is None or isinstance(n, int) for n in inputs):
            many, inputs = False, f"one of shape {tuple(inputs)}"  # in build
        if not many or len(inputs) not in (2, 3):
            got = len(inputs) if many else inputs
            raise ArgumentError(
                f"{label(self)} got {got} as inputs; expected a list [query, value] or "
                "[query, value, key]."
            )
        return inputs[0], inputs[1], inputs[-1 if len(inputs) == 3 else 1]

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        self._three(inputs)
        if mask is not None and not isinstance(mask, list | tuple):
            raise ArgumentError(
                f"{label(self)} got {mask!r} as mask; expected a list, [query_mask, "
                "value_mask]."
            )
        return mask[0] if mask else None


class Attention(SequenceAttention):
    """softmax(scores) value, scores = scale · query key' (Luong's attention).

    Shapes: [query (b, t, d), value (b, s, d'), key (b, s, d)] -> (b, t, d')

    Args:
        use_scale: whether the scale is a weight, and not 1.
        score_mode: "dot", or "concat": w · sum(tanh(scale · (query + key))).

    References: Luong et al. 2015, arXiv:1508.04025

    >>> import numpy as np
    >>> Attention()([np.ones((2, 3, 4)), np.ones((2, 5, 4))]).shape
    (2, 3, 4)
    """

    use_scale: bool = field(False)
    score_mode: str = field("dot", check=one_of("dot", "concat"))
    dropout: float = field(0.0, check=fraction)
    seed: Any = field(None)

    def build(self, input_shape: ShapeLike) -> None:
        self._three(input_shape)
        self.scale = self.concat_score_weight = None
        if self.use_scale:
            self.scale = self.add_weight((), "ones", name="scale")
        if self.score_mode == "concat":
            name = "concat_score_weight"
            self.concat_score_weight = self.add_weight((), "ones", name=name)

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        scale = 1 if self.scale is None else self.scale.value
        if self.score_mode == "dot":
            return scale * ops.matmul(query, jnp.swapaxes(key, -2, -1))
        pairs = jnp.tanh(scale * (query[:, :, None] + key[:, None]))
        return ops.multiply(self.concat_score_weight, jnp.sum(pairs, -1))


class AdditiveAttention(SequenceAttention):
    """softmax(scores) value, scores = sum(scale · tanh(query + key)) (Bahdanau's).

    Shapes: [query (b, t, d), value (b, s, d'), key (b, s, d)] -> (b, t, d')

    Args:
        use_scale: whether the scale is a weight (d,), and not 1.

    References: Bahdanau et al. 2015, arXiv:1409.0473
    """

    use_scale: bool = field(True)
    dropout: float = field(0.0, check=fraction)
    seed: Any = field(None, kw_only=True)

    def build(self, input_shape: ShapeLike) -> None:
        query_shape, _, _ = self._three(input_shape)
        self.scale = None
        if self.use_scale:
            shape = (query_shape[-1],)
            self.scale = self.add_weight(shape, "glorot_uniform", name="scale")

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        scale = 1 if self.scale is None else self.scale.value
        return jnp.sum(scale * jnp.tanh(query[:, :, None] + key[:, None]), -1)


__all__ = [
    "AdditiveAttention",
    "Attention",
]
