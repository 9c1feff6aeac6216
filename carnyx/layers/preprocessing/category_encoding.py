"""Integers as one-hot, multi-hot or counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from carnyx.configurable import field, positive
from carnyx.errors import ArgumentError
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import label
from carnyx.layers.preprocessing._encoding import (
    encoded,
    mode_in,
    modern_mode,
    refuse_sparse,
)
from carnyx.layers.preprocessing._pipelines import InPipelines
from carnyx.typing import Tensor


class CategoryEncoding(InPipelines, Layer):
    """A 1 at the place of each integer, of `num_tokens` places.

    Shapes: one_hot: (…, 1) -> (…, num_tokens), and (…, n) -> (…, n, num_tokens);
        multi_hot, count: (…, n) -> (…, num_tokens)

    Args:
        output_mode: `"one_hot"` for each integer; of all integers in a sample, along
            the last axis, `"multi_hot"` says which occur, `"count"` how often.

    In a call, `count_weights` of the inputs' shape say what each counts for.

    >>> CategoryEncoding(num_tokens=4)([[0, 1], [0, 0]]).tolist()
    [[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    """

    num_tokens: int = field(None, check=positive)
    output_mode: str = field(
        "multi_hot", modern_mode, check=mode_in("one_hot", "multi_hot", "count")
    )
    sparse: bool = field(False, config=False)

    def __post_init__(self) -> None:
        refuse_sparse(self)

    def _convert(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        """Lists are arrays."""
        args = tuple(a if hasattr(a, "shape") else np.asarray(a) for a in args)
        return super()._convert(args, kwargs)

    def call(self, inputs: Tensor, count_weights: Tensor | None = None) -> Tensor:
        if count_weights is not None and self.output_mode != "count":
            raise ArgumentError(
                f"{label(self)} got count_weights, which are for output_mode='count'; "
                f"it has {self.output_mode!r}."
            )
        return encoded(
            inputs, self.output_mode, self.num_tokens, self.compute_dtype, count_weights
        )


__all__ = ["CategoryEncoding"]
