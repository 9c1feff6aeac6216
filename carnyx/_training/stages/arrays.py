"""Small things that the files here share: arrays on devices, and what is no array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from carnyx._core.scope import is_tracer

Values = dict[Any, Any]
"""Arrays by their variable, or by their symbolic tensor."""


@jax.tree_util.register_static
class Static(tuple):
    """What is no array, as a part of a program's signature."""


def is_float(x: Any) -> bool:
    """Whether an array has a gradient."""
    return x is not None and jnp.issubdtype(x.dtype, jnp.inexact)


def distinct(items: Iterable[Any]) -> list[Any]:
    """Each object once, in order."""
    return list(dict.fromkeys(items))


def spec_of(x: Any) -> Any:
    """The shape and dtype of an array or a variable; None for None."""
    return None if x is None else jax.ShapeDtypeStruct(x.shape, x.dtype)


def device_puts(values: Sequence[Any], device: Any) -> list[Any]:
    """The values on the device; those that are there already are not touched."""
    away = [
        i
        for i, v in enumerate(values)
        if v is not None and not (isinstance(v, jax.Array) and _is_on(v, device))
    ]
    if not away:
        return list(values)
    moved = list(values)
    for i, value in zip(
        away, jax.device_put([values[i] for i in away], device), strict=True
    ):
        moved[i] = value
    return moved


def moved_to(tree: Any, device: Any) -> Any:
    """A tree of arrays on the device."""
    leaves, form = jax.tree_util.tree_flatten(tree)
    return jax.tree_util.tree_unflatten(form, device_puts(leaves, device))


def _is_on(value: Any, device: Any) -> bool:
    if is_tracer(value):
        return False
    return value.committed and value.devices() == {device}
