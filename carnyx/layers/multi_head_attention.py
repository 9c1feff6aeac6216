"""Attention with several heads: each for itself, or groups that share keys."""

from __future__ import annotations

from typing import Any

from carnyx import registry
from carnyx.configurable import derived, field, positive, whole_numbers
from carnyx.errors import ArgumentError
from carnyx.layers.projected_attention import ProjectedAttention
from carnyx.typing import Shape


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


__all__ = ["GroupedQueryAttention", "MultiHeadAttention"]
