"""What each call in a graph costs, forward and backward: counted."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from carnyx._core.graph import Graph
from carnyx._core.node import Node
from carnyx._core.scope import pure, scoped
from carnyx._core.variable import Variable
from carnyx._training.programs import _count
from carnyx.dtype_policies import is_float

_UNKNOWN = 64  # in place of an unknown length
_SCOPE = re.compile(r"<call (\d+)>")


class Cost(NamedTuple):
    """Of one call, for a microbatch: operations, or seconds."""

    forward: float
    backward: float

    @property
    def total(self) -> float:
        """Both ways."""
        return self.forward + self.backward


def example_inputs(graph: Graph, samples: int) -> list[jax.ShapeDtypeStruct]:
    """Shapes for the inputs of a graph, unknown sizes filled in."""
    shapes = [
        [_UNKNOWN if d is None and i else samples if d is None else d for i, d in sizes]
        for sizes in (enumerate(t.shape) for t in graph.inputs)
    ]
    pairs = zip(shapes, graph.inputs, strict=True)
    return [jax.ShapeDtypeStruct(tuple(s), jnp.dtype(t.dtype)) for s, t in pairs]


def estimated(
    graph: Graph, trainable: list[Variable], buffers: list[Variable], samples: int
) -> dict[Node, Cost]:
    """Floating-point operations of each call, for so many samples.

    A step's forward and backward pass is traced once; each of its operations carries
    the name of the call that it is of.
    """
    nodes = graph.nodes

    def call(node: Node, args: tuple, kwargs: dict[str, Any]) -> Any:
        with jax.named_scope(f"<call {nodes.index(node)}>"):
            return node.operation(*args, **kwargs)  # type: ignore[operator]

    def both_ways(weights: Any, rest: Any, inputs: Any) -> Any:
        def forward(weights: Any) -> Any:
            run = pure(lambda: graph.run(inputs, call), [*trainable, *buffers])
            outputs, _ = run([*weights, *rest])
            return [x for x in outputs if is_float(x.dtype)]

        with scoped(training=True, fast_gradients=True):
            outputs, back = jax.vjp(forward, weights)
        return back([jnp.ones_like(x) for x in outputs])

    jaxpr = jax.make_jaxpr(both_ways)(
        *(list(map(_spec, vs)) for vs in (trainable, buffers)),
        example_inputs(graph, samples),
    )
    counts = {node: [0.0, 0.0] for node in nodes if not node.is_input}
    for equation in jaxpr.jaxpr.eqns:
        stack = str(equation.source_info.name_stack)
        found = _SCOPE.search(stack)
        if found and nodes[int(found[1])] in counts:
            flops, _ = _count(SimpleNamespace(eqns=[equation]))
            counts[nodes[int(found[1])]]["transpose(" in stack] += flops
    return {node: Cost(*both) for node, both in counts.items()}


def _spec(variable: Variable) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(variable.shape, jnp.dtype(variable.dtype))
