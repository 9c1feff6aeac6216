"""Attention: softmax(query · key) value, with and without heads and projections.

Letters: b batch, t steps of the query, s steps of key and value, n heads, h size of a
head, d features.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from carnyx import (
    config,
    constraints,
    initializers,
    ops,
    random,
    registry,
    regularizers,
)
from carnyx._core.seed import SeedGenerator
from carnyx.configurable import (
    attribute,
    derived,
    field,
    fraction,
    one_of,
    positive,
    whole_numbers,
)
from carnyx.errors import ArgumentError, ShapeError
from carnyx.layers.activation import Softmax
from carnyx.layers.base import Layer
from carnyx.layers.core import EinsumDense
from carnyx.layers.input_spec import label
from carnyx.layers.regularization import Dropout
from carnyx.typing import Shape, ShapeLike, Tensor

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
        self, query: Tensor, value: Tensor, masks: tuple[Any, ...], causal: bool
    ) -> Tensor | None:
        """All that masks, as one array that broadcasts to (b, t, s)."""
        query_mask, *others, attention_mask = (
            None if m is None else jnp.asarray(m, bool) for m in masks
        )
        parts = [self._on_attended(query_mask, query.ndim, of_query=True)]
        parts += [self._on_attended(m, query.ndim, of_query=False) for m in others]
        if attention_mask is not None:
            parts = [self._with_heads(p, attention_mask.ndim) for p in parts]
            rank = query.ndim - 1 + len(self.attention_axes)
            parts.append(self._with_heads(attention_mask, rank))
        if causal:
            parts.append(self._ahead(query, value) >= 0)
        if self.sliding_window is not None:
            parts.append(jnp.abs(self._ahead(query, value)) < self.sliding_window)
        mask = None
        for part in parts:
            if part is not None:
                mask = part if mask is None else mask & part
        return mask

    def _on_attended(self, mask: Any, rank: int, of_query: bool) -> Any:
        """A mask of steps as one of scores without heads: (batch…, query…, key…).

        Shapes: (b, …) as the inputs without features, or (b, attended…)
        """
        if mask is None:
            return None
        axes = self.attention_axes
        if mask.ndim == rank - 1:
            mask = jnp.moveaxis(mask, axes, range(-len(axes), 0))
        elif mask.ndim == 1 + len(axes):
            mask = jnp.expand_dims(mask, tuple(range(1, rank - 1 - len(axes))))
        place = mask.ndim if of_query else mask.ndim - len(axes)
        return jnp.expand_dims(mask, tuple(range(place, place + len(axes))))

    def _ahead(self, query: Tensor, value: Tensor) -> Tensor:
        """Position of the query less that of the key, on the attended axes.

        Several axes are read row by row. Shapes: -> (1, query…, key…)
        """
        axes = self.attention_axes
        sizes = [[x.shape[a] for a in axes] for x in (query, value)]
        own, others = (jnp.arange(math.prod(s)).reshape(s) for s in sizes)
        return (own.reshape(own.shape + (1,) * len(axes)) - others)[None]

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
                mask=self._with_heads(attention_mask, 4),
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
            causal = self._ahead(query, value) >= 0
            if attention_mask is not None:
                causal = self._with_heads(causal, attention_mask.ndim) & attention_mask
            attention_mask = causal
        return self._with_scores(query, key, value, attention_mask, training)

    def _with_heads(self, mask: Tensor | None, rank: int) -> Tensor | None:
        """The mask with axes of size 1 for the heads, and for batch axes it lacks."""
        if mask is None:
            return None
        place = mask.ndim - 2 * len(self.attention_axes)
        return jnp.expand_dims(mask, tuple(range(place, place + rank - mask.ndim)))

    def _with_scores(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Any, training: Any
    ) -> tuple[Tensor, Tensor]:
        if self.kv_heads != self.heads:  # groups of query heads share a key
            times = self.heads // self.kv_heads
            key, value = jnp.repeat(key, times, -2), jnp.repeat(value, times, -2)
        to_scores, to_output = score_equations(query.ndim, self.attention_axes)
        scores = ops.einsum(to_scores, query * (1 / math.sqrt(self.size)), key)
        weights = self._softmax(scores, mask=self._with_heads(mask, scores.ndim))
        dropped = self._dropout_layer(weights, training=training)
        return ops.einsum(to_output, dropped, value), weights


def _tuple(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, int) else tuple(int(v) for v in value)


class MultiHeadAttention(ProjectedAttention):
    """Each head attends by itself: W_o [softmax(q k' / sqrt(h)) v], q = W_q query.

    Shapes: query (b, t, d), value (b, s, d'), key (b, s, d'') -> (b, t, d)
    Weights: query, key, value, each kernel (d, n, h), bias (n, h); attention_output

    Args:
        key_dim: h, the size of each head's query and key.
        value_dim: that of its value; as `key_dim` if None.
        output_shape: the features of the output; those of the query if None.
        attention_axes: over which to attend; all but batch and features if None.

    References: Vaswani et al. 2017, arXiv:1706.03762

    >>> import numpy as np
    >>> layer = MultiHeadAttention(num_heads=2, key_dim=4)
    >>> x, memory = np.ones((3, 5, 8)), np.ones((3, 7, 8))
    >>> output, scores = layer(x, memory, return_attention_scores=True)
    >>> output.shape, scores.shape
    ((3, 5, 8), (3, 2, 5, 7))
    """

    num_heads: int = field(check=positive)
    key_dim: int = field(check=positive)
    value_dim: int | None = field(None, check=positive)
    output_shape: Any = field(None, _tuple, check=whole_numbers)
    attention_axes: Any = field(None, _tuple, check=whole_numbers)

    heads = kv_heads = derived(lambda self: self.num_heads)
    size = derived(lambda self: self.key_dim)
    value_size = derived(lambda self: self.value_dim or self.key_dim)

    # Public here only, as in Keras: files place the weights by these names.
    query_dense = property(lambda self: self._query_dense)
    key_dense = property(lambda self: self._key_dense)
    value_dense = property(lambda self: self._value_dense)
    output_dense = property(lambda self: self._output_dense)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.value_dim = self.value_size

    def build(
        self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None
    ) -> None:
        rank = len(query_shape)
        axes = self.attention_axes
        axes = range(1, rank - 1) if axes is None else axes
        self.attention_axes = tuple(a if a >= 0 else rank + a for a in axes)
        super().build(query_shape, value_shape, key_shape)

    def _output_sizes(self, query_shape: Shape) -> tuple[int, ...]:
        return self.output_shape or super()._output_sizes(query_shape)


class GroupedQueryAttention(ProjectedAttention):
    """Multi-head attention in which groups of query heads share a key and a value.

    Shapes: query (b, t, d), value (b, s, d'), key (b, s, d'') -> (b, t, d)

    References: Ainslie et al. 2023, arXiv:2305.13245

    >>> import numpy as np
    >>> layer = GroupedQueryAttention(4, num_query_heads=6, num_key_value_heads=2)
    >>> layer(np.ones((3, 5, 8)), np.ones((3, 7, 8))).shape
    (3, 5, 8)
    >>> [w.shape for w in layer.weights if w.path.endswith("key/kernel")]
    [(8, 2, 4)]
    """

    head_dim: int = field(check=positive)
    num_query_heads: int = field(check=positive)
    num_key_value_heads: int = field(check=positive)

    keras_class_name = "GroupQueryAttention"  # in files; the other name makes paths
    attention_axes = (1,)
    heads = derived(lambda self: self.num_query_heads)
    kv_heads = derived(lambda self: self.num_key_value_heads)
    size = value_size = derived(lambda self: self.head_dim)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_query_heads % self.num_key_value_heads:
            raise ArgumentError(
                f"GroupedQueryAttention got num_query_heads={self.num_query_heads}, "
                f"num_key_value_heads={self.num_key_value_heads}; expected a multiple."
            )


registry.add_builtin(GroupedQueryAttention, "layers", "GroupQueryAttention")


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
            causal = jnp.tril(jnp.ones(scores.shape[-2:], bool))
            allowed = causal if allowed is None else allowed & causal
        if allowed is not None:
            low = 65504.0 if scores.dtype == "float16" else 1e9
            scores = jnp.where(allowed, scores, scores - low)
        weights = jax.nn.softmax(scores)
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
    "GroupedQueryAttention",
    "MultiHeadAttention",
]
