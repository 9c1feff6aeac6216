"""Microbatches: a batch in parts."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import jax
import numpy as np

from carnyx._training.on_devices.stages import Static


def sizes_of(samples: int, parts: int) -> list[int]:
    """As even as can be, the larger ones first; no part is empty.

    >>> sizes_of(10, 4)
    [3, 3, 2, 2]
    """
    parts = max(1, min(samples, parts))
    return [samples // parts + (i < samples % parts) for i in range(parts)]


@jax.tree_util.register_pytree_node_class
class Microbatches:
    """A batch in parts, each array on the device that reads it.

    Attributes:
        inputs: for each microbatch a list, in the order of the graph's inputs.
        y, weights: for each microbatch; None without any.
        x: the whole, where a method of the model wants to see it.
        shapes: of the whole batch, for messages.
    """

    def __init__(
        self, inputs: list[Any], y: list[Any], weights: list[Any], x: Any, shapes: Any
    ) -> None:
        self.inputs, self.y, self.weights, self.x = inputs, y, weights, x
        self.shapes = shapes

    @property
    def sizes(self) -> list[int]:
        """How many samples each has."""
        return [next(v for v in part if v is not None).shape[0] for part in self.inputs]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.shapes)

    def tree_flatten(self) -> tuple[tuple, Any]:
        return (self.inputs, self.y, self.weights, self.x), self.shapes

    @classmethod
    def tree_unflatten(cls, shapes: Any, children: tuple) -> Microbatches:
        inputs, y, weights, x = children
        return cls(inputs, y, weights, x, shapes)


def split(value: Any, sizes: Sequence[int]) -> list[Any]:
    """A tree of arrays in parts, along the samples."""
    leaves, form = jax.tree_util.tree_flatten(value)
    stops = tuple(accumulate(sizes))
    columns = [
        _cut(v, stops) if isinstance(v, jax.Array) else _parts(v, stops) for v in leaves
    ]
    rows = zip(*columns, strict=True) if columns else [()] * len(sizes)
    return [jax.tree_util.tree_unflatten(form, row) for row in rows]


def _parts(value: Any, stops: Sequence[int]) -> list[Any]:
    return [value[a:b] for a, b in zip([0, *stops], stops, strict=False)]


_cut = functools.partial(jax.jit, static_argnums=1)(_parts)  # one program for all parts


def shapes_of(batch: Any) -> Static:
    """The parts of a batch with shapes in place of arrays."""
    return Static(
        jax.tree_util.tree_map(
            lambda v: jax.ShapeDtypeStruct(np.shape(v), v.dtype), part
        )
        for part in batch
    )
