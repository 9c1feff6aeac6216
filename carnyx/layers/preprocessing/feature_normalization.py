"""Values shifted and scaled to mean 0 and variance 1 of the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from carnyx import config, ops
from carnyx.errors import ArgumentError, ArgumentTypeError, ShapeError
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import label
from carnyx.layers.preprocessing._adapting import Adapts
from carnyx.layers.preprocessing._pipelines import InPipelines
from carnyx.typing import ArrayLike, Data, Shape, Tensor


class Normalization(InPipelines, Adapts, Layer):
    """(x - mean) / sqrt(variance), or with `invert` x · sqrt(variance) + mean.

    Shapes: any -> the same
    Weights: mean and variance (sizes of the kept axes), count (); none where they
        are given

    Args:
        axis: the axis, or several, with a mean of its own for each index; None has one
            mean of all values.
        mean, variance: of the kept axes; or call `adapt`.

    >>> import numpy as np
    >>> layer = Normalization(axis=None)
    >>> layer.adapt(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    >>> layer(np.array([1.0, 2.0, 3.0])).round(3).tolist()
    [-1.4140000343322754, -0.7070000171661377, 0.0]
    """

    _lists_are_data = False
    supports_masking = True

    # Written out, since `mean` and `variance` afterwards are what was learned.
    def __init__(
        self,
        axis: Any = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = () if axis is None else tuple(np.atleast_1d(axis).tolist())
        self.input_mean, self.input_variance, self.invert = mean, variance, invert
        self.built = False
        self._kept: tuple[int, ...] = ()
        self._sizes: tuple[Any, ...] = ()  # of all axes, 1 where there is one mean
        _check_given(mean, variance, len(self.axis))
        self.reset_state()

    def build(self, input_shape: Shape) -> None:
        rank = len(input_shape)
        if any(not -rank <= axis < rank for axis in self.axis):
            raise ArgumentError(
                f"{label(self)} got axis={self.axis} for inputs of shape {input_shape}"
                f"; expected axes from {-rank} to {rank - 1}."
            )
        self._kept = tuple(sorted(axis % rank for axis in self.axis))
        unknown = [axis for axis in self._kept if input_shape[axis] is None]
        if unknown:
            raise ShapeError(
                f"{label(self)} got shape {input_shape}; the size of axis {unknown[0]} "
                "must be known, as each index has a mean of its own."
            )
        self._sizes = tuple(
            d if axis in self._kept else 1 for axis, d in enumerate(input_shape)
        )
        if self.input_mean is not None:
            return
        sizes = [input_shape[axis] for axis in self._kept]
        self.adapt_mean = self.add_weight(sizes, "zeros", trainable=False, name="mean")
        self.adapt_variance = self.add_weight(
            sizes, "ones", trainable=False, name="variance"
        )
        # Of no use today, but in every file of Keras.
        self.count = self.add_weight((), "zeros", "int32", False, name="count")

    mean = property(lambda self: self._spread(self.input_mean, "adapt_mean"))
    variance = property(
        lambda self: self._spread(self.input_variance, "adapt_variance")
    )

    def _spread(self, given: ArrayLike, weight: str) -> Any:
        """A statistic as it meets the inputs; None before the layer is built."""
        if not self.built:
            return None
        if given is None:
            value = ops.reshape(getattr(self, weight).value, self._sizes)
        else:
            value = self._aligned(np.asarray(given))
        return ops.cast(value, self.compute_dtype)

    def _aligned(self, given: np.ndarray) -> Any:
        """What was given for the last of the kept axes, for all of them."""
        sizes = [1] * len(self._sizes)
        for axis, size in zip(self._kept[::-1], given.shape[::-1], strict=False):
            sizes[axis] = size
        return ops.broadcast_to(given.reshape(sizes), self._sizes)

    def call(self, inputs: Tensor) -> Tensor:
        scale = ops.maximum(ops.sqrt(self.variance), config.epsilon())
        inputs = ops.cast(inputs, self.compute_dtype)
        if self.invert:
            return self.mean + inputs * scale
        return (inputs - self.mean) / scale

    def _convert(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        """Lists are arrays."""
        args = tuple(a if hasattr(a, "shape") else np.asarray(a) for a in args)
        return super()._convert(args, kwargs)

    # ---- learning ----------------------------------------------------------------

    def adapt(self, data: Data, steps: int | None = None) -> None:
        if self.input_mean is not None:
            raise ArgumentError(
                f"{label(self)} was given its mean and variance, so there is nothing "
                "to adapt."
            )
        super().adapt(data, steps)

    def reset_state(self) -> None:
        self._seen = (0, np.zeros(()), np.zeros(()))

    def update_state(self, data: Data) -> None:
        """Add a batch; in float64, by the formula of Chan, Golub and LeVeque (1979)."""
        batch = np.asarray(data)
        self._check_batch(batch, data)
        others = tuple(axis for axis in range(batch.ndim) if axis not in self._kept)
        n, mean, variance = self._seen
        new = int(np.prod([batch.shape[axis] for axis in others]))
        batch_mean = batch.mean(others, dtype=np.float64)
        batch_variance = batch.var(others, dtype=np.float64)
        share = new / max(n + new, 1)
        step = batch_mean - mean
        variance = variance + share * (batch_variance - variance)
        variance = variance + share * (1 - share) * step**2
        self._seen = n + new, mean + share * step, variance

    def _check_batch(self, batch: np.ndarray, data: Data) -> None:
        if batch.dtype == object:
            raise ArgumentError(
                f"{label(self)} got data of dtype object to adapt to; expected numbers."
            )
        if not batch.ndim:
            raise ArgumentTypeError(
                f"{label(self)} got {data!r} as a batch to adapt to; expected an array "
                "with samples along its first axis (`.shape`)."
            )
        if not self.built:
            self.build(batch.shape)
        sizes = [self._sizes[axis] for axis in self._kept]
        rank, wanted = batch.ndim, len(self._sizes)
        if rank != wanted or [batch.shape[a] for a in self._kept] != sizes:
            raise ShapeError(
                f"{label(self)} got data of shape {batch.shape} to adapt to, but was "
                f"built for {self.build_shapes}."
            )

    def finalize_state(self) -> None:
        n, mean, variance = self._seen
        if n and self.input_mean is None:
            self.adapt_mean.assign(mean)
            self.adapt_variance.assign(variance)
            self.reset_state()

    def get_config(self) -> dict[str, Any]:
        own = {"mean": self.input_mean, "variance": self.input_variance}
        for name, value in own.items():
            own[name] = None if value is None else np.asarray(value).tolist()
        axis = {"axis": list(self.axis), "invert": self.invert}
        return super().get_config() | axis | own


def _check_given(mean: Any, variance: Any, axes: int) -> None:
    if (mean is None) != (variance is None):
        raise ArgumentError(
            f"Normalization got mean={mean} and variance={variance}; expected both, or "
            "neither."
        )
    if np.shape(mean) != np.shape(variance):
        raise ArgumentError(
            f"Normalization got a mean of shape {np.shape(mean)} and a variance of "
            f"shape {np.shape(variance)}; expected one shape."
        )
    if mean is not None and np.ndim(mean) > axes:
        raise ArgumentError(
            f"Normalization got a mean of shape {np.shape(mean)}; expected a number, "
            f"or at most one axis for each of the {axes} of axis=..."
        )


__all__ = ["Normalization"]
