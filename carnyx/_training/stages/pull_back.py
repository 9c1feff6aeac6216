"""From the gradients of what a stage gave to those of what it was given."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from carnyx._training.stages.stage_values import Cotangents, Residuals


def casting_again(run: Callable[..., Any], weights: Sequence[Any]) -> Any:
    """The function, whose gradient does not keep weights in a lower precision: a copy
    for every microbatch on its way. They are cast again on the way back."""
    shapes = {(w.shape, w.dtype) for w in weights}

    def may_keep(primitive: Any, *avals: Any, **params: Any) -> bool:
        if primitive is not jax.lax.convert_element_type_p:
            return True
        return (avals[0].shape, avals[0].dtype) not in shapes

    return jax.checkpoint(run, policy=may_keep, prevent_cse=False)


def pulled_back(
    sums: list[Any] | None, residuals: Residuals, cotangents: Cotangents
) -> tuple[list[Any], list[Any]]:
    """Cotangents of what a stage gave as gradients of what it was given."""
    moving, shapes = residuals.outputs
    outputs = [
        _sum(parts, shape, dtype) if floating else None
        for parts, (shape, dtype, floating) in zip(
            cotangents.outputs, shapes, strict=True
        )
    ]
    gradient = jax.tree_util.tree_unflatten(residuals.form[0], residuals.leaves)
    trainable, inputs = gradient((outputs, cotangents.losses, cotangents.penalties))
    if sums is not None:
        trainable = [s + g for s, g in zip(sums, trainable, strict=True)]
    some = iter(inputs)
    return trainable, [next(some) if m else None for m in moving]


def _sum(parts: tuple[Any, ...], shape: Any, dtype: Any) -> Any:
    if not parts:
        return jnp.zeros(shape, dtype)
    return functools.reduce(jnp.add, parts).astype(dtype)
