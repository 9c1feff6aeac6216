"""Several tensors made one."""

from __future__ import annotations

import functools
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from carnyx import ops
from carnyx.configurable import attribute, field
from carnyx.errors import ArgumentError, ShapeError
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import label
from carnyx.typing import Shape, Tensor


def _check_list(layer: Layer, input_shape: Any, number: int | None = None) -> None:
    several = isinstance(input_shape, list | tuple) and len(input_shape) > 0
    several = several and all(isinstance(s, list | tuple) for s in input_shape)
    if not several or number not in (None, len(input_shape)):
        raise ShapeError(
            f"{label(layer)} got shape {input_shape}; expected a list of "
            f"{number or 'one or more'} tensors."
        )


def _check_masks(layer: Layer, inputs: Any, mask: Any) -> None:
    if mask is None:
        return
    both = (inputs, mask)
    if not all(isinstance(v, list | tuple) for v in both) or len(inputs) != len(mask):
        got = [len(v) if isinstance(v, list | tuple) else v for v in both]
        raise ArgumentError(
            f"{label(layer)} got {got[0]} as inputs and {got[1]} as their mask; "
            "expected two lists of one length, with a mask or None for each input."
        )


class _Merge(Layer):
    """Elementwise, of inputs that broadcast after the batch axis."""

    number: int | None = attribute(None)  # how many inputs it must have

    supports_masking = True

    def build(self, input_shape: Any) -> None:
        _check_list(self, input_shape, self.number)
        batches = {s[0] for s in input_shape if s} - {None}
        if len(batches) > 1:
            raise ShapeError(
                f"{label(self)} got different batch sizes: shapes {list(input_shape)}."
            )
        samples = [s[1:] for s in input_shape]
        for column in zip(*(_from_the_end(s, max(map(len, samples))) for s in samples)):
            if len({n for n in column if n is not None} - {1}) > 1:
                raise ShapeError(
                    f"{label(self)} got shapes {list(input_shape)}, which do not fit "
                    "together; sizes must be equal, or 1."
                )

    def call(self, inputs: list[Tensor]) -> Tensor:
        return functools.reduce(self._pair, _one_rank(inputs))

    def _pair(self, x: Tensor, y: Tensor) -> Tensor:
        """Two inputs made one."""
        raise NotImplementedError

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        _check_masks(self, inputs, mask)
        if mask is None or any(m is None for m in mask):
            return None
        return functools.reduce(ops.logical_or, mask)


def _from_the_end(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + tuple(shape)


def _one_rank(inputs: list[Tensor]) -> list[Tensor]:
    """All with as many axes as the largest: new ones come after the batch."""
    rank = max(x.ndim for x in inputs)
    return [
        x.reshape(*x.shape[:1], *[1] * (rank - x.ndim), *x.shape[1:])
        if x.ndim < rank
        else x
        for x in inputs
    ]


def _spread(mask: Tensor, x: Tensor) -> Tensor:
    """A mask of leading axes as one of the shape of x."""
    if len(mask.shape) == len(x.shape) and all(
        m == n or n is None for m, n in zip(mask.shape, x.shape)
    ):
        return ops.cast(mask, "bool")  # needs no values of x, which may be a symbol
    for _ in range(x.ndim - mask.ndim):
        mask = ops.expand_dims(mask, -1)
    return ops.logical_or(mask, ops.zeros_like(x, dtype="bool"))


class Add(_Merge):
    """The sum of the inputs.

    Shapes: [(batch, …), …] -> (batch, …)

    >>> import numpy as np
    >>> Add()([np.ones((2, 3)), np.ones((2, 3))]).tolist()
    [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]
    """

    def _pair(self, x: Tensor, y: Tensor) -> Tensor:
        return ops.add(x, y)


class Average(Add):
    """The mean of the inputs.

    Shapes: [(batch, …), …] -> (batch, …)
    """

    def call(self, inputs: list[Tensor]) -> Tensor:
        return super().call(inputs) / len(inputs)


class Subtract(_Merge):
    """The first of two inputs minus the second.

    Shapes: [(batch, …), (batch, …)] -> (batch, …)
    """

    number = 2

    def _pair(self, x: Tensor, y: Tensor) -> Tensor:
        return ops.subtract(x, y)


class Multiply(_Merge):
    """The product of the inputs; masked places count as 1, masked in all give 0.

    Shapes: [(batch, …), …] -> (batch, …)
    """

    def call(self, inputs: list[Tensor], mask: Tensor | None = None) -> Tensor:
        equal = _one_rank(inputs)
        masks = _spread_masks(inputs, mask)
        unmasked = [
            x if m is None else ops.where(m, x, 1) for x, m in zip(equal, masks)
        ]
        y = functools.reduce(ops.multiply, unmasked)
        if any(m is None for m in masks):
            return y
        return ops.where(functools.reduce(ops.logical_or, masks), y, 0)


def _spread_masks(inputs: list[Tensor], masks: Any) -> list[Any]:
    """A mask or None for each input; none at all where their ranks differ."""
    if masks is None or len({x.ndim for x in inputs}) > 1:
        return [None] * len(inputs)
    return [m if m is None else _spread(m, x) for x, m in zip(inputs, masks)]


class _Extreme(_Merge):
    """The maximum or minimum; where one is masked, the other."""

    def call(self, inputs: list[Tensor], mask: Any = None) -> Tensor:
        pairs = zip(_one_rank(inputs), _spread_masks(inputs, mask))
        return functools.reduce(self._masked_pair, pairs)[0]

    def _masked_pair(self, a: tuple, b: tuple) -> tuple:
        (x, seen_x), (y, seen_y) = a, b
        y = y if seen_y is None else ops.where(seen_y, y, x)
        x = x if seen_x is None else ops.where(seen_x, x, y)
        both = seen_x is not None and seen_y is not None
        return self._pair(x, y), ops.logical_or(seen_x, seen_y) if both else None


class Maximum(_Extreme):
    """The elementwise maximum of the inputs.

    Shapes: [(batch, …), …] -> (batch, …)
    """

    def _pair(self, x: Tensor, y: Tensor) -> Tensor:
        return ops.maximum(x, y)


class Minimum(_Extreme):
    """The elementwise minimum of the inputs.

    Shapes: [(batch, …), …] -> (batch, …)
    """

    def _pair(self, x: Tensor, y: Tensor) -> Tensor:
        return ops.minimum(x, y)


class Concatenate(_Merge):
    """The inputs side by side along `axis`.

    Shapes: [(batch, …, a), (batch, …, b)] -> (batch, …, a + b)

    >>> import numpy as np
    >>> Concatenate(axis=1)([np.ones((2, 1, 4)), np.ones((2, 3, 4))]).shape
    (2, 4, 4)
    """

    axis: int = field(-1)

    def build(self, input_shape: Any) -> None:
        _check_list(self, input_shape)
        rank = len(input_shape[0])
        if any(len(s) != rank for s in input_shape) or not -rank <= self.axis < rank:
            raise ShapeError(
                f"{label(self)} got shapes {list(input_shape)}; expected equal ranks "
                f"that have an axis {self.axis}."
            )
        for axis, column in enumerate(zip(*input_shape)):
            if axis != self.axis % rank and len(set(column) - {None}) > 1:
                raise ShapeError(
                    f"{label(self)} got shapes {list(input_shape)}, which differ on "
                    f"axis {axis}; only axis {self.axis} may differ."
                )

    def call(self, inputs: list[Tensor]) -> Tensor:
        return ops.concatenate(inputs, self.axis)

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        _check_masks(self, inputs, mask)
        if mask is None or all(m is None for m in mask):
            return None
        masks = [
            ops.ones_like(x, dtype="bool") if m is None else _spread(m, x)
            for x, m in zip(inputs, mask)
        ]
        return ops.any(ops.concatenate(masks, self.axis), -1)


class Dot(_Merge):
    """The sum of products of two inputs along one axis of each, sample by sample.

    Shapes: [(batch, …a, k), (batch, …b, k)] -> (batch, …a, …b); never below rank 2

    Args:
        axes: of both inputs, or a pair; not 0, the batch.
        normalize: divide by the norms first: then it is the cosine.

    >>> import numpy as np
    >>> Dot(axes=(2, 1))([np.ones((5, 3, 4)), np.ones((5, 4, 2))]).shape
    (5, 3, 2)
    """

    axes: Any = field(convert=lambda a: tuple(a) if isinstance(a, list | tuple) else a)
    normalize: bool = field(False)

    number = 2

    def __post_init__(self) -> None:
        pair = (self.axes,) * 2 if isinstance(self.axes, int) else self.axes
        if len(pair) != 2 or not all(isinstance(a, int) for a in pair) or 0 in pair:
            raise ArgumentError(
                f"Dot got axes={self.axes!r}; expected an integer or a pair of them, "
                "not 0, the batch axis."
            )

    def _axes(self, *ranks: int) -> list[int]:
        pair = (self.axes,) * 2 if isinstance(self.axes, int) else self.axes
        return [axis % rank for axis, rank in zip(pair, ranks)]

    def build(self, input_shape: Any) -> None:
        _check_list(self, input_shape, 2)
        left, right = input_shape
        a, b = self._axes(len(left), len(right))
        if None not in (left[a], right[b]) and left[a] != right[b]:
            raise ShapeError(
                f"{label(self)} got shapes {left} and {right}, whose axes {a} and {b} "
                f"have the sizes {left[a]} and {right[b]}; expected equal ones."
            )

    def call(self, inputs: list[Tensor]) -> Tensor:
        x, y = inputs
        a, b = self._axes(x.ndim, y.ndim)
        if self.normalize:
            x, y = ops.normalize(x, a), ops.normalize(y, b)
        # One letter for the batch, and one for what is summed over.
        left, right = list(ascii_lowercase[: x.ndim]), list(ascii_uppercase[: y.ndim])
        right[0], right[b] = left[0], left[a]
        kept = [*left[:a], *left[a + 1 :], *right[1:b], *right[b + 1 :]]
        z = ops.einsum(f"{''.join(left)},{''.join(right)}->{''.join(kept)}", x, y)
        return z[:, None] if z.ndim == 1 else z

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        return None


def add(inputs: list[Tensor], **kwargs: Any) -> Tensor:
    """As the layer `Add`."""
    return Add(**kwargs)(inputs)


def subtract(inputs: list[Tensor], **kwargs: Any) -> Tensor:
    """As the layer `Subtract`."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: list[Tensor], **kwargs: Any) -> Tensor:
    """As the layer `Multiply`."""
    return Multiply(**kwargs)(inputs)


def average(inputs: list[Tensor], **kwargs: Any) -> Tensor:
    """As the layer `Average`."""
    return Average(**kwargs)(inputs)


def maximum(inputs: list[Tensor], **kwargs: Any) -> Tensor:
    """As the layer `Maximum`."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: list[Tensor], **kwargs: Any) -> Tensor:
    """As the layer `Minimum`."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: list[Tensor], axis: int = -1, **kwargs: Any) -> Tensor:
    """As the layer `Concatenate`."""
    return Concatenate(axis, **kwargs)(inputs)


def dot(inputs: list[Tensor], axes: object = -1, **kwargs: Any) -> Tensor:
    """As the layer `Dot`."""
    return Dot(axes, **kwargs)(inputs)


__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]
