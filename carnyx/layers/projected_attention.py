"""Attention with projected heads: W_o softmax(q k' / sqrt(h)) v, q = W_q query.

Letters: b batch, t steps of the query, s steps of key and value, n heads, h size of a
head, d features.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from carnyx import config, constraints, initializers, ops, regularizers
from carnyx.configurable import attribute, field, fraction, positive
from carnyx.errors import ArgumentError, ShapeError
from carnyx.layers import _attention_masks as _masks
from carnyx.layers.activation import Softmax
from carnyx.layers.base import Layer
from carnyx.layers.core import EinsumDense
from carnyx.layers.input_spec import label
from carnyx.layers.regularization import Dropout
from carnyx.typing import Shape, Tensor

LETTERS = "abcdefgijklmopqrstuvwxyz"  # without h and n, which name what is named


def score_equations(rank: int, axes: tuple[int, ...]) -> tuple[str, str]:
    """Einsums of scores from query and key, and of outputs from weights and value.

    Args:
        rank: of the projected query: (batch…, n, h).
        axes: over which to attend; the other ones are batch axes.

    >>> score_equations(4, (1,))
    ('abnh,acnh->anbc', 'anbc,acnh->abnh')
    """
    letters = iter(LETTERS)
    query = [next(letters) for _ in range(rank - 2)]
    key = [next(letters) if i in axes else c for i, c in enumerate(query)]
    batch = "".join(c for i, c in enumerate(query) if i not in axes)
    attended = "".join(query[i] for i in axes) + "".join(key[i] for i in axes)
    q, k, scores = f"{''.join(query)}nh", f"{''.join(key)}nh", f"{batch}n{attended}"
    return f"{q},{k}->{scores}", f"{scores},{k}->{q}"


class ProjectedAttention(Layer):
    """What attention with projected heads shares: W_o softmax(q k' / sqrt(h)) v.

    Args:
        sliding_window: attend only to steps less than that far away.
        flash_attention: True insists on the GPU's fused kernel, None takes it where
            it fits (`ops.dot_product_attention`).
        use_gate: multiply each head's output by sigmoid(query W_g).
    """

    dropout: float = field(0.0, check=fraction)
    use_bias: bool = field(True)
    sliding_window: int | None = field(None, check=positive)
    flash_attention: bool | None = field(None, config=False)
    kernel_initializer: Any = field("glorot_uniform", initializers.get)
    bias_initializer: Any = field("zeros", initializers.get)
    kernel_regularizer: Any = field(None, regularizers.get)
    bias_regularizer: Any = field(None, regularizers.get)
    activity_regularizer: Any = field(None, regularizers.get)
    kernel_constraint: Any = field(None, constraints.get)
    bias_constraint: Any = field(None, constraints.get)
    use_gate: bool = field(False)
    seed: Any = field(None)

    field_order = (
        "num_heads", "key_dim", "value_dim", "head_dim", "num_query_heads",
        "num_key_value_heads", "dropout", "use_bias", "output_shape",
        "attention_axes", ...,
    )  # fmt: skip
    supports_masking = True
    heads: Any = attribute(0)  # of queries
    kv_heads: Any = attribute(0)  # of keys and values; a divisor of the above
    size: Any = attribute(0)  # of a head's query and key
    value_size: Any = attribute(0)  # of its value
    attention_axes: Any = attribute(())

    def __post_init__(self) -> None:
        flash = self.flash_attention or config.is_flash_attention_enabled()
        if flash and self.dropout > 0:
            raise ArgumentError(
                f"{type(self).__name__} got dropout={self.dropout} with flash "
                "attention, whose kernel drops nothing; set one of them to 0 or False."
            )

    # ---- weights

    def build(
        self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None
    ) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        if key_shape[1:-1] != value_shape[1:-1]:
            raise ShapeError(
                f"{label(self)} got a key of shape {key_shape} and a value of shape "
                f"{value_shape}; expected the same sizes, but for the last axis."
            )
        heads, kv_heads = (self.heads, self.size), (self.kv_heads, self.size)
        values = self.kv_heads, self.value_size
        self._query_dense = self._projection("query", query_shape, heads)
        self._key_dense = self._projection("key", key_shape, kv_heads)
        if self.use_gate:
            gate = self.heads, self.value_size
            self._gate_dense = self._projection("gate", query_shape, gate, "sigmoid")
        self._value_dense = self._projection("value", value_shape, values)
        keys = tuple(range(-len(self.attention_axes), 0))
        policy = {"dtype": self.dtype_policy}
        self._softmax = Softmax(axis=keys, **policy)
        self._dropout_layer = Dropout(rate=self.dropout, seed=self.seed, **policy)
        self._output_dense = self._output_projection(query_shape)

    def _projection(
        self, name: str, shape: Shape, sizes: tuple[int, ...], activation: Any = None
    ) -> EinsumDense:
        layer = EinsumDense(
            equation="...d,dnh->...nh",
            output_shape=sizes,
            activation=activation,
            bias_axes="nh" if self.use_bias else None,
            **self._shared(name),
        )
        layer.supports_masking = True  # the attention sees to masks
        layer.build(shape)
        return layer

    def _output_projection(self, query_shape: Shape) -> EinsumDense:
        sizes = self._output_sizes(query_shape)
        features = LETTERS[: len(sizes)]
        layer = EinsumDense(
            equation=f"...nh,nh{features}->...{features}",
            output_shape=sizes,
            bias_axes=features if self.use_bias else None,
            **self._shared("attention_output"),
        )
        layer.build((*query_shape[:-1], self.heads, self.value_size))
        return layer

    def _output_sizes(self, query_shape: Shape) -> tuple[int, ...]:
        return (query_shape[-1],)  # type: ignore[return-value]

    def _shared(self, name: str) -> dict[str, Any]:
        """Arguments of every projection; initializers anew, so that values differ."""
        names = [n for n in self._fields if n.startswith(("kernel_", "bias_"))]
        shared = {n: getattr(self, n) for n in (*names, "activity_regularizer")}
        for key in ("kernel_initializer", "bias_initializer"):
            known = shared[key]
            if hasattr(known, "get_config"):
                shared[key] = type(known).from_config(known.get_config())
        return shared | {"name": name, "dtype": self.dtype_policy}

    # ---- the computation

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Tensor:
        key = value if key is None else key
        masks = query_mask, value_mask, key_mask, attention_mask
        # Where nothing else masks, a kernel may do it without an array.
        causal = use_causal_mask and self._alone(masks)
        mask = self._mask(query, value, masks, use_causal_mask and not causal)
        q, k = self._query_dense(query), self._key_dense(key)
        v = self._value_dense(value)
        output, scores = self._compute_attention(
            q, k, v, mask, training, return_attention_scores,
            **({"use_causal_mask": True} if causal else {}),
        )  # fmt: skip
        if self.use_gate:
            output = output * self._gate_dense(query)
        output = self._output_dense(output)
        return (output, scores) if return_attention_scores else output

    def _alone(self, masks: tuple[Any, ...]) -> bool:
        """Whether no other mask is there, and nobody overrides what is to make it."""
        own = type(self)._compute_attention is ProjectedAttention._compute_attention
        return own and self.sliding_window is None and all(m is None for m in masks)

    def _mask(
        self,
        query: Tensor,
        value: Tensor,
        masks: tuple[Tensor | None, ...],
        causal: bool,
    ) -> Tensor | None:
        """All that masks, as one array that broadcasts to (b, t, s)."""
        axes, rank = self.attention_axes, query.ndim
        query_mask, value_mask, key_mask, given = masks
        whole = _masks.of_steps(query_mask, rank, axes, query=True)
        for mask in (value_mask, key_mask):
            whole = _masks.both(whole, _masks.of_steps(mask, rank, axes, query=False))
        if given is not None:
            given = jnp.asarray(given, bool)
            size = max(given.ndim, rank - 1 + len(axes))  # the former with heads
            parts = [_masks.with_heads(m, size, axes) for m in (whole, given)]
            whole = _masks.both(*parts)
        near = _masks.of_positions(query, value, axes, causal, self.sliding_window)
        return _masks.both(whole, near)

    def _compute_attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Output before its projection, and the weights if they were asked for.

        Shapes: (b, t, n, h), (b, s, n, h), (b, s, n, h) -> (b, t, n, h), (b, n, t, s)
        """
        drops = bool(training) and self.dropout > 0
        fits = query.ndim == 4 and self.size == self.value_size
        if fits and not (drops or return_attention_scores):
            output = ops.dot_product_attention(
                query, key, value,
                mask=_masks.with_heads(attention_mask, 4, self.attention_axes),
                scale=1 / math.sqrt(self.size),
                is_causal=use_causal_mask,
                flash_attention=self.flash_attention,
            )  # fmt: skip
            return output, None
        if self.flash_attention:
            raise ArgumentError(
                f"{label(self)} got flash_attention=True, whose kernel has no scores "
                "to return, attends over one axis, and wants heads of one size; use "
                "None or False."
            )
        if use_causal_mask:
            axes = self.attention_axes
            causal = _masks.of_positions(query, value, axes, causal=True)
            if attention_mask is not None:
                causal = _masks.with_heads(causal, attention_mask.ndim, axes)
            attention_mask = _masks.both(causal, attention_mask)
        return self._with_scores(query, key, value, attention_mask, training)

    def _with_scores(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Any, training: Any
    ) -> tuple[Tensor, Tensor]:
        if self.kv_heads != self.heads:  # groups of query heads share a key
            times = self.heads // self.kv_heads
            key, value = jnp.repeat(key, times, -2), jnp.repeat(value, times, -2)
        to_scores, to_output = score_equations(query.ndim, self.attention_axes)
        scores = ops.einsum(to_scores, query * (1 / math.sqrt(self.size)), key)
        mask = _masks.with_heads(mask, scores.ndim, self.attention_axes)
        weights = self._softmax(scores, mask=mask)
        dropped = self._dropout_layer(weights, training=training)
        return ops.einsum(to_output, dropped, value), weights
