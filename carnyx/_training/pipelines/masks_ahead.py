"""The masks of a model's outputs, known before the outputs are.

A loss that is a mean over what a mask lets through is divided by how much that is in
the whole batch, and the first microbatch comes back before the last one has gone. A
mask mostly depends on little, such as padding in the inputs: what it does not depend on
is left out of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from carnyx._core.variable import Variable
from carnyx._training.on_devices.flow import Values
from carnyx._training.on_devices.stages import device_puts
from carnyx._training.pipelines.passage import Pipe
from carnyx.errors import ArgumentError


def _variables_of(pipe: Pipe) -> list[Variable]:
    every = (v for stage in pipe.stages for v in (*stage.trainable, *stage.buffers))
    return list({id(v): v for v in every}.values())


def _whole(pipe: Pipe, changed: set[int]) -> Callable[..., Any]:
    """All stages as one function, for tracing: the outputs and their masks.

    Args:
        changed: gets the ids of the variables that change.
    """

    def run(values: Values, inputs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        known = {id(t): (v, None) for t, v in zip(pipe.inputs, inputs, strict=True)}
        for stage in pipe.stages:
            pairs = [known[id(t)] for t in stage.inputs]
            outcome = stage._compute(
                [values[id(v)] for v in stage.trainable],
                [values[id(v)] for v in stage.buffers],
                [x for x, _ in pairs], [mask for _, mask in pairs], True, True,
            )  # fmt: skip
            changed.update(id(stage.buffers[i]) for i in outcome.buffers)
            rows = zip(stage.outputs, outcome.outputs, outcome.masks, strict=True)
            known |= {id(t): (x, mask) for t, x, mask in rows}
        ends = [known[id(t)] for t in pipe.outputs]
        return [x for x, _ in ends], [mask for _, mask in ends]

    return run


def shapes_of_outputs(
    pipe: Pipe, variables: Values, inputs: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Shapes of the outputs and of their masks, for inputs like these."""
    own = {id(v): variables[id(v)] for v in _variables_of(pipe)}
    return jax.eval_shape(_whole(pipe, set()), own, list(inputs))


class MasksAhead:
    """A program from the inputs of all microbatches to the masks of their outputs.

    Raises:
        ArgumentError: where a mask depends on what changes from one microbatch to the
            next.
    """

    def __init__(
        self, pipe: Pipe, variables: Values, inputs: Sequence[Sequence[Any]]
    ) -> None:
        self.pipe, self.variables = pipe, _variables_of(pipe)
        changed: set[int] = set()
        values = [variables[id(v)] for v in self.variables]
        specs = [_spec(v) for v in [*values, *inputs[0]]]
        jaxpr = jax.make_jaxpr(lambda *flat: self._masks(flat, changed))(*specs).jaxpr
        flags = iter(_needed(jaxpr))
        needed = [spec is not None and next(flags) for spec in specs]
        self.own = [v for v, used in zip(self.variables, needed, strict=False) if used]
        self.columns = needed[len(values) :]
        wrong = next((v for v in self.own if id(v) in changed), None)
        if wrong is not None:
            raise ArgumentError(
                f"The mask of an output depends on {wrong.path!r}, which changes with "
                "every microbatch, so that the loss of the batch is not known ahead. "
                'Give the loss reduction="sum", or train on one device.'
            )
        self.program = jax.jit(self._all_masks, static_argnums=0)

    def __call__(self, variables: Values, inputs: Sequence[Sequence[Any]]) -> list[Any]:
        """The masks of each microbatch's outputs."""
        values = [variables[id(v)] for v in self.own]
        used = [
            [
                x if wanted else None
                for x, wanted in zip(part, self.columns, strict=True)
            ]
            for part in inputs
        ]
        shapes = tuple(
            tuple(None if x is None else (x.shape, str(x.dtype)) for x in part)
            for part in inputs
        )
        leaves, form = jax.tree_util.tree_flatten((values, used))
        leaves = device_puts(leaves, self.pipe.device)
        return self.program(shapes, *jax.tree_util.tree_unflatten(form, leaves))

    def _masks(self, flat: Sequence[Any], changed: set[int]) -> list[Any]:
        pairs = zip(self.variables, flat, strict=False)
        values = {id(v): value for v, value in pairs}
        return _whole(self.pipe, changed)(values, flat[len(self.variables) :])[1]

    def _all_masks(self, shapes: Any, values: list[Any], inputs: list[Any]) -> Any:
        """What the masks do not need is zeros here, and nothing is computed of it."""
        given = {id(v): value for v, value in zip(self.own, values, strict=True)}
        variables = [
            given[id(v)] if id(v) in given else jnp.zeros(v.shape, v.dtype)
            for v in self.variables
        ]
        found = []
        for part, specs in zip(inputs, shapes, strict=True):
            pairs = zip(part, specs, strict=True)
            full = [jnp.zeros(*s) if x is None and s else x for x, s in pairs]
            found.append(self._masks([*variables, *full], set()))
        return found


def _needed(jaxpr: Any) -> list[bool]:
    """Which inputs of a traced function its outputs depend on."""
    live = {v for v in jaxpr.outvars if not hasattr(v, "val")}
    for equation in reversed(jaxpr.eqns):
        if any(v in live for v in equation.outvars):
            live |= {v for v in equation.invars if not hasattr(v, "val")}
    return [v in live for v in jaxpr.invars]


def _spec(value: Any) -> Any:
    if value is None:
        return None
    return jax.ShapeDtypeStruct(value.shape, value.dtype)
