"""Microbatches: a batch in parts."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnyx._training.stages.arrays import Static
from carnyx.errors import ArgumentError


def sizes_of(samples: int, parts: int) -> list[int]:
    """As even as can be, the larger ones first; no part is empty.

    >>> sizes_of(10, 4)
    [3, 3, 2, 2]
    """
    parts = max(1, min(samples, parts))
    return [samples // parts + (i < samples % parts) for i in range(parts)]


def sizes_for(inputs: Sequence[Any], parts: int) -> list[int] | None:
    """How many samples of these inputs each microbatch has; None: they stay whole."""
    first = next((v for v in inputs if v is not None), None)
    if parts == 1 or first is None or not np.shape(first):
        return None
    return sizes_of(np.shape(first)[0], parts)


@jax.tree_util.register_pytree_node_class
class StagedBatch:
    """A batch on its way, each array on the device that reads it first.

    Attributes:
        inputs: for each microbatch a list, in the order of the graph's inputs.
        x, y, weights: the whole; None without any.
        sizes: how many samples each microbatch has; of one microbatch 1.
        shapes: of the whole batch, for messages.
    """

    def __init__(
        self, inputs: list[Any], x: Any, y: Any, weights: Any,
        sizes: tuple[int, ...], shapes: Any,
    ) -> None:  # fmt: skip
        self.inputs, self.x, self.y, self.weights = inputs, x, y, weights
        self.sizes, self.shapes = sizes, shapes

    def __iter__(self) -> Iterator[Any]:
        return iter(self.shapes)

    def tree_flatten(self) -> tuple[tuple, Any]:
        children = self.inputs, self.x, self.y, self.weights
        return children, (self.sizes, self.shapes)

    @classmethod
    def tree_unflatten(cls, static: Any, children: tuple) -> StagedBatch:
        return cls(*children, *static)


def split(value: Any, sizes: Sequence[int]) -> list[Any]:
    """An array (or None) in parts, along the samples."""
    if value is None:
        return [None] * len(sizes)
    stops = tuple(accumulate(sizes))
    return (_cut if isinstance(value, jax.Array) else _parts)(value, stops)


def split_columns(values: Sequence[Any], sizes: Sequence[int] | None) -> list[Any]:
    """For each microbatch its part of each array."""
    if sizes is None:
        return [list(values)]
    columns = [split(value, sizes) for value in values]
    return [list(row) for row in zip(*columns, strict=True)]


def _parts(value: Any, stops: Sequence[int]) -> list[Any]:
    return [value[a:b] for a, b in zip([0, *stops], stops, strict=False)]


_cut = functools.partial(jax.jit, static_argnums=1)(_parts)  # one program for all parts


def joined_rows(rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Of each microbatch's arrays (or None) those of the batch."""
    if len(rows) == 1:
        return list(rows[0])
    return [_joined(column) for column in zip(*rows, strict=True)]


def _joined(parts: Sequence[Any]) -> Any:
    if parts[0] is None:
        return None
    if not parts[0].shape:
        raise ArgumentError(
            f"The model has an output of shape {parts[0].shape}, without an axis of "
            f"samples: what a Pipeline computes from {len(parts)} microbatches cannot "
            "be put together. Give the output an axis of samples, or make the "
            "Pipeline with microbatches=1."
        )
    return jnp.concatenate(parts)


def mean_of_parts(parts: Sequence[Any], sizes: Sequence[int]) -> Any:
    """The mean over the batch of what is a mean over each microbatch."""
    if len(parts) == 1:
        return parts[0]
    pairs = zip(parts, sizes, strict=True)
    return sum(part * (size / sum(sizes)) for part, size in pairs)


def added_losses(
    rows: Sequence[Sequence[tuple[Any, Any]]], sizes: Sequence[int]
) -> list[tuple[Any, Any]]:
    """What layers have added to the loss of the whole batch.

    A loss with a value a sample is put together, any other is taken to be a mean over
    the samples.

    Args:
        rows: for each microbatch pairs of layer and loss.
    """
    found: dict[tuple[Any, int], list[tuple[Any, int]]] = {}
    for row, size in zip(rows, sizes, strict=True):
        calls: dict[Any, int] = {}
        for layer, loss in row:
            calls[layer] = calls.get(layer, 0) + 1
            found.setdefault((layer, calls[layer]), []).append((loss, size))
    return [
        (layer, _whole_loss(parts, sum(sizes), len(sizes)))
        for (layer, _), parts in found.items()
    ]


def _whole_loss(parts: Sequence[tuple[Any, int]], samples: int, count: int) -> Any:
    if count == 1:
        return parts[0][0]
    if all(loss.shape[:1] == (size,) for loss, size in parts):
        return jnp.concatenate([loss for loss, _ in parts])
    return sum(loss * (size / samples) for loss, size in parts)


def shapes_of(batch: Any) -> Static:
    """The parts of a batch with shapes in place of arrays."""
    return Static(
        jax.tree_util.tree_map(
            lambda v: jax.ShapeDtypeStruct(np.shape(v), v.dtype), part
        )
        for part in batch
    )
