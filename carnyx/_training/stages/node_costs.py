"""What each call in a graph costs, forward and backward: counted, or measured."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from carnyx import tree
from carnyx._core.abstract import refuse
from carnyx._core.costs import work_of
from carnyx._core.graph import Graph
from carnyx._core.node import Node
from carnyx._core.scope import pure, scoped
from carnyx._training.stages.arrays import device_puts, is_float
from carnyx._training.stages.graph_stages import stages_of_nodes
from carnyx._training.stages.partition import Flat
from carnyx._training.stages.stage import Stage
from carnyx._training.stages.stage_values import Cotangents, Given

_UNKNOWN = 64  # in place of an unknown length
_SCOPE = re.compile(r"<call (\d+)>")
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

    A step's forward and backward pass is traced once; each of its operations carries
    the name of the call that it is of.
    """
    nodes = _computed(graph)
    (whole,) = stages_of_nodes(graph, [(device, nodes)], model)  # knows all variables
    trainable, buffers = whole.trainable, whole.buffers

    def both_ways(weights: Any, rest: Any, inputs: Any) -> Any:
        def forward(weights: Any) -> Any:
            run = pure(lambda: _run(graph, nodes, model, inputs), trainable + buffers)
            outputs, _ = run([*weights, *rest])
            return [x for x in outputs if is_float(x)]

        with scoped(training=True, fast_gradients=True, platform=device.platform):
            outputs, back = jax.vjp(forward, weights)
        return back([jnp.ones_like(x) for x in outputs])

    specs = [[jax.ShapeDtypeStruct(v.shape, v.dtype) for v in trainable]]
    specs += [[jax.ShapeDtypeStruct(v.shape, v.dtype) for v in buffers]]
    jaxpr = jax.make_jaxpr(both_ways)(*specs, input_shapes(graph, samples))
    counts = [[0.0, 0.0] for _ in nodes]
    for equation in jaxpr.jaxpr.eqns:
        stack = str(equation.source_info.name_stack)
        found = _SCOPE.search(stack)
        if found:
            flops = work_of([equation]).all
            counts[int(found[1])]["transpose(" in stack] += flops
    return {n: Cost(*both) for n, both in zip(nodes, counts, strict=True)}


def _run(
    graph: Graph | Flat, nodes: Sequence[Node], model: Any, inputs: Sequence[Any]
) -> list[Any]:
    """The outputs; what each call computes is named by the call's number."""
    known = {
        id(t): model._entered(v, t) for t, v in zip(graph.inputs, inputs, strict=True)
    }
    with scoped(autocast=model._autocast):
        for number, node in enumerate(nodes):
            args, kwargs = node.fill(known)
            with jax.named_scope(f"<call {number}>"):
                outputs = tree.flatten(node.operation(*args, **kwargs))  # type: ignore[operator]
            for tensor, value in zip(node.output_tensors, outputs, strict=False):
                known[id(tensor)] = value
    return [known[id(t)] for t in graph.outputs]


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
    cotangents = Cotangents(
        [(jnp.ones_like(x),) if is_float(x) else () for x in outcome.outputs],
        [jnp.ones_like(x) for x in outcome.losses],
        [jnp.ones_like(x) for x in outcome.penalties],
    )
    return forward, _seconds(stage.backward, residuals, cotangents)


def _seconds(run: Callable[..., Any], *arguments: Any) -> float:
    jax.block_until_ready(run(*arguments))
    best = float("inf")
    for _ in range(_RUNS):
        start = time.perf_counter()
        jax.block_until_ready(run(*arguments))
        best = min(best, time.perf_counter() - start)
    return best
