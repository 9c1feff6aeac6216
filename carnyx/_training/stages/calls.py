"""Calls of a placed model outside of the programs of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax

from carnyx._core.devices import default_device
from carnyx._core.masks import get_mask, set_mask
from carnyx._core.placement import peek_settled
from carnyx._core.scope import current, in_program
from carnyx._core.variable import Variable
from carnyx._training.stages.arrays import Values
from carnyx._training.stages.executor import Run
from carnyx._training.stages.microbatches import split_columns

if TYPE_CHECKING:
    from carnyx._training.stages.placements import GraphPlacement


def through_stages(
    placement: GraphPlacement, inputs: Sequence[Any],
    masks: Sequence[Any] | None = None, training: bool | None = False,
    fast: bool = False,
) -> Run:  # fmt: skip
    """A batch that has gone through all stages; what they assigned is assigned."""
    executor = placement.executor()
    sizes = placement.sizes_of(inputs, bool(training))
    run = Run(
        executor, _values(placement, executor.variables), split_columns(inputs, sizes),
        None if masks is None else split_columns(masks, sizes),
        training=training, fast=fast,
    ).forward()  # fmt: skip
    for variable, value in run.changed.items():
        variable.assign(value)
    return run


def call_on_devices(
    placement: GraphPlacement, values: Sequence[Any]
) -> list[Any] | None:
    """The outputs of a call with arrays, flat, each where it was made; inside a device
    scope all there, inside the call of another layer where that computes.

    None inside of a program that is being traced: it is for one device.
    """
    if not all(isinstance(v, jax.Array) or v is None for v in values) or in_program():
        return None
    context = current()
    masks = [None if v is None else get_mask(v) for v in values]
    training = context.training
    run = through_stages(placement, values, masks, training, context.fast_gradients)
    here = context.device
    if here is None and len(context.path) > 1:
        here = default_device()
    sizes = placement.sizes_of(values, bool(training)) or (1,)
    for layer, loss in run.added(sizes, here or placement.last):
        layer.add_loss(loss)
    outputs = []
    for value, mask in zip(*run.joined(placement.last), strict=True):
        if here is not None:
            value, mask = jax.device_put((value, mask), here)
        if mask is not None:
            set_mask(value, mask)
        outputs.append(value)
    return outputs


def _values(placement: GraphPlacement, variables: list[Variable]) -> Values:
    """The variables' values: those of the state in force, else their own, which move
    to where they are kept."""
    state = current().state
    known = {} if state is None else {v: state.look(v) for v in variables}
    known = {v: value for v, value in known.items() if value is not None}
    outside = [v for v in variables if v not in known]
    own = peek_settled(placement, outside)
    return known | dict(zip(outside, own, strict=True))
