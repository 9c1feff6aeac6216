"""Random initializers whose variance goes by how much a kernel sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from carnyx.configurable import above_zero, field, one_of
from carnyx.errors import ArgumentError
from carnyx.initializers.base import RandomInitializer, seed_field
from carnyx.initializers.sampling import sample
from carnyx.typing import DTypeLike, Tensor


def compute_fans(
    shape: Sequence[int],
    input_axes: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
) -> tuple[int, int]:
    """How many inputs and outputs each entry of a kernel sees.

    Args:
        input_axes, output_axes: where the kernel is not (*window, inputs, outputs).

    >>> compute_fans((784, 10)), compute_fans((3, 3, 32, 64))
    ((784, 10), (288, 576))
    """
    if input_axes is not None and output_axes is not None:
        sizes = ([shape[i] for i in axes] for axes in (input_axes, output_axes))
        fan_in, fan_out = (math.prod(s) for s in sizes)
        return fan_in, fan_out
    if len(shape) < 2:
        return math.prod(shape), math.prod(shape)
    *window, inputs, outputs = shape
    return math.prod(window) * inputs, math.prod(window) * outputs


class _Scaled(RandomInitializer):
    """Variance `scale` / fan, so that signals keep their size from layer to layer."""

    input_axes: Sequence[int] | None = field(None)
    output_axes: Sequence[int] | None = field(None)

    scale = 1.0
    mode = "fan_in"
    distribution = "truncated_normal"

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        mean = (fan_in + fan_out) / 2
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": mean}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return sample("uniform", shape, dtype, self.seed, -limit, limit)
        stddev = math.sqrt(variance)
        if self.distribution == "untruncated_normal":
            return sample("normal", shape, dtype, self.seed, 0.0, stddev)
        # The standard deviation of a normal one cut off at 2.
        stddev /= 0.87962566103423978
        return sample("truncated_normal", shape, dtype, self.seed, 0.0, stddev)


def _distribution(name: str) -> str:
    name = name.lower()
    return "truncated_normal" if name == "normal" else name


class VarianceScaling(_Scaled):
    """A distribution of mean 0 and variance `scale` / fan.

    Args:
        mode: "fan_in", "fan_out" or "fan_avg"; see `compute_fans`.
        distribution: "truncated_normal", "untruncated_normal" or "uniform".
    """

    scale: float = field(1.0, check=above_zero)
    mode: str = field("fan_in", check=one_of("fan_in", "fan_out", "fan_avg"))
    distribution: str = field("truncated_normal", _distribution)
    seed: Any = seed_field()
    input_axes: Sequence[int] | None = field(None)
    output_axes: Sequence[int] | None = field(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        known = ("uniform", "truncated_normal", "untruncated_normal")
        if self.distribution not in known:
            raise ArgumentError(
                f"VarianceScaling got distribution={self.distribution!r}; expected one "
                f"of {', '.join(known)}."
            )


class GlorotUniform(_Scaled):
    """Uniform on ±sqrt(6 / (fan_in + fan_out)).

    References: Glorot & Bengio 2010, proceedings.mlr.press/v9/glorot10a

    >>> same = GlorotUniform(seed=1)
    >>> bool((same((2, 3)) == same((2, 3))).all())
    True
    """

    mode, distribution = "fan_avg", "uniform"


class GlorotNormal(_Scaled):
    """Truncated normal of variance 2 / (fan_in + fan_out).

    References: Glorot & Bengio 2010, proceedings.mlr.press/v9/glorot10a
    """

    mode = "fan_avg"


class LecunNormal(_Scaled):
    """Truncated normal of variance 1 / fan_in.

    References: Klambauer et al. 2017, arXiv:1706.02515
    """


class LecunUniform(_Scaled):
    """Uniform on ±sqrt(3 / fan_in).

    References: LeCun et al. 1998, "Efficient BackProp"
    """

    distribution = "uniform"


class HeNormal(_Scaled):
    """Truncated normal of variance 2 / fan_in.

    References: He et al. 2015, arXiv:1502.01852
    """

    scale = 2.0


class HeUniform(_Scaled):
    """Uniform on ±sqrt(6 / fan_in).

    References: He et al. 2015, arXiv:1502.01852
    """

    scale, distribution = 2.0, "uniform"
