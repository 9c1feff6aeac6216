"""Penalties on weights and activations, added to the loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from carnyx import registry
from carnyx.configurable import Configurable, field, one_of
from carnyx.errors import ShapeError
from carnyx.ops.nn import normalize
from carnyx.ops.numpy import absolute, eye, matmul, square, sum, transpose
from carnyx.typing import Config, Tensor


class Regularizer(Configurable):
    """Base of penalties: `regularizer(x)` is a number. Subclasses define `__call__`."""

    keras_family = "regularizers"

    def __call__(self, x: Tensor) -> Tensor:
        """The penalty."""
        return 0.0


def _weight(value: Any) -> str | None:
    """A check: a factor that keeps the loss finite and bounded below."""
    good = isinstance(value, int | float) and math.isfinite(value) and value >= 0
    return None if good else "a finite number, 0 or more"


def _or(default: float) -> Callable[[Any], float]:
    return lambda value: default if value is None else float(value)


class L1(Regularizer):
    """l1 · sum(|x|).

    >>> float(L1(0.5)([1.0, -3.0]))
    2.0
    """

    l1: float | None = field(0.01, _or(0.01), check=_weight)

    def __call__(self, x: Tensor) -> Tensor:
        return self.l1 * sum(absolute(x))


class L2(Regularizer):
    """l2 · sum(x²)."""

    l2: float | None = field(0.01, _or(0.01), check=_weight)

    def __call__(self, x: Tensor) -> Tensor:
        return self.l2 * sum(square(x))


class L1L2(Regularizer):
    """l1 · sum(|x|) + l2 · sum(x²)."""

    l1: float | None = field(0.0, _or(0.0), check=_weight)
    l2: float | None = field(0.0, _or(0.0), check=_weight)

    def __call__(self, x: Tensor) -> Tensor:
        return self.l1 * sum(absolute(x)) + self.l2 * sum(square(x))


class OrthogonalRegularizer(Regularizer):
    """factor · the mean of |cos(angle)| over pairs of rows (or columns).

    Shapes: (rows, columns) -> ()
    """

    factor: float = field(0.01, check=_weight)
    mode: str = field("rows", check=one_of("rows", "columns"))

    def __call__(self, inputs: Tensor) -> Tensor:
        if len(inputs.shape) != 2:
            raise ShapeError(
                f"OrthogonalRegularizer got an input of shape {tuple(inputs.shape)}; "
                "expected a matrix."
            )
        x = normalize(inputs if self.mode == "rows" else transpose(inputs), axis=1)
        n = x.shape[0]
        cosines = matmul(x, transpose(x)) * (1 - eye(n, dtype=x.dtype))
        # Every pair stands there twice.
        return self.factor * sum(absolute(cosines)) / max(n * (n - 1), 1)


l1 = registry.add_builtin(L1, "regularizers", "l1")
l2 = registry.add_builtin(L2, "regularizers", "l2")
l1_l2 = registry.add_builtin(L1L2, "regularizers", "l1_l2")
orthogonal_regularizer = registry.add_builtin(
    OrthogonalRegularizer, "regularizers", "orthogonal_regularizer"
)
registry.add_builtin(L1L2, "regularizers", "l1l2")


def get(identifier: object) -> Any:
    """A regularizer from its name, config, class or itself; None stays None.

    >>> get("l2").get_config()
    {'l2': 0.01}
    """
    return registry.lookup_callable(identifier, "regularizers", kind="regularizer")


def serialize(regularizer: object) -> Any:
    """A regularizer as plain data."""
    return registry.serialize_keras_object(regularizer)


def deserialize(config: Config, custom_objects: dict[str, Any] | None = None) -> Any:
    """The inverse of `serialize`."""
    with registry.custom_object_scope(custom_objects):
        return get(config)
