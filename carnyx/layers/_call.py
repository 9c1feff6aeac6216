"""What a layer's `call` and `build` take, read once a class."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from carnyx import tree
from carnyx._core.masks import get_mask
from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable
from carnyx.layers.input_spec import static_shape

F = TypeVar("F", bound=Callable[..., Any])


class Signature(NamedTuple):
    """The parameters of a function, without `self`."""

    names: tuple[str, ...]
    required: tuple[str, ...]
    defaults: dict[str, Any]
    open_ended: bool  # takes **kwargs
    positional: bool  # takes *args

    def takes(self, name: str) -> bool:
        return name in self.names


@functools.cache
def signature_of(fn: Any) -> Signature:
    """The signature of a plain function (not a bound method)."""
    parameters = list(inspect.signature(fn).parameters.values())[1:]
    plain = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    return Signature(
        tuple(p.name for p in plain),
        tuple(p.name for p in plain if p.default is p.empty),
        {p.name: p.default for p in plain if p.default is not p.empty},
        any(p.kind is p.VAR_KEYWORD for p in parameters),
        any(p.kind is p.VAR_POSITIONAL for p in parameters),
    )


_KERAS2 = "name shape dtype initializer regularizer trainable constraint".split()


def keras2_order(add_weight: F) -> F:
    """Let a name as first positional argument mean the order of Keras 2."""

    @functools.wraps(add_weight)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], str):
            kwargs |= dict(zip(_KERAS2, args, strict=False))
            args = ()
        return add_weight(self, *args, **kwargs)

    return call  # type: ignore[return-value]


def is_tensor(x: Any) -> bool:
    """True for what a layer takes as a tensor: array, variable or symbol."""
    return isinstance(x, KerasTensor | Variable | jax.Array | np.ndarray)


def named_arguments(
    signature: Signature, args: tuple, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Arguments by parameter name, those given."""
    named = dict(zip(signature.names, args, strict=False))
    return named | kwargs


def tensor_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Those that are tensors, or nests of nothing but tensors."""
    found = {}
    for name, value in arguments.items():
        if name == "mask" or name.endswith("_mask"):
            continue
        leaves = [v for v in tree.flatten(value) if v is not None]
        if leaves and all(is_tensor(leaf) for leaf in leaves):
            found[name] = value
    return found


def fill_masks(
    signature: Signature, tensors: dict[str, Any], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The implicit masks of tensor arguments that `call` asks for by name."""
    filled = {}
    for position, (name, value) in enumerate(tensors.items()):
        wanted = f"{name}_mask"
        if position == 0 and not signature.takes(wanted):
            wanted = "mask"
        if signature.takes(wanted) and kwargs.get(wanted) is None:
            masks = masks_of(value)
            if any(m is not None for m in tree.flatten(masks)):
                filled[wanted] = masks
    return filled


def masks_of(structure: Any) -> Any:
    """The masks of nested tensors, in the same structure."""
    return tree.map_structure(get_mask, structure)


def shapes_of(structure: Any) -> Any:
    """The static shapes of nested tensors: a tuple, or nests of tuples."""
    if isinstance(structure, dict):
        return {k: shapes_of(v) for k, v in structure.items()}
    if isinstance(structure, list | tuple):
        return type(structure)(shapes_of(v) for v in structure)
    return None if structure is None else static_shape(structure)


def describe(arguments: dict[str, Any]) -> str:
    """Tensor arguments as `float32[2, 9]`, for error notes."""

    def one(x: Any) -> str:
        if x is None:
            return "None"
        sizes = ", ".join("?" if d is None else str(d) for d in static_shape(x))
        return f"{x.dtype}[{sizes}]"

    parts = []
    for value in arguments.values():
        leaves = [one(leaf) for leaf in tree.flatten(value)]
        nested = isinstance(value, list | tuple | dict)
        parts.append(f"[{', '.join(leaves)}]" if nested else leaves[0])
    return ", ".join(parts)
