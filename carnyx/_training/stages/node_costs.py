"""What each call in a graph costs, forward and backward: counted, or measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from carnyx._core.abstract import refuse
from carnyx._core.flops import work_of
from carnyx._core.graph import Graph
from carnyx._core.node import Node
from carnyx._core.scope import State, scoped
from carnyx._training.stages.arrays import device_puts, is_float, spec_of
from carnyx._training.stages.graph_stages import stages_of_nodes
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


def _computed(graph: Graph | Flat) -> list[Node]:
    return [node for node in graph.nodes if not node.is_input]


# ---- counted ---------------------------------------------------------------------


def estimated(
    graph: Graph | Flat, model: Any, device: Any, samples: int
) -> dict[Node, Cost]:
    """Floating-point operations of each call, for so many samples.

    Each call is traced alone, there and back; gradients are taken of those inputs that
    weights have a part in.
    """
    nodes = _computed(graph)
    shapes = input_shapes(graph, samples)
    known: dict[Any, tuple[Any, Any]] = {
        tensor: (spec, None) for tensor, spec in zip(graph.inputs, shapes, strict=True)
    }
    moved: set[Any] = set()  # by weights
    found = {}
    for stage in stages_of_nodes(graph, [(device, [node]) for node in nodes], model):
        found[stage.nodes[0]] = _counted(stage, known, moved)
    return found


def _counted(stage: Stage, known: dict[Any, tuple[Any, Any]], moved: set[Any]) -> Cost:
    """Operations of a stage; `known` gets the shapes of the outputs, `moved` those of
    them that weights have a part in."""
    values, masks = zip(*(known[t] for t in stage.inputs), strict=True)
    trainable, buffers = (
        list(map(spec_of, v)) for v in (stage.trainable, stage.buffers)
    )
    given = Given(trainable, buffers, list(values), list(masks))
    wanted = [t in moved for t in stage.inputs]
    learns = bool(trainable) or any(wanted)

    def there(given: Given) -> tuple[Outcome, Any]:
        if not learns:
            return stage.forward(given, True, fast=True), None
        return stage.forward_with_residuals(given, True, wanted)

    with scoped(state=State(closed=False)):  # which has what the call assigns
        forward, (outcome, residuals) = jax.make_jaxpr(there, return_shape=True)(given)
    pairs = zip(outcome.outputs, outcome.masks, strict=True)
    known |= dict(zip(stage.outputs, pairs, strict=True))
    if not learns:
        return Cost(work_of(forward.eqns).all, 0.0)
    moved |= set(stage.outputs)
    cotangents = Cotangents.like(outcome, spec_of)
    backward = jax.make_jaxpr(stage.backward)(residuals, cotangents)
    return Cost(work_of(forward.eqns).all, work_of(backward.eqns).all)


# ---- measured --------------------------------------------------------------------


def measured(
    graph: Graph | Flat, model: Any, device: Any, samples: int
) -> dict[Node, Cost]:
    """Seconds of each call on the device, for so many samples: the least of a few runs,
    without what starting a program takes."""
    empty = [v for v in model.variables if v.abstract]
    if empty:
        refuse(empty)
    nodes = _computed(graph)
    random = np.random.default_rng(0)
    known: dict[Any, tuple[Any, Any]] = {}
    for tensor, spec in zip(graph.inputs, input_shapes(graph, samples), strict=True):
        value = np.ones(spec.shape, spec.dtype)
        if is_float(spec):
            value = random.normal(size=spec.shape).astype(spec.dtype)
        known[tensor] = device_puts([value], device)[0], None
    start = _seconds(jax.jit(jnp.negative), device_puts([np.float32(1)], device)[0])
    found = {}
    for stage in stages_of_nodes(graph, [(device, [node]) for node in nodes], model):
        forward, backward = _both_ways(stage, known)
        found[stage.nodes[0]] = Cost(
            max(forward - start, 0.0), max(backward - start, 0.0)
        )
    return found


def _both_ways(stage: Stage, known: dict[Any, tuple[Any, Any]]) -> tuple[float, float]:
    """Seconds forward and backward; `known` gets the outputs."""
    values = [[v.peek() for v in vs] for vs in (stage.trainable, stage.buffers)]
    trainable, buffers = (device_puts(vs, stage.device) for vs in values)
    values, masks = zip(*(known[t] for t in stage.inputs), strict=True)
    given = Given(trainable, buffers, list(values), list(masks))
    options = True, [True] * len(values)
    outcome, residuals = stage.forward_with_residuals(given, *options)
    pairs = zip(outcome.outputs, outcome.masks, strict=True)
    known |= dict(zip(stage.outputs, pairs, strict=True))
    forward = _seconds(stage.forward_with_residuals, given, *options)
    cotangents = Cotangents.like(outcome, jnp.ones_like)
    return forward, _seconds(stage.backward, residuals, cotangents)


def _seconds(run: Callable[..., Any], *arguments: Any) -> float:
    jax.block_until_ready(run(*arguments))
    best = float("inf")
    for _ in range(_RUNS):
        start = time.perf_counter()
        jax.block_until_ready(run(*arguments))
        best = min(best, time.perf_counter() - start)
    return best
