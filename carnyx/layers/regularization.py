"""Noise in training, and penalties."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from carnyx import ops, random, regularizers
from carnyx._core.seed import SeedGenerator
from carnyx.config import standardize_data_format
from carnyx.configurable import field, fraction
from carnyx.errors import ArgumentError
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import InputSpec
from carnyx.typing import Tensor


class _Noisy(Layer):
    """Does something in training only, if `rate` is above 0, with keys of its own."""

    rate: ClassVar[float]
    seed: ClassVar[int | None]

    supports_masking = True

    def __post_init__(self) -> None:
        if self.rate > 0:
            self.seed_generator = SeedGenerator(self.seed)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        made = "seed" in vars(self)  # the last of the fields
        if made and name in ("rate", "stddev") and "seed_generator" not in vars(self):
            self.__post_init__()  # a rate that was 0 needed no keys

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        return self._noisy(inputs) if training and self.rate > 0 else inputs

    def _noisy(self, inputs: Tensor) -> Tensor:
        raise NotImplementedError


def _noise_shape(shape: Any) -> Any:
    """None, or a tuple of positive integers and None."""
    if shape is None:
        return None
    good = not isinstance(shape, str) and hasattr(shape, "__iter__")
    sizes = tuple(shape) if good else ()
    if not good or any(
        n is not None and (not isinstance(n, int) or n < 1) for n in sizes
    ):
        raise ArgumentError(
            f"Dropout got noise_shape={shape!r}; expected a tuple of positive integers "
            "and None, such as (None, 1, None)."
        )
    return sizes


class Dropout(_Noisy):
    """In training zeros at `rate` of the places, the others divided by 1 - rate.

    Args:
        noise_shape: 1 on axes along which places are dropped together, None elsewhere.
        seed: an integer; None draws one.

    References: Srivastava et al. 2014, JMLR 15(56)

    >>> import numpy as np
    >>> y = Dropout(0.5, seed=0)(np.ones((2, 4)), training=True)
    >>> sorted(set(y.ravel().tolist()))
    [0.0, 2.0]
    """

    rate: float = field(check=fraction)
    noise_shape: Any = field(None, _noise_shape)
    seed: Any = field(None)

    def _noisy(self, inputs: Tensor) -> Tensor:
        return random.dropout(
            inputs, self.rate, self.noise_shape, seed=self.seed_generator
        )


class _SpatialDropout(_Noisy):
    rank = 0
    data_format = "channels_last"

    def __init_subclass__(cls, rank: int = 0, **keywords: Any) -> None:
        cls.rank = rank or cls.rank
        super().__init_subclass__(**keywords)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _noisy(self, inputs: Tensor) -> Tensor:
        space = [1] * self.rank
        last = self.data_format == "channels_last"
        shape = (None, *space, None) if last else (None, None, *space)
        return random.dropout(inputs, self.rate, shape, seed=self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        # Keras's own takes only a name and a plain dtype besides.
        names = ["rate", "seed", "name"] + ["data_format"] * (self.rank > 1)
        config = {name: getattr(self, name) for name in names}
        return config | {"dtype": self.dtype_policy.name}


class SpatialDropout1D(_SpatialDropout, rank=1):
    """In training drops whole channels: the same places at each step.

    Shapes: (batch, time, channels) -> (batch, time, channels)
    References: arXiv:1411.4280
    """

    rate: float = field(check=fraction)
    seed: Any = field(None)


class SpatialDropout2D(_SpatialDropout, rank=2):
    """In training drops whole channels of images.

    Shapes: (batch, height, width, channels) -> the same
    References: arXiv:1411.4280
    """

    rate: float = field(check=fraction)
    data_format: Any = field(None, standardize_data_format)
    seed: Any = field(None)


class SpatialDropout3D(_SpatialDropout, rank=3):
    """In training drops whole channels of volumes.

    Shapes: (batch, depth, height, width, channels) -> the same
    References: arXiv:1411.4280
    """

    rate: float = field(check=fraction)
    data_format: Any = field(None, standardize_data_format)
    seed: Any = field(None)


class AlphaDropout(_Noisy):
    """Dropout that keeps the mean and variance of normalised `selu` activations.

    In training a (x kept, -alpha · scale dropped) + b, with the affine (a, b) that
    restores mean 0 and variance 1.

    References: arXiv:1706.02515
    """

    rate: float = field(check=fraction)
    noise_shape: Any = field(None, _noise_shape)
    seed: Any = field(None)

    def _noisy(self, inputs: Tensor) -> Tensor:
        shape = self.noise_shape or (None,) * inputs.ndim
        places = [inputs.shape[i] if n is None else n for i, n in enumerate(shape)]
        kept = random.uniform(places, seed=self.seed_generator) >= self.rate
        # minus alpha · scale of selu: where its negative part saturates
        low = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946
        a = ((1 - self.rate) * (1 + self.rate * low**2)) ** -0.5
        return a * ops.where(kept, inputs, low) - a * low * self.rate


class GaussianDropout(_Noisy):
    """In training x · n, n normal of mean 1 and variance rate / (1 - rate).

    References: Srivastava et al. 2014, JMLR 15(56)
    """

    rate: float = field(check=fraction)
    seed: Any = field(None)

    def _noisy(self, inputs: Tensor) -> Tensor:
        deviation = math.sqrt(self.rate / (1 - self.rate))
        return inputs * random.normal(
            inputs.shape, 1.0, deviation, self.compute_dtype, self.seed_generator
        )


class GaussianNoise(_Noisy):
    """In training x + n, n normal of deviation `stddev`."""

    stddev: float = field(check=fraction)
    seed: Any = field(None)

    @property
    def rate(self) -> float:  # type: ignore[override]
        return self.stddev

    def _noisy(self, inputs: Tensor) -> Tensor:
        return inputs + random.normal(
            inputs.shape, 0.0, self.stddev, self.compute_dtype, self.seed_generator
        )


class ActivityRegularization(Layer):
    """What it is given; adds l1 · sum(|x|) + l2 · sum(x²) to the loss."""

    l1: float = field(0.0)
    l2: float = field(0.0)

    supports_masking = True

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in ("l1", "l2") and "l2" in vars(self):  # the last of the fields
            self.activity_regularizer = regularizers.L1L2(self.l1, self.l2)

    def call(self, inputs: Tensor) -> Tensor:
        return inputs

    def get_config(self) -> dict[str, Any]:
        config = super().get_config() | {"l1": self.l1, "l2": self.l2}
        del config["activity_regularizer"]  # it follows
        return config


__all__ = [
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]
