"""Quantizers as objects, found by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carnyx import registry
from carnyx.configurable import Configurable, field
from carnyx.errors import ArgumentError
from carnyx.quantizers.integers import EPSILON, abs_max_quantize
from carnyx.typing import Axis, Tensor


class Quantizer(Configurable):
    """Base of quantizers: called on floats they give numbers of another dtype.

    >>> Quantizer("int8")(3.0)
    3.0
    """

    keras_family = "quantizers"

    output_dtype: str = field("int8")

    def __call__(self, x: Tensor) -> Any:
        """The quantized values; a subclass writes it."""
        return x


def _axes(axis: Any) -> tuple[int, ...] | None:
    return (axis,) if isinstance(axis, int) else axis and tuple(axis)


class AbsMaxQuantizer(Quantizer):
    """Integers whose greatest size is the end of a range: see `abs_max_quantize`.

    Args:
        axis: along which numbers share a scale; a call's own axis wins, and -1 is
            taken where none is said.

    >>> import numpy as np
    >>> q, scale = AbsMaxQuantizer()(np.array([[1.0, -2.0, 4.0]], "float32"))
    >>> q.tolist()
    [[32, -64, 127]]
    """

    field_order = ("axis", "value_range", "epsilon", ...)

    axis: Axis = field(None, _axes)
    value_range: Sequence[float] = field((-127, 127), tuple)
    epsilon: float = field(EPSILON)

    def __post_init__(self) -> None:
        low, high = self.value_range
        if self.output_dtype == "int8" and (low < -128 or high > 127):
            raise ArgumentError(
                "AbsMaxQuantizer with output_dtype='int8' requires value_range within "
                f"[-128, 127]; got {self.value_range}."
            )

    def __call__(
        self, x: Tensor, axis: Axis = None, to_numpy: bool = False
    ) -> tuple[Tensor, Tensor]:
        """`q, scale`, as `abs_max_quantize` gives them."""
        axis = axis if axis is not None else self.axis
        return abs_max_quantize(
            x, -1 if axis is None else axis, self.value_range, self.output_dtype,
            self.epsilon, to_numpy,
        )  # fmt: skip


registry.add_builtin(AbsMaxQuantizer, "quantizers", "abs_max_quantizer")
registry.add_builtin(Quantizer, "quantizers", "quantizer")


def get(identifier: object, **kwargs: Any) -> Any:
    """A quantizer from its name, config, class or itself; None stays None.

    Args:
        kwargs: arguments of a quantizer given by its name.

    >>> get("abs_max_quantizer", axis=0).axis
    (0,)
    """
    if isinstance(identifier, str) and kwargs:
        identifier = {"class_name": identifier, "config": kwargs}
    return registry.lookup_callable(identifier, "quantizers", kind="quantizer")


def serialize(initializer: object) -> Any:
    """A quantizer as plain data."""
    return registry.serialize_keras_object(initializer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The inverse of `serialize`."""
    with registry.custom_object_scope(custom_objects):
        return get(config)
