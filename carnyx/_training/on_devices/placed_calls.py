"""Calls of a placed model outside of the programs of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from carnyx._core.devices import default_device
from carnyx._core.masks import get_mask, set_mask
from carnyx._core.placement import peek_settled
from carnyx._core.scope import current, in_program
from carnyx._training.on_devices.device_placement import DevicePlacement
from carnyx._training.on_devices.flow import Flow, Passed, Values


def call_on_devices(
    placement: DevicePlacement, values: Sequence[Any]
) -> list[Any] | None:
    """The outputs of a call with arrays, flat, each where it was made; inside a device
    scope all there, inside the call of another layer where that computes.

    None inside of a program that is being traced: it is for one device.
    """
    if not all(isinstance(v, jax.Array) or v is None for v in values) or in_program():
        return None
    flow, context = placement.flow(), current()
    every = {id(v): v for s in flow.stages for v in (*s.trainable, *s.buffers)}
    variables = list(every.values())
    known = _values(placement, variables)
    masks = [None if v is None else get_mask(v) for v in values]
    passed = flow.forward(
        known, values, masks, context.training, fast=context.fast_gradients
    )
    pass_through(placement.model, flow, passed)
    for variable in variables:
        if id(variable) in passed.changed:
            variable.assign(passed.changed[id(variable)])
    here = context.device
    if here is None and len(context.path) > 1:
        here = default_device()
    for layer, loss in zip(passed.adders(), passed.losses(), strict=True):
        layer.add_loss(loss if here is None else jax.device_put(loss, here))
    outputs = []
    for tensor in flow.outputs:
        value, mask = passed.tensors[id(tensor)], passed.masks.get(id(tensor))
        if here is not None:
            value, mask = jax.device_put((value, mask), here)
        if mask is not None:
            set_mask(value, mask)
        outputs.append(value)
    return outputs


def _values(placement: DevicePlacement, variables: list[Any]) -> Values:
    """The variables' values: those of the state in force, else their own, which move
    to where they are kept."""
    state = current().state
    known = {} if state is None else {id(v): state.look(id(v)) for v in variables}
    known = {key: value for key, value in known.items() if value is not None}
    outside = [v for v in variables if id(v) not in known]
    own = peek_settled(placement, outside)
    return known | dict(zip(map(id, outside), own, strict=True))


def pass_through(model: Any, flow: Flow, passed: Passed) -> None:
    """An input that is an output: as the model enters it."""
    for tensor, device in zip(flow.outputs, flow.output_devices, strict=True):
        if device is None:
            value = model._entered(jnp.asarray(passed.tensors[id(tensor)]), tensor)
            passed.tensors[id(tensor)] = value
