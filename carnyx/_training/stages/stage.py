"""`Stage`: consecutive nodes of a graph that run on one device, as one program.

A stage is a function of values (of variables, of tensors that come in), compiled three
times at most: forward, forward that keeps what its gradient needs, and backward.
Between stages values are moved; nothing here waits for a device.

Two stages never run inside one compiled function: `jax.vjp` is taken inside the first
program and the function that it returns, which is a tree of arrays, leaves it. Where a
stage is to be rematerialized only its inputs are kept, and the backward program begins
with the forward pass.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from carnyx import tree
from carnyx._core.masks import get_mask, set_mask
from carnyx._core.scope import State, scoped
from carnyx._core.symbol import KerasTensor
from carnyx._core.traces import assign_carried, carrying
from carnyx._training.stages.arrays import Static, distinct, is_float
from carnyx._training.stages.partition import Part
from carnyx._training.stages.pull_back import casting_again, pulled_back
from carnyx._training.stages.stage_values import (
    Cotangents,
    Given,
    Outcome,
    Residuals,
)
from carnyx._training.stages.traced import Traced
from carnyx.layers._children import owned
from carnyx.layers.base import Layer
from carnyx.metrics import Metric


class Stage(Traced):
    """Nodes of a graph as one compiled function of values.

    Args:
        part: the nodes, their device, what goes in and out.
        model: whose inputs, dtypes and `trainable` flags count; None for a bare graph.
        given: the graph's own inputs, which the model casts and checks.
        charged: variables whose regularizers earlier stages account for; those of this
            stage are added.
        remat: keep the inputs alone, and compute the rest again on the way back.

    Attributes:
        device, nodes, inputs, outputs: as in the part.
        trainable, buffers: variables of the layers, in the order of their values.
        regularized: variables whose regularizers this stage computes.
    """

    def __init__(
        self, part: Part, model: Any, given: Sequence[KerasTensor], charged: set[Any],
        remat: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(part.device, part.nodes[0].operation.name)
        _, self.nodes, self.inputs, self.outputs = part
        self.model, self.remat = model, remat
        entering = set(given)
        self._enters = [t in entering for t in self.inputs]
        self.layers = distinct(
            n.operation for n in self.nodes if isinstance(n.operation, Layer)
        )
        self._find_variables(charged)
        # a cache of its own, so that its programs go when the stage does
        pull = functools.partial(pulled_back)
        self._backward = jax.jit(pull, donate_argnums=0)

    def _find_variables(self, charged: set[Any]) -> None:
        frozen = self.model is not None and not self.model.trainable
        inner = [x for layer in self.layers for x in layer._flatten_layers()]
        states = [v for x in inner for m in owned(x, (Metric,)) for v in m.variables]
        own = [v for layer in self.layers for v in layer.variables]
        every = distinct([*own, *states])
        self._mixed = any(x.compute_dtype != x.variable_dtype for x in inner)
        trainable = {v for x in self.layers for v in x.trainable_variables}
        trainable = set() if frozen else trainable
        self.trainable = [v for v in every if v in trainable]
        self.buffers = [v for v in every if v not in trainable]
        self.regularized = tuple(
            v for v in self.trainable if v.regularizer is not None and v not in charged
        )
        charged.update(self.regularized)

    # ---- running -----------------------------------------------------------------

    def forward(
        self, given: Given, training: bool | None = False, fast: bool = False
    ) -> Outcome:
        """Run on values that are on the device already.

        Args:
            fast: gradient rules that only reverse mode can use are allowed.
        """
        return self.run(self._compute, given, options=(training, fast))

    def forward_with_residuals(
        self, given: Given, training: bool | None, wanted: Sequence[bool]
    ) -> tuple[Outcome, Any]:
        """`forward`, and what `backward` needs.

        Args:
            wanted: for which inputs a gradient is wanted. Inputs of integers never
                have one.
        """
        wanted = tuple(wanted)
        if self.remat:
            captured = self.captured()  # as they are now
            outcome = self.forward(given, training, fast=True)
            kept = given, captured or self.captured(), Static((training, wanted))
            return outcome, kept
        options = training, wanted
        outcome, residuals = self.run(self._with_residuals, given, options=options)
        return outcome, residuals.filled(given.flat)

    def backward(
        self, residuals: Any, cotangents: Cotangents, sums: list[Any] | None = None
    ) -> tuple[list[Any], list[Any]]:
        """Gradients of the trainable variables and of the inputs (None where none).

        Args:
            sums: to which the variables' gradients are added; donated.
        """
        if not self.remat:
            return self._backward(sums, residuals, cotangents)
        given, captured, options = residuals
        program = self.program(self._computed_again, *options, donate=2)
        return program(captured, given, cotangents, sums)[0]

    def specs(self, given: Given) -> Outcome:
        """The outcome of a training step, for shapes alone."""
        program = self.program(self._compute, True, True)
        return jax.eval_shape(program, self.captured(), given)[0]

    def residual_specs(
        self, given: Given, wanted: Sequence[bool]
    ) -> tuple[Outcome, list[Any]]:
        """For shapes alone: the outcome, and what of a training step's inside and of
        its inputs the gradient needs, weights apart."""
        program = self.program(self._with_residuals, True, tuple(wanted))
        found, _ = jax.eval_shape(program, self.captured(), given)
        outcome, residuals = found
        weights = len(given.trainable) + len(given.buffers)
        _, places = residuals.form
        kept = {p for p in places if p is not None and p >= weights}
        return outcome, [*residuals.leaves, *(given.flat[p] for p in sorted(kept))]

    def programs(self) -> list[Any]:
        return [*super().programs(), self._backward]

    # ---- what is compiled --------------------------------------------------------

    def _compute(self, given: Given, training: Any, fast: bool) -> Outcome:
        values = [*given.trainable, *given.buffers]
        state = State(zip([*self.trainable, *self.buffers], values, strict=True))
        autocast = None if self.model is None else self.model._autocast
        with scoped(
            state=state, training=training, autocast=autocast, fast_gradients=fast,
            platform=self.device.platform, device=None, placement=None,
        ):  # fmt: skip
            known = self._entered(given)
            for node in self.nodes:
                args, kwargs = node.fill(known)
                out = tree.flatten(node.operation(*args, **kwargs))  # type: ignore[operator]
                for tensor, value in zip(node.output_tensors, out, strict=False):
                    known[id(tensor)] = value
            outputs = [jnp.asarray(known[id(t)]) for t in self.outputs]
            with scoped(autocast=None):
                penalties = [v.regularizer(v.value) for v in self.regularized]
        after = [state.values[v] for v in self.buffers]
        pairs = enumerate(zip(given.buffers, after, strict=True))
        return Outcome(
            outputs,
            [get_mask(known[id(t)]) for t in self.outputs],
            {i: new.astype(old.dtype) for i, (old, new) in pairs if new is not old},
            [jnp.asarray(loss) for _, loss in state.losses],
            penalties,
            Static(layer for layer, _ in state.losses),
        )

    def _entered(self, given: Given) -> dict[int, Any]:
        """The values that come in, by the tensor's id; the model's own are cast."""
        known = {}
        rows = zip(self.inputs, given.inputs, given.masks, self._enters, strict=True)
        for tensor, value, mask, enters in rows:
            if mask is not None:
                set_mask(value, mask)
            if enters and self.model is not None:
                value = self.model._entered(value, tensor)
            known[id(tensor)] = value
        return known

    def _differentiated(
        self, given: Given, training: Any, wanted: tuple[bool, ...]
    ) -> tuple[Outcome, Any, Static]:
        """The outcome, the function of its cotangents, and `Residuals.outputs`."""
        moving = [w and is_float(x) for w, x in zip(wanted, given.inputs, strict=True)]

        def run(trainable: list, moved: list) -> Any:
            some = iter(moved)
            pairs = zip(moving, given.inputs, strict=True)
            values = [next(some) if m else x for m, x in pairs]
            inner = given._replace(trainable=trainable, inputs=values)
            outcome = self._compute(inner, training, True)
            floats = [x if is_float(x) else None for x in outcome.outputs]
            return (floats, outcome.losses, outcome.penalties), outcome

        moved = [x for m, x in zip(moving, given.inputs, strict=True) if m]
        lean = run
        if self._mixed and not self.remat:
            lean = casting_again(run, given.trainable)
        _, gradient, found = jax.vjp(
            carrying(lean), given.trainable, moved, has_aux=True
        )
        outcome = assign_carried(found)
        shapes = [(x.shape, x.dtype, is_float(x)) for x in outcome.outputs]
        return outcome, gradient, Static((tuple(moving), tuple(shapes)))

    def _with_residuals(
        self, given: Given, training: Any, wanted: tuple[bool, ...]
    ) -> tuple[Outcome, Residuals]:
        outcome, gradient, outputs = self._differentiated(given, training, wanted)
        leaves, definition = jax.tree_util.tree_flatten(gradient)
        at = {id(x): i for i, x in enumerate(given.flat) if x is not None}
        places = tuple(at.get(id(leaf)) for leaf in leaves)
        kept = [x for x, place in zip(leaves, places, strict=True) if place is None]
        return outcome, Residuals(kept, Static((definition, places)), outputs)

    def _computed_again(
        self, given: Given, cotangents: Cotangents, sums: list[Any] | None,
        training: Any, wanted: tuple[bool, ...],
    ) -> tuple[list[Any], list[Any]]:  # fmt: skip
        _, gradient, outputs = self._differentiated(given, training, wanted)
        leaves, definition = jax.tree_util.tree_flatten(gradient)
        residuals = Residuals(leaves, Static((definition,)), outputs)
        return pulled_back(sums, residuals, cotangents)
