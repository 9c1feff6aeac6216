"""A graph cut into stages: parts of it that each run on one device.

Two nodes on one device are in the same stage if as many changes of device lie before
them and as many after them. Along an edge the first number never falls and the second
never rises, and across devices both change, so that the stages have an order; and what
another device waits for is not held up by work that it does not need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from carnyx import tree
from carnyx._core.graph import Graph
from carnyx._core.node import Node
from carnyx._core.symbol import KerasTensor


class Part(NamedTuple):
    """Nodes that run on one device, in order, and what goes in and out."""

    device: Any
    nodes: list[Node]
    inputs: list[KerasTensor]
    outputs: list[KerasTensor]


class MayBeGraph:
    """What stages ask of a model; one that is no graph answers as here."""

    activity_regularizer: Any

    def _whole_graph(self) -> Graph | None:
        """The graph between its inputs and outputs."""
        return None

    def _calls_graph(self) -> bool:
        """Whether a call of the model is that of its graph, and nothing else."""
        return False

    def _graph_placement(self) -> Any:
        """How its layers lie on devices, where they were called inside scopes."""
        return None

    def _plain_graph(self) -> Graph | None:
        """The graph, if a call computes that and nothing else."""
        plain = self._calls_graph() and self.activity_regularizer is None
        return self._whole_graph() if plain else None

    def _entered(self, value: Any, symbol: KerasTensor) -> Any:
        """A value for an input as the first layers get it."""
        raise NotImplementedError


class Flat(NamedTuple):
    """A graph in which models inside are taken apart."""

    inputs: list[KerasTensor]
    outputs: list[KerasTensor]
    nodes: list[Node]


# ---- devices ---------------------------------------------------------------------


def devices_of(nodes: Sequence[Node], default: Any) -> dict[Node, Any]:
    """The device of every node: its tag, else that of the first tagged node before
    it, else of the first after it, else the default."""
    computed = [n for n in nodes if not n.is_input]
    found = {n: n.device for n in computed if n.device is not None}
    for node in computed:
        before = (found.get(t.node) for t in node.inputs if t.node is not None)
        device = next((d for d in before if d is not None), None)
        if device is not None:
            found.setdefault(node, device)
    for node in reversed(computed):
        if node in found:
            for tensor in node.inputs:
                if tensor.node is not None and not tensor.node.is_input:
                    found.setdefault(tensor.node, found[node])
    return {n: found.get(n, default) for n in computed}


# ---- cutting ---------------------------------------------------------------------


def parts_of(graph: Graph | Flat, device_of: Callable[[Node], Any]) -> list[Part]:
    """The largest parts that each run on one device, in an order in which they can."""
    nodes = [n for n in graph.nodes if not n.is_input]
    devices = {n: device_of(n) for n in nodes}
    present = set(nodes)
    before = {n: 0 for n in nodes}
    after = dict(before)
    edges = [(t.node, n) for n in nodes for t in n.inputs if t.node in present]
    for source, node in edges:  # in the order of the nodes: sources are done
        crossed = devices[source] != devices[node]
        before[node] = max(before[node], before[source] + crossed)
    for source, node in reversed(edges):
        crossed = devices[source] != devices[node]
        after[source] = max(after[source], after[node] + crossed)
    groups: dict[Any, list[Node]] = {}
    for node in nodes:
        groups.setdefault((before[node], -after[node], devices[node]), []).append(node)
    ordered = sorted(groups, key=lambda key: key[:2])  # stable among devices
    return joined(graph, [(key[2], groups[key]) for key in ordered])


def joined(
    graph: Graph | Flat, groups: Iterable[tuple[Any, Sequence[Node]]]
) -> list[Part]:
    """Parts with what they hand to each other; they run in the order given."""
    groups = [(device, list(nodes)) for device, nodes in groups]
    wanted = {t for t in graph.outputs}
    needs = []
    for _, nodes in groups:
        made = {t for n in nodes for t in n.output_tensors}
        inputs = {t: t for n in nodes for t in n.inputs if t not in made}
        wanted |= set(inputs)
        needs.append(list(inputs.values()))
    return [
        Part(
            device,
            nodes,
            inputs,
            [t for n in nodes for t in n.output_tensors if t in wanted],
        )
        for (device, nodes), inputs in zip(groups, needs, strict=True)
    ]


# ---- models inside ---------------------------------------------------------------


class Entry:
    """What a model inside does with one of its inputs before its first layer."""

    variables: tuple = ()

    def __init__(self, model: Any, symbol: KerasTensor) -> None:
        self.model, self.symbol = model, symbol
        self.name = f"{symbol.name}_entry"

    def __call__(self, value: Any) -> Any:
        return self.model._entered(value, self.symbol)


def is_tagged(graph: Graph) -> bool:
    """Whether any layer in it was called inside a device scope."""
    computed = (n for n in graph.nodes if not n.is_input)
    return any(n.device is not None or _inside(n, True) for n in computed)


def _inside(node: Node, tagged: bool) -> Graph | None:
    """The graph of a model that a node calls, if it can be taken apart.

    Args:
        tagged: only if layers in it were called inside device scopes.
    """
    model = node.operation
    if not isinstance(model, MayBeGraph) or len(node.args) != 1 or node.kwargs:
        return None
    body = model._plain_graph()
    return None if tagged and body is not None and not is_tagged(body) else body


def flattened(graph: Graph, tagged: bool) -> Graph | Flat:
    """The graph with the models in it taken apart; itself where none is.

    Args:
        tagged: only those with layers that were called inside device scopes.
    """
    if not any(_inside(n, tagged) for n in graph.nodes if not n.is_input):
        return graph
    nodes: list[Node] = []

    def runner(device: Any) -> Callable[[Node, tuple, dict[str, Any]], Any]:
        def call(node: Node, args: tuple, kwargs: dict[str, Any]) -> Any:
            tag = device if node.device is None else node.device
            body, model = _inside(node, tagged), node.operation
            if body is None:
                return add(model, args, kwargs, node.outputs, tag, node.index)
            values = [
                add(Entry(model, s), (v,), {}, s, tag, 0)
                for v, s in zip(tree.flatten(args), body.inputs, strict=True)
            ]
            return body.run(values, runner(tag))

        return call

    def add(
        operation: Any, args: tuple, kwargs: dict[str, Any], like: Any, tag: Any, i: int
    ) -> Any:
        outputs = tree.map_structure(lambda t: KerasTensor(t.shape, t.dtype), like)
        nodes.append(Node.detached(operation, args, kwargs, outputs, tag, i))
        return outputs

    outputs = graph.run(graph.inputs, runner(None))
    return Flat(graph.inputs, outputs, nodes)


def homes_of(devices: Mapping[Node, Any]) -> dict[Any, Any]:
    """The device of each variable: that of its layer's first call."""
    homes: dict[Any, Any] = {}
    for node in sorted(devices, key=lambda n: n.index):  # stable: graph order
        for variable in getattr(node.operation, "variables", ()):
            homes.setdefault(variable, devices[node])
    return homes
