"""`InputSpec`: what a layer needs of its inputs, and the error when it is not so."""

from __future__ import annotations

from typing import Any

from carnyx import tree
from carnyx._core.symbol import is_symbolic, standardize_shape
from carnyx.configurable import Configurable, field
from carnyx.errors import DTypeError, ShapeError
from carnyx.typing import Shape, Tensor


class InputSpec(Configurable):
    """The rank, dtype, shape or single axes that an input must have.

    Args:
        axes: from axis to size; None allows any.
        allow_last_axis_squeeze: accept a last axis of size 1 more or less.
        name: the key under which a dict of inputs holds this one.

    >>> InputSpec(min_ndim=2, axes={-1: 3}).problem((None, 4))
    'got size 4 on axis -1 (shape (None, 4)), expected 3'
    """

    keras_family = "layers"

    dtype: Any = field(None)
    shape: Shape | None = field(None, lambda s: None if s is None else tuple(s))
    ndim: int | None = field(None)
    max_ndim: int | None = field(None)
    min_ndim: int | None = field(None)
    axes: dict[int, int | None] | None = field(None)
    allow_last_axis_squeeze: bool = field(False)
    name: str | None = field(None)
    optional: bool = field(False)

    def __post_init__(self) -> None:
        if self.shape is not None:
            self.shape = standardize_shape(self.shape)
            self.ndim = len(self.shape)
        self.axes = {int(k): v for k, v in (self.axes or {}).items()}

    def problem(self, shape: Shape) -> str | None:
        """What is wrong with an input of that shape, or None."""
        rank = len(shape)
        wanted = self.shape
        if self.ndim is not None and rank != self.ndim:
            if not self._squeezes(shape):
                return f"got rank {rank} (shape {shape}), expected {self.ndim}"
        if self.max_ndim is not None and rank > self.max_ndim:
            return f"got rank {rank} (shape {shape}), expected {self.max_ndim} or less"
        if self.min_ndim is not None and rank < self.min_ndim:
            return f"got rank {rank} (shape {shape}), expected {self.min_ndim} or more"
        for axis, size in (self.axes or {}).items():
            if size is not None and -rank <= axis < rank:
                if shape[axis] not in (size, None):
                    return (
                        f"got size {shape[axis]} on axis {axis} (shape {shape}), "
                        f"expected {size}"
                    )
        if wanted is not None and rank == len(wanted):
            fits = zip(shape, wanted, strict=True)
            if any(a is not None and b is not None and a != b for a, b in fits):
                return f"got shape {shape}, expected {wanted}"
        return None

    def _squeezes(self, shape: Shape) -> bool:
        if not self.allow_last_axis_squeeze or self.shape is None:
            return False
        longer = shape if len(shape) > len(self.shape) else self.shape
        return abs(len(shape) - len(self.shape)) == 1 and longer[-1] == 1


def check_inputs(specs: Any, inputs: Any, layer: Any) -> None:
    """Raise ShapeError or DTypeError where `inputs` do not meet the layer's specs."""
    if not specs:
        return
    specs = specs if isinstance(specs, list | tuple) else [specs]
    if isinstance(inputs, dict) and all(getattr(s, "name", None) for s in specs):
        missing = [s.name for s in specs if s.name not in inputs and not s.optional]
        if missing:
            raise ShapeError(
                f"{label(layer)} got no input named {missing[0]!r}; it got "
                f"{sorted(inputs)}. Pass a dict with the keys "
                f"{[s.name for s in specs]}."
            )
        tensors = [inputs.get(s.name) for s in specs]
    else:
        tensors = tree.flatten(inputs)
    if len(tensors) != len(specs):
        raise ShapeError(
            f"{label(layer)} takes {len(specs)} inputs but got {len(tensors)}: "
            f"{[getattr(t, 'shape', t) for t in tensors]}."
        )
    for spec, tensor in zip(specs, tensors, strict=True):
        if spec is None or (tensor is None and spec.optional):
            continue
        if tensor is None:
            raise ShapeError(
                f"{label(layer)} got None as its input; expected a tensor. Does the "
                "layer or function before return nothing?"
            )
        shape = static_shape(tensor)
        problem = spec.problem(shape)
        if problem:
            raise ShapeError(f"{label(layer)} {problem}.{_hint(layer, spec, tensor)}")
        if spec.dtype is not None and str(tensor.dtype) != str(spec.dtype):
            raise DTypeError(
                f"{label(layer)} got dtype {tensor.dtype}, expected {spec.dtype}."
            )


def _hint(layer: Any, spec: InputSpec, tensor: Any) -> str:
    rank = len(tensor.shape)
    if spec.axes and rank >= (spec.min_ndim or 0):
        return (
            " Weights are tied to the shape that the layer was built for; if the new "
            "size is intended, make a new layer."
        )
    wanted = rank + 1
    if (spec.ndim or spec.min_ndim) != wanted:
        return ""
    if hasattr(layer, "return_sequences"):
        return _hint_of_steps(tensor)
    channels = "Is the axis of channels missing? Add it with x[..., None]."
    if is_symbolic(tensor):  # an Input has its batch axis
        return f" {channels}" if wanted > 3 else ""
    batch = " Is the batch axis missing? Add it with x[None]."
    return f"{batch} {channels}" if wanted > 3 else batch


def _hint_of_steps(tensor: Any) -> str:
    """For a recurrent layer that got no steps: the layer before it may have them."""
    node = getattr(tensor, "node", None)
    while node is not None:
        before = node.operation
        if getattr(before, "return_sequences", True) is False:
            return (
                f" {label(before)} before it gives its last step only; make it with "
                "return_sequences=True."
            )
        one = len(node.inputs) == 1 and node.inputs[0].ndim == tensor.ndim
        node = node.inputs[0].node if one else None
    return (
        " A recurrent layer takes steps, (batch, time, …); if a recurrent layer is "
        "before it, make that with return_sequences=True."
    )


def label(layer: Any) -> str:
    """How errors name a layer: class and path.

    >>> import carnyx as keras
    >>> label(keras.layers.Dense(3, name="head"))
    "Dense 'head'"
    """
    path = getattr(layer, "path", None) or getattr(layer, "name", "")
    return f"{type(layer).__name__} {path!r}"


def static_shape(x: Tensor) -> Shape:
    """The shape of a tensor or array-like, None where it is not a known integer."""
    shape = getattr(x, "shape", None)
    if shape is None:
        return ()
    return tuple(d if isinstance(d, int) else None for d in shape)


__all__ = ["InputSpec"]
