"""From tensors to the graph between them: which nodes, in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from carnyx import tree
from carnyx._core.node import Node, Operation
from carnyx._core.symbol import KerasTensor
from carnyx.errors import GraphError


class Graph:
    """The nodes between input and output tensors.

    Attributes:
        nodes: in the order in which they can run.
        operations: each once, farthest from the outputs first, as Keras orders
            `model.layers`.
        pipeline: the placement of the newest pipeline that was made of it, or None.
    """

    pipeline: Any = None

    def __init__(
        self, inputs: Sequence[KerasTensor], outputs: Sequence[KerasTensor]
    ) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)
        found, order = _visit(self.inputs, self.outputs)
        node_depth, self.depth = _depths(found)
        for tensor in self.inputs:  # inputs that nothing uses stand at the end
            node = tensor.node
            if node is not None and node.is_input and node not in node_depth:
                node_depth[node] = 0
                found.append(node)
                self.depth.setdefault(node.operation, 0)
                order.setdefault(node.operation, -1)
        self.operations: list[Operation] = sorted(
            self.depth, key=lambda o: (-self.depth[o], order[o])
        )
        self.nodes = sorted(found, key=lambda n: -node_depth[n])  # stable
        _check_names(self.operations)

    def pipelined(self) -> Any:
        """The placement of the pipeline whose devices the weights are on, or None."""
        placement = self.pipeline
        return placement if placement is not None and placement.in_use() else None

    def run(self, values: Sequence[Any], call: Callable[[Node, Any, Any], Any]) -> Any:
        """Run every node on values for the inputs; returns the outputs' values, flat.

        Args:
            call: `(node, args, kwargs) -> outputs`, how one node is computed.
        """
        known = {id(t): v for t, v in zip(self.inputs, values, strict=True)}
        for node in self.nodes:
            if all(id(t) in known for t in node.output_tensors):
                continue
            args, kwargs = node.fill(known)
            out = call(node, args, kwargs)
            for tensor, value in zip(
                node.output_tensors, tree.flatten(out), strict=False
            ):
                known[id(tensor)] = value
        return [known[id(t)] for t in self.outputs]


def node_of(tensor: KerasTensor) -> Node:
    """The call that a tensor came out of.

    Raises:
        GraphError: where there is none.
    """
    if tensor.node is None:
        raise GraphError(
            f"{tensor!r} was made by hand, not by Input() or a layer, so it has no "
            "place in a graph. Start from carnyx.Input(shape=...)."
        )
    return tensor.node


def _visit(
    inputs: list[KerasTensor], outputs: list[KerasTensor]
) -> tuple[list[Node], dict[Operation, int]]:
    """Nodes, each after those it needs, and the order operations were met in.

    Depth first with an explicit stack: models may be deeper than Python's recursion.
    """
    given = {id(t) for t in inputs}
    order: dict[Operation, int] = {}
    finished: dict[Node, None] = {}
    for output in outputs:
        stack = [(output, False)]
        while stack:
            tensor, done = stack.pop()
            if tensor.node is None and id(tensor) in given:
                continue
            node = node_of(tensor)
            if done:
                finished.setdefault(node)
                continue
            if node in finished or (id(tensor) in given and not node.is_input):
                continue
            order.setdefault(node.operation, len(order))
            stack.append((tensor, True))
            if id(tensor) in given:
                continue
            if node.is_input:
                names = [t.name for t in inputs]
                raise GraphError(
                    f"The outputs depend on input {tensor.name!r} "
                    f"{tensor.shape}, which is not among the inputs {names}. "
                    "Add it to the inputs of the model."
                )
            stack.extend((t, False) for t in reversed(node.inputs))
    return list(finished), order


def _depths(found: list[Node]) -> tuple[dict[Node, int], dict[Operation, int]]:
    """How many calls stand between each node, each operation, and the outputs."""
    nodes: dict[Node, int] = {}
    operations: dict[Operation, int] = {}
    present = set(found)
    for node in reversed(found):
        depth = max(nodes.get(node, 0), operations.get(node.operation, 0))
        operations[node.operation] = nodes[node] = depth
        for tensor in node.inputs:
            parent = tensor.node
            if parent in present:  # else the tensor is an input of the graph
                nodes[parent] = max(nodes.get(parent, 0), depth + 1)
    return nodes, operations


def _check_names(operations: list[Operation]) -> None:
    seen: dict[str, Operation] = {}
    for operation in operations:
        if operation.name in seen:
            raise GraphError(
                f"Two layers of the model are named {operation.name!r}; names must "
                "differ. Pass name=... to one of them."
            )
        seen[operation.name] = operation


def source_inputs(tensor: KerasTensor) -> list[KerasTensor]:
    """The `Input` tensors that a tensor depends on."""
    found: dict[int, KerasTensor] = {}
    stack, seen = [tensor], set()
    while stack:
        t = stack.pop()
        if id(t) in seen:
            continue
        seen.add(id(t))
        node = node_of(t)
        if node.is_input:
            found[id(t)] = t
        stack.extend(reversed(node.inputs))
    return list(found.values())
