"""Pooling over 1, 2 or 3 spatial axes; the rank is data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from carnyx import ops
from carnyx.config import standardize_data_format
from carnyx.configurable import field
from carnyx.layers._sizes import sizes
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import InputSpec
from carnyx.typing import Tensor


class _Ranked(Layer):
    """A reduction of windows or of all space, for one rank."""

    rank = 0
    reduce: ClassVar[Callable[..., Tensor]]

    def __init_subclass__(
        cls, rank: int = 0, reduce: Any = None, **keywords: Any
    ) -> None:
        if rank:
            cls.rank, cls.reduce = rank, staticmethod(reduce)
        super().__init_subclass__(**keywords)

    def __post_init__(self) -> None:
        self.input_spec = InputSpec(ndim=self.rank + 2)


class _Pooling(_Ranked):
    pool_size: Any = field(2)
    strides: Any = field(None)
    padding: str = field("valid")
    data_format: Any = field(None, standardize_data_format)

    def __post_init__(self) -> None:
        super().__post_init__()
        strides = self.pool_size if self.strides is None else self.strides
        self.pool_size = sizes(self.pool_size, self.rank, "pool_size")
        self.strides = sizes(strides, self.rank, "strides")

    def call(self, inputs: Tensor) -> Tensor:
        return self.reduce(
            inputs, self.pool_size, self.strides, self.padding, self.data_format
        )


class MaxPooling1D(_Pooling, rank=1, reduce=ops.max_pool):
    """The maximum in each window of time.

    Shapes: (batch, time, channels) -> (batch, time / strides, channels)
    """


class MaxPooling2D(_Pooling, rank=2, reduce=ops.max_pool):
    """The maximum in each window of an image.

    Shapes: (batch, h, w, channels) -> (batch, h / strides, w / strides, channels)

    >>> import numpy as np
    >>> MaxPooling2D()(np.arange(16.0).reshape(1, 4, 4, 1)).squeeze().tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """


class MaxPooling3D(_Pooling, rank=3, reduce=ops.max_pool):
    """The maximum in each window of a volume.

    Shapes: (batch, d, h, w, channels) -> (batch, …space / strides, channels)
    """


class AveragePooling1D(_Pooling, rank=1, reduce=ops.average_pool):
    """The mean in each window of time; padding does not count.

    Shapes: (batch, time, channels) -> (batch, time / strides, channels)
    """


class AveragePooling2D(_Pooling, rank=2, reduce=ops.average_pool):
    """The mean in each window of an image; padding does not count.

    Shapes: (batch, h, w, channels) -> (batch, h / strides, w / strides, channels)
    """


class AveragePooling3D(_Pooling, rank=3, reduce=ops.average_pool):
    """The mean in each window of a volume; padding does not count.

    Shapes: (batch, d, h, w, channels) -> (batch, …space / strides, channels)
    """


class _GlobalPooling(_Ranked):
    data_format: Any = field(None, standardize_data_format)
    keepdims: bool = field(False)

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(range(first, first + self.rank))

    def call(self, inputs: Tensor) -> Tensor:
        return self.reduce(inputs, self.spatial_axes, keepdims=self.keepdims)


class GlobalMaxPooling1D(_GlobalPooling, rank=1, reduce=ops.max):
    """The maximum over time.

    Shapes: (batch, time, channels) -> (batch, channels)
    """


class GlobalMaxPooling2D(_GlobalPooling, rank=2, reduce=ops.max):
    """The maximum over an image.

    Shapes: (batch, height, width, channels) -> (batch, channels)
    """


class GlobalMaxPooling3D(_GlobalPooling, rank=3, reduce=ops.max):
    """The maximum over a volume.

    Shapes: (batch, depth, height, width, channels) -> (batch, channels)
    """


class GlobalAveragePooling1D(_GlobalPooling, rank=1, reduce=ops.mean):
    """The mean over time, of the steps that a mask leaves.

    Shapes: (batch, time, channels) -> (batch, channels)
    """

    supports_masking = True

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return super().call(inputs)
        (time,) = self.spatial_axes
        counts = ops.expand_dims(ops.cast(mask, "bool"), 3 - time)
        total = ops.sum(ops.where(counts, inputs, 0), time, keepdims=self.keepdims)
        steps = ops.sum(ops.cast(counts, total.dtype), time, keepdims=self.keepdims)
        return total / ops.maximum(steps, 1)  # of padding only the mean is 0

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        return None


class GlobalAveragePooling2D(_GlobalPooling, rank=2, reduce=ops.mean):
    """The mean over an image.

    Shapes: (batch, height, width, channels) -> (batch, channels)
    """


class GlobalAveragePooling3D(_GlobalPooling, rank=3, reduce=ops.mean):
    """The mean over a volume.

    Shapes: (batch, depth, height, width, channels) -> (batch, channels)
    """


class _AdaptivePooling(_Ranked):
    output_size: Any = field()
    data_format: Any = field(None, standardize_data_format)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.output_size = sizes(self.output_size, self.rank, "output_size")

    def call(self, inputs: Tensor) -> Tensor:
        return self.reduce(inputs, self.output_size, self.data_format)


class AdaptiveMaxPooling1D(_AdaptivePooling, rank=1, reduce=ops.adaptive_max_pool):
    """The maxima of `output_size` near-equal parts of time."""


class AdaptiveMaxPooling2D(_AdaptivePooling, rank=2, reduce=ops.adaptive_max_pool):
    """The maxima of `output_size` near-equal parts of an image."""


class AdaptiveMaxPooling3D(_AdaptivePooling, rank=3, reduce=ops.adaptive_max_pool):
    """The maxima of `output_size` near-equal parts of a volume."""


class AdaptiveAveragePooling1D(
    _AdaptivePooling, rank=1, reduce=ops.adaptive_average_pool
):
    """The means of `output_size` near-equal parts of time."""


class AdaptiveAveragePooling2D(
    _AdaptivePooling, rank=2, reduce=ops.adaptive_average_pool
):
    """The means of `output_size` near-equal parts of an image."""


class AdaptiveAveragePooling3D(
    _AdaptivePooling, rank=3, reduce=ops.adaptive_average_pool
):
    """The means of `output_size` near-equal parts of a volume."""


__all__ = [
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
]
