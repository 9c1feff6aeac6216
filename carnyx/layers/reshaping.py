"""The same numbers in another shape."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax.numpy as jnp

from carnyx import ops
from carnyx._core.symbol import KerasTensor
from carnyx.config import standardize_data_format
from carnyx.configurable import attribute, field, one_of, positive
from carnyx.errors import ArgumentError, ShapeError
from carnyx.layers._sizes import sizes
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import InputSpec, label
from carnyx.typing import Shape, Tensor


class Flatten(Layer):
    """One axis after the batch.

    Shapes: (batch, a, b, …) -> (batch, a · b · …)

    >>> import numpy as np
    >>> Flatten()(np.ones((2, 3, 4))).shape
    (2, 12)
    """

    data_format: Any = field(None, standardize_data_format)

    def __post_init__(self) -> None:
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs: Tensor) -> Tensor:
        x = inputs
        if self.data_format == "channels_first" and x.ndim > 1:
            x = jnp.moveaxis(x, 1, -1)
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


class Reshape(Layer):
    """Another shape for each sample.

    Shapes: (batch, …) -> (batch, *target_shape)

    Args:
        target_shape: may have one -1, whose size follows.
    """

    target_shape: Any = field(convert=tuple)

    def __post_init__(self) -> None:
        open_sizes = [n for n in self.target_shape if n is None or n < 0]
        if len(open_sizes) > 1 or set(open_sizes) - {-1, None}:
            raise ArgumentError(
                f"Reshape got target_shape={self.target_shape}; expected sizes of 0 or "
                "more and at most one -1."
            )

    def _resolved(self, shape: Shape) -> Shape:
        """The target for samples of one shape; None where a size stays unknown."""
        target = tuple(None if n == -1 else n for n in self.target_shape)
        if None in shape:
            return target
        total, said = math.prod(shape), math.prod(n for n in target if n is not None)  # type: ignore[arg-type]
        if None in target and said and total % said == 0:
            return tuple(total // said if n is None else n for n in target)
        if total != said or None in target:
            raise ShapeError(
                f"{label(self)} got samples of shape {shape}, {total} numbers, which "
                f"do not fit target_shape={self.target_shape}."
            )
        return target

    def compute_output_spec(self, inputs: KerasTensor) -> KerasTensor:
        # Unknown sizes may still meet a target that is known: tracing cannot tell.
        shape = (inputs.shape[0], *self._resolved(inputs.shape[1:]))
        return KerasTensor(shape, inputs.dtype)

    def call(self, inputs: Tensor) -> Tensor:
        sample = inputs.shape[1:]
        if all(isinstance(n, int) for n in sample):
            target = self._resolved(sample)
        else:  # inside shape inference of a layer around
            target = tuple(-1 if n is None else n for n in self.target_shape)
        return inputs.reshape(inputs.shape[0], *target)


class Permute(Layer):
    """The axes of a sample in another order; axis 1 is the first after the batch.

    >>> import numpy as np
    >>> Permute((2, 1))(np.ones((5, 3, 4))).shape
    (5, 4, 3)
    """

    dims: Any = field(convert=tuple)

    def __post_init__(self) -> None:
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ArgumentError(
                f"Permute got dims={self.dims}; expected the numbers from 1 to the "
                "number of axes without the batch, each once."
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Tensor) -> Tensor:
        return ops.transpose(inputs, (0, *self.dims))


class RepeatVector(Layer):
    """Each vector n times.

    Shapes: (batch, features) -> (batch, n, features)
    """

    n: int = field(check=positive)

    def __post_init__(self) -> None:
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Tensor) -> Tensor:
        batch, features = inputs.shape
        return ops.broadcast_to(inputs[:, None], (batch, self.n, features))


class _Spatial(Layer):
    """Something for each spatial axis; the rank is data."""

    rank = 0
    data_format = "channels_last"

    def __init_subclass__(cls, rank: int = 0, **keywords: Any) -> None:
        cls.rank = rank or cls.rank
        super().__init_subclass__(**keywords)

    def __post_init__(self) -> None:
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def spatial_axes(self) -> range:
        first = 1 if self.data_format == "channels_last" else 2
        return range(first, first + self.rank)

    def _sides(self, value: Any, name: str) -> Any:
        """(before, after) for each axis; in one dimension just the pair."""
        if self.rank == 1:
            return sizes(value, 2, name, least=0)
        each = (value,) * self.rank if isinstance(value, int) else tuple(value)
        if len(each) != self.rank:
            raise ArgumentError(
                f"{type(self).__name__} got {name}={value!r}; expected an integer, or "
                f"{self.rank} integers or pairs."
            )
        return tuple(sizes(v, 2, name, least=0) for v in each)

    def _each_side(self, name: str) -> dict[int, tuple[int, int]]:
        sides = self._sides(getattr(self, name), name)  # set later, it may be a number
        each = (sides,) if self.rank == 1 else sides
        return dict(zip(self.spatial_axes, each))


class _Cropping(_Spatial):
    cropping: Any = attribute(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.cropping = self._sides(self.cropping, "cropping")

    def call(self, inputs: Tensor) -> Tensor:
        keep = [slice(None)] * inputs.ndim
        for axis, (before, after) in self._each_side("cropping").items():
            size = inputs.shape[axis]
            if isinstance(size, int) and before + after >= size:
                raise ShapeError(
                    f"{label(self)} got shape {inputs.shape}; cropping="
                    f"{self.cropping} leaves nothing of axis {axis}."
                )
            keep[axis] = slice(before, size - after)
        return inputs[tuple(keep)]


class Cropping1D(_Cropping, rank=1):
    """Without `cropping` steps at the beginning and the end.

    Shapes: (batch, time, channels) -> (batch, time - sum(cropping), channels)
    """

    cropping: Any = field((1, 1))


class Cropping2D(_Cropping, rank=2):
    """Without `cropping` rows and columns at the edges.

    Shapes: (batch, h, w, channels) -> (batch, h', w', channels)

    >>> import numpy as np
    >>> Cropping2D(((1, 0), 2))(np.ones((1, 8, 8, 3))).shape
    (1, 7, 4, 3)
    """

    cropping: Any = field(((0, 0), (0, 0)))
    data_format: Any = field(None, standardize_data_format)


class Cropping3D(_Cropping, rank=3):
    """Without `cropping` entries at the edges of a volume.

    Shapes: (batch, d, h, w, channels) -> (batch, d', h', w', channels)
    """

    cropping: Any = field(((1, 1), (1, 1), (1, 1)))
    data_format: Any = field(None, standardize_data_format)


class _ZeroPadding(_Spatial):
    padding: Any = attribute(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.padding = self._sides(self.padding, "padding")

    def call(self, inputs: Tensor) -> Tensor:
        sides = self._each_side("padding")
        return ops.pad(inputs, [sides.get(i, (0, 0)) for i in range(inputs.ndim)])


class ZeroPadding1D(_ZeroPadding, rank=1):
    """`padding` zero steps at the beginning and the end.

    Shapes: (batch, time, channels) -> (batch, time + sum(padding), channels)
    """

    padding: Any = field(1)
    data_format: Any = field(None, standardize_data_format)


class ZeroPadding2D(_ZeroPadding, rank=2):
    """`padding` zero rows and columns at the edges.

    Shapes: (batch, h, w, channels) -> (batch, h', w', channels)
    """

    padding: Any = field((1, 1))
    data_format: Any = field(None, standardize_data_format)


class ZeroPadding3D(_ZeroPadding, rank=3):
    """`padding` zeros at the edges of a volume.

    Shapes: (batch, d, h, w, channels) -> (batch, d', h', w', channels)
    """

    padding: Any = field(((1, 1), (1, 1), (1, 1)))
    data_format: Any = field(None, standardize_data_format)


class _UpSampling(_Spatial):
    size: ClassVar[Any]

    def call(self, inputs: Tensor) -> Tensor:
        each = (self.size,) if self.rank == 1 else self.size
        for axis, times in zip(self.spatial_axes, each):
            inputs = ops.repeat(inputs, times, axis)
        return inputs


class UpSampling1D(_UpSampling, rank=1):
    """Each step `size` times.

    Shapes: (batch, time, channels) -> (batch, time · size, channels)
    """

    size: int = field(2, check=positive)


class UpSampling2D(_UpSampling, rank=2):
    """Images `size` times as large.

    Shapes: (batch, h, w, channels) -> (batch, h · size, w · size, channels)

    Args:
        interpolation: `"nearest"` repeats; or as in `ops.image.resize`.
    """

    size: Any = field((2, 2), lambda s: sizes(s, 2, "size"))
    data_format: Any = field(None, standardize_data_format)
    interpolation: str = field(
        "nearest",
        str.lower,
        check=one_of("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"),
    )

    def call(self, inputs: Tensor) -> Tensor:
        if self.interpolation == "nearest":
            return super().call(inputs)
        larger = [
            inputs.shape[axis] * times
            for axis, times in zip(self.spatial_axes, self.size)
        ]
        return ops.image.resize(
            inputs, larger, self.interpolation, data_format=self.data_format
        )


class UpSampling3D(_UpSampling, rank=3):
    """Volumes `size` times as large, by repetition.

    Shapes: (batch, d, h, w, channels) -> (batch, …space · size, channels)
    """

    size: Any = field((2, 2, 2), lambda s: sizes(s, 3, "size"))
    data_format: Any = field(None, standardize_data_format)


__all__ = [
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Flatten",
    "Permute",
    "RepeatVector",
    "Reshape",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]
