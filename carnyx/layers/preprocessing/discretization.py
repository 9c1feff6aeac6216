"""Numbers sorted into bins between boundaries, which may be learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from carnyx import ops
from carnyx._core.symbol import KerasTensor
from carnyx.configurable import above_zero, at_least, field
from carnyx.errors import ArgumentError, NotBuiltError
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import label
from carnyx.layers.preprocessing._adapting import Adapts
from carnyx.layers.preprocessing._encoding import (
    MODES,
    encoded,
    encoded_shape,
    mode_in,
    modern_mode,
    refuse_sparse,
)
from carnyx.layers.preprocessing._pipelines import InPipelines, ShortConfig
from carnyx.typing import ArrayLike, Data, Shape, Tensor


def _boundaries(given: ArrayLike) -> list[float] | None:
    return None if given is None else [float(v) for v in np.asarray(given).ravel()]


class Discretization(ShortConfig, InPipelines, Adapts, Layer):
    """The number of the bin of each value: bin i is [boundary i - 1, boundary i).

    `adapt` learns boundaries that put about as many values into each of `num_bins`
    bins. It keeps a summary of the data, of about 1 / epsilon quantiles.

    Shapes: int: any -> the same; one_hot: (…, 1) -> (…, bins), and (…, n) ->
        (…, n, bins); multi_hot, count: (…, n) -> (…, bins)

    Args:
        bin_boundaries: rising; or give `num_bins`, and call `adapt`.
        epsilon: how far a learned boundary may be off, as a share of the data.

    >>> Discretization([0.0, 1.0, 2.0])([[-1.5, 1.0, 3.4], [0.0, 3.0, 1.3]]).tolist()
    [[0, 2, 3], [1, 3, 2]]
    """

    bin_boundaries: Any = field(None, _boundaries)
    num_bins: int | None = field(None, check=at_least(0, "an integer"))
    epsilon: float = field(0.01, check=above_zero)
    output_mode: str = field("int", modern_mode, check=mode_in(*MODES))
    sparse: bool = field(False)

    _lists_are_data = False

    def __post_init__(self) -> None:
        refuse_sparse(self)
        if (self.num_bins is None) == (self.bin_boundaries is None):
            raise ArgumentError(
                f"Discretization got num_bins={self.num_bins} and bin_boundaries="
                f"{self.bin_boundaries}; expected one of them."
            )
        self.reset_state()

    def update_state(self, data: Data) -> None:
        if self.num_bins is None:
            raise ArgumentError(
                f"{label(self)} has its bin_boundaries, so there is nothing to adapt. "
                "Make it with num_bins instead."
            )
        new = _summary(np.asarray(data, "float32"), self.epsilon)
        both = np.concatenate([new, self.summary], axis=1)
        in_order = both[:, np.argsort(both[0], kind="stable")]
        self.summary = _compressed(in_order, self.epsilon)

    def finalize_state(self) -> None:
        if self.num_bins is not None and self.summary.size:
            bins = _compressed(self.summary, 1.0 / self.num_bins)
            self.bin_boundaries = bins[0, :-1]

    def reset_state(self) -> None:
        self.summary = np.zeros((2, 0), "float32")

    def adapt(self, data: Data, steps: int | None = None) -> None:
        if isinstance(data, list | tuple) and np.isscalar(next(iter(data), None)):
            data = np.asarray(data)
        super().adapt(data, steps)

    def _convert(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        """Lists are arrays."""
        args = tuple(a if hasattr(a, "shape") else np.asarray(a) for a in args)
        return super()._convert(args, kwargs)

    def call(self, inputs: Tensor) -> Tensor:
        if self.bin_boundaries is None:
            raise NotBuiltError(
                f"{label(self)} has no boundaries yet: call adapt(data), or give "
                "bin_boundaries."
            )
        bins = ops.digitize(inputs, np.asarray(self.bin_boundaries, "float32"))
        depth = len(self.bin_boundaries) + 1
        return encoded(bins, self.output_mode, depth, self.output_dtype)

    # Said here, as before `adapt` there is nothing to trace.
    def compute_output_shape(self, input_shape: Shape) -> Shape:
        known = self.bin_boundaries
        depth = self.num_bins if known is None else len(known) + 1
        return encoded_shape(input_shape, self.output_mode, depth)

    def compute_output_spec(self, inputs: Tensor) -> KerasTensor:
        return KerasTensor(self.compute_output_shape(inputs.shape), self.output_dtype)

    @property
    def output_dtype(self) -> str:
        """That of the result."""
        return "int32" if self.output_mode == "int" else self.compute_dtype

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Discretization:
        """After `adapt` a config has both, the number of bins and where they end."""
        if config.get("num_bins") is None:
            return super().from_config(config)
        layer = super().from_config(config | {"bin_boundaries": None})
        layer.bin_boundaries = config.get("bin_boundaries")
        return layer


def _summary(values: np.ndarray, epsilon: float) -> np.ndarray:
    """Some of the values in order, and how many each stands for; two rows."""
    values = np.sort(values.ravel())
    step = max(values.size * epsilon, 1)
    chosen = values[int(step - 1) :: int(step)]
    return np.stack([chosen, np.full_like(chosen, step)])


def _compressed(summary: np.ndarray, epsilon: float) -> np.ndarray:
    """A summary of about 1 / epsilon values, interpolated between those given."""
    if summary.shape[1] * epsilon < 1:
        return summary
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    up_to = summary[1].cumsum()
    values = np.interp(shares, up_to / up_to[-1], summary[0])
    counts = np.diff(np.interp(shares, up_to / up_to[-1], up_to), prepend=0)
    return np.stack([values, counts]).astype("float32")


__all__ = ["Discretization"]
