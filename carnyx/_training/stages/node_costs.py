"""What each call in a graph costs, forward and backward: counted, or measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from carnyx._core.abstract import refuse
from carnyx._core.graph import Graph
from carnyx._core.node import Node
from carnyx._core.scope import State, scoped
from carnyx._core.variable import Variable
from carnyx._costs.flops import work_of
from carnyx._training.stages.arrays import is_float, spec_of
from carnyx._training.stages.graph_stages import stages_of_nodes, walk
from carnyx._training.stages.partition import Flat
from carnyx._training.stages.stage import Stage
from carnyx._training.stages.stage_values import Cotangents, Given, Outcome

_UNKNOWN = 64  # in place of an unknown length
_RUNS = 5


class Cost(NamedTuple):
    """Of one call, for a microbatch: operations, or seconds."""

    forward: float
    backward: float

    @property
    def total(self) -> float:
        """Both ways."""
        return self.forward + self.backward


def input_shapes(graph: Graph | Flat, samples: int) -> list[jax.ShapeDtypeStruct]:
    """Shapes for the inputs of a graph, unknown sizes filled in."""
    found = []
    for tensor in graph.inputs:
        sizes = [_UNKNOWN if d is None else d for d in tensor.shape]
        if sizes and tensor.shape[0] is None:
            sizes[0] = samples
        found.append(jax.ShapeDtypeStruct(tuple(sizes), jnp.dtype(tensor.dtype)))
    return found


def _stage_of_each(graph: Graph | Flat, model: Any, device: Any) -> list[Stage]:
    nodes = [node for node in graph.nodes if not node.is_input]
    return stages_of_nodes(graph, [(device, [node]) for node in nodes], model)


# ---- counted ---------------------------------------------------------------------


def estimated(
    graph: Graph | Flat, model: Any, device: Any, samples: int
) -> dict[Node, Cost]:
    """Floating-point operations of each call, for so many samples.

    Each call is traced alone, there and back; gradients are taken of those inputs that
    weights have a part in.
    """
    moved: set[Any] = set()  # by weights

    def visit(stage: Stage, given: Given) -> tuple[Outcome, Cost]:
        return _counted(stage, given, moved)

    stages = _stage_of_each(graph, model, device)
    tensors = dict(zip(graph.inputs, input_shapes(graph, samples), strict=True))
    costs = walk(stages, tensors, spec_of, visit)
    return {s.nodes[0]: cost for s, cost in zip(stages, costs, strict=True)}


def _counted(stage: Stage, given: Given, moved: set[Any]) -> tuple[Outcome, Cost]:
    """Operations of a stage; `moved` gets the outputs that weights have a part in."""
    wanted = [t in moved for t in stage.inputs]
    learns = bool(stage.trainable) or any(wanted)

    def there(given: Given) -> tuple[Outcome, Any]:
        if not learns:
            return stage.forward(given, True, fast=True), None
        return stage.forward_with_residuals(given, True, wanted)

    with scoped(state=State(closed=False)):  # which has what the call assigns
        forward, (outcome, residuals) = jax.make_jaxpr(there, return_shape=True)(given)
    if not learns:
        return outcome, Cost(work_of(forward.eqns).all, 0.0)
    moved |= set(stage.outputs)
    cotangents = Cotangents.like(outcome, spec_of)
    backward = jax.make_jaxpr(stage.backward)(residuals, cotangents)
    return outcome, Cost(work_of(forward.eqns).all, work_of(backward.eqns).all)


# ---- measured --------------------------------------------------------------------


def measured(
    graph: Graph | Flat, model: Any, device: Any, samples: int
) -> dict[Node, Cost]:
    """Seconds of each call on the device, for so many samples: the least of a few runs,
    without what starting a program takes."""
    empty = [v for v in model.variables if v.abstract]
    if empty:
        refuse(empty)
    random = np.random.default_rng(0)
    tensors: dict[Any, Any] = {}
    for tensor, spec in zip(graph.inputs, input_shapes(graph, samples), strict=True):
        value = np.ones(spec.shape, spec.dtype)
        if is_float(spec):
            value = random.normal(size=spec.shape).astype(spec.dtype)
        tensors[tensor] = jax.device_put(value, device)
    start = _seconds(jax.jit(jnp.negative), jax.device_put(np.float32(1), device))

    def visit(stage: Stage, given: Given) -> tuple[Outcome, Cost]:
        options = True, [True] * len(given.inputs)
        outcome, residuals = stage.forward_with_residuals(given, *options)
        cotangents = Cotangents.like(outcome, jnp.ones_like)
        forward = _seconds(stage.forward_with_residuals, given, *options)
        backward = _seconds(stage.backward, residuals, cotangents)
        return outcome, Cost(max(forward - start, 0.0), max(backward - start, 0.0))

    def here(variable: Variable) -> Any:
        return jax.device_put(variable.peek(), device)

    stages = _stage_of_each(graph, model, device)
    costs = walk(stages, tensors, here, visit)
    return {s.nodes[0]: cost for s, cost in zip(stages, costs, strict=True)}


def _seconds(run: Callable[..., Any], *arguments: Any) -> float:
    jax.block_until_ready(run(*arguments))
    best = float("inf")
    for _ in range(_RUNS):
        start = time.perf_counter()
        jax.block_until_ready(run(*arguments))
        best = min(best, time.perf_counter() - start)
    return best
