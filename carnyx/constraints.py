"""Projections that weights go through after each update."""

from __future__ import annotations

from typing import Any

from carnyx import config, registry
from carnyx.configurable import Configurable, at_least, field, fraction
from carnyx.errors import ArgumentError
from carnyx.ops.core import convert_to_tensor
from carnyx.ops.numpy import clip, maximum, sqrt, square, sum, where
from carnyx.typing import Axis, Config, Tensor


class Constraint(Configurable):
    """Base of constraints: `constraint(w)` is the nearest allowed `w`."""

    keras_family = "constraints"

    def __call__(self, w: Tensor) -> Tensor:
        """The weight, constrained."""
        return w


def _norm(w: Tensor, axis: Axis) -> Tensor:
    squares = sum(square(w), axis=axis, keepdims=True)
    zero = squares == 0  # a length of 0 has gradient 0
    return where(zero, 0, sqrt(where(zero, 1, squares)))


class MaxNorm(Constraint):
    """w scaled to a norm of at most `max_value`.

    Args:
        axis: over which norms are taken: 0 for a dense kernel (inputs, units),
            [0, 1, 2] for the kernel of a 2-D convolution.

    References: Srivastava et al. 2014, "Dropout", JMLR 15

    >>> MaxNorm(2)([[3.0], [4.0]]).round(3).tolist()
    [[1.2000000476837158], [1.600000023841858]]
    """

    max_value: float = field(2, check=at_least(0))
    axis: Axis = field(0)

    def __call__(self, w: Tensor) -> Tensor:
        w = convert_to_tensor(w)
        norm = _norm(w, self.axis)
        return w * (clip(norm, 0, self.max_value) / (config.epsilon() + norm))


class NonNeg(Constraint):
    """max(w, 0)."""

    def __call__(self, w: Tensor) -> Tensor:
        return maximum(w, 0)


class UnitNorm(Constraint):
    """w scaled to norm 1 over `axis`."""

    axis: Axis = field(0)

    def __call__(self, w: Tensor) -> Tensor:
        w = convert_to_tensor(w)
        return w / (config.epsilon() + _norm(w, self.axis))


class MinMaxNorm(Constraint):
    """w moved by `rate` towards a norm between `min_value` and `max_value`."""

    min_value: float = field(0.0)
    max_value: float = field(1.0)
    rate: float = field(1.0, check=fraction)
    axis: Axis = field(0)

    def __post_init__(self) -> None:
        if not self.min_value <= self.max_value:
            raise ArgumentError(
                f"MinMaxNorm got min_value={self.min_value} and max_value="
                f"{self.max_value}; expected the first not to be greater."
            )

    def __call__(self, w: Tensor) -> Tensor:
        w = convert_to_tensor(w)
        norm = _norm(w, self.axis)
        allowed = clip(norm, self.min_value, self.max_value)
        wanted = self.rate * allowed + (1 - self.rate) * norm
        return w * (wanted / (config.epsilon() + norm))


max_norm = registry.add_builtin(MaxNorm, "constraints", "max_norm")
non_neg = registry.add_builtin(NonNeg, "constraints", "non_neg")
unit_norm = registry.add_builtin(UnitNorm, "constraints", "unit_norm")
min_max_norm = registry.add_builtin(MinMaxNorm, "constraints", "min_max_norm")


def get(identifier: object) -> Any:
    """A constraint from its name, config, class or itself; None stays None."""
    return registry.lookup_callable(identifier, "constraints", kind="constraint")


def serialize(constraint: object) -> Any:
    """A constraint as plain data."""
    return registry.serialize_keras_object(constraint)


def deserialize(config: Config, custom_objects: dict[str, Any] | None = None) -> Any:
    """The inverse of `serialize`."""
    with registry.custom_object_scope(custom_objects):
        return get(config)
