"""The first part of a graph, where its layers work on the host: on texts.

A compiled step has no texts. So the layers that need them, and what stands before them,
run where batches are made, in the feed's thread; the rest of the graph begins with what
they hand on. Between the two a batch is a dict by the names of those tensors.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from carnyx._core.graph import Graph
from carnyx._core.node import Node
from carnyx._core.symbol import KerasTensor
from carnyx.errors import ArgumentError
from carnyx.layers.base import Layer
from carnyx.typing import Tensor, Tensors


def needs_host(operation: object) -> bool:
    """Whether it works on texts, or has a layer inside that does."""
    if not isinstance(operation, Layer):
        return False
    return any(layer.runs_on_host for layer in operation._flatten_layers())


class HostPart:
    """The nodes of a graph that run on the host, and the tensors that they hand on.

    Attributes:
        handed: those tensors by name; inputs that the rest needs are among them.
    """

    def __init__(self, graph: Graph, on_host: dict[Node, None]) -> None:
        self.graph = graph
        used = [t for n in graph.nodes if n not in on_host for t in n.inputs]
        rest = [t for t in (*used, *graph.outputs) if _begins(t, on_host)]
        self.handed = {_name(t): t for t in rest}
        cut = list(self.handed.values())
        self._front = Graph(graph.inputs, cut)
        self._rest = Graph(cut, graph.outputs)
        # a graph runs what leads to its outputs: from the cut on, if that is given

    @classmethod
    def of(cls, graph: Graph) -> HostPart | None:
        """The part of this graph; None where nothing needs the host.

        Raises:
            ArgumentError: for texts that come too late.
        """
        on_host: dict[Node, None] = {}
        behind: dict[Node, bool] = {}  # weights or other state stand before it
        for node in graph.nodes:
            parents = [t.node for t in node.inputs if t.node is not None]
            has_state = bool(getattr(node.operation, "variables", ()))
            behind[node] = has_state or any(behind.get(p, False) for p in parents)
            if needs_host(node.operation):
                _check_place(node, behind[node])
                if not behind[node]:
                    _add_with_ancestors(node, on_host)
        return cls(graph, on_host) if on_host else None

    def has_run(self, inputs: Tensors) -> bool:
        """Whether this is what `__call__` gave."""
        return isinstance(inputs, dict) and set(inputs) == set(self.handed)

    def __call__(self, values: list[Any]) -> dict[str, Any]:
        """What is handed on, for values of the graph's inputs."""
        outputs = self._front.run(values, _in_feed)
        return dict(zip(self.handed, map(_narrow, outputs), strict=True))

    def spec(self) -> dict[str, KerasTensor]:
        """What is handed on, as symbolic tensors."""
        return {
            name: KerasTensor(t.shape, jax.dtypes.canonicalize_dtype(t.dtype))
            for name, t in self.handed.items()
        }

    def finish(self, handed: dict[str, Any], call: Any) -> list[Any]:
        """The graph's outputs, flat, from what was handed on."""
        return self._rest.run([handed[name] for name in self.handed], call)


def _begins(tensor: KerasTensor, on_host: Iterable[Node]) -> bool:
    """Whether the rest of the graph begins with this tensor."""
    node = tensor.node
    return node is not None and (node in on_host or node.is_input)


def _add_with_ancestors(node: Node, found: dict[Node, None]) -> None:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node.is_input or node in found:
            continue
        found[node] = None
        waiting += [t.node for t in node.inputs if t.node is not None]


def _check_place(node: Node, behind_state: bool) -> None:
    texts = any(t.dtype == "string" for t in node.inputs)
    if behind_state and texts:
        raise ArgumentError(
            f"{node.operation.name!r} takes texts and has weights, so it can be neither"
            " compiled nor run where batches are made. Call its layers one by one in "
            "the model that is trained: first those on texts, then the others."
        )


def _name(tensor: KerasTensor) -> str:
    """No input of a model is called so."""
    node = tensor.node
    assert node is not None
    return f"{node.operation.name}:{tensor.node_index}:{tensor.tensor_index}"


def _in_feed(node: Node, args: tuple, kwargs: dict[str, Any]) -> Any:
    run: Any = getattr(node.operation, "in_feed", None)
    if run is not None and len(args) == 1 and not kwargs:
        return run(*args)
    run = node.operation
    return run(*args, **kwargs)


def _narrow(value: Tensor) -> Any:
    """In the dtype that a model is given."""
    if isinstance(value, jax.Array):
        return value
    array = np.asarray(value)
    return array.astype(jax.dtypes.canonicalize_dtype(array.dtype), copy=False)
