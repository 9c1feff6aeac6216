"""What a picture of a model shows: boxes, their text, and arrows between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from carnyx import tree
from carnyx._core.node import OpCall
from carnyx.layers import Bidirectional, Wrapper


class Shown(NamedTuple):
    """What is said of a layer beside its class."""

    shapes: bool = False
    dtype: bool = False
    names: bool = True
    activations: bool = False
    trainable: bool = False
    nested: bool = False


@dataclass(eq=False)
class Box:
    """A layer: a title, cells below it, and a diagram inside where it is expanded."""

    key: str
    title: str
    cells: list[str] = field(default_factory=list)
    inner: Diagram | None = None


@dataclass(eq=False)
class Diagram:
    """Boxes, and arrows from one to another."""

    boxes: list[Box]
    arrows: list[tuple[Box, Box]]


def diagram_of(model: Any, shown: Shown, prefix: str = "") -> Diagram:
    """The layers of a model and how they are connected.

    A model whose `call` is code has no connections to show: it is one box, or a box
    for each of its layers where it is expanded.
    """
    graph = model._whole_graph()
    if graph is None:
        layers = model.layers if shown.nested or prefix else [model]
        boxes = [_box(layer, None, shown, f"{prefix}{layer.name}") for layer in layers]
        return Diagram(boxes, [])
    present = set(graph.nodes)
    calls: dict[Any, Any] = {}
    for node in graph.nodes:
        calls.setdefault(node.operation, node)
    boxes = {
        operation: _box(
            operation, calls.get(operation), shown, f"{prefix}{operation.name}"
        )
        for operation in graph.operations
    }
    arrows: dict[tuple[Box, Box], None] = {}
    for node in graph.nodes:
        for tensor in node.inputs:
            if tensor.node in present:
                pair = boxes[tensor.node.operation], boxes[node.operation]
                arrows[pair] = None
    return Diagram(list(boxes.values()), list(arrows))


def _box(operation: Any, node: Any, shown: Shown, key: str) -> Box:
    kind = _kind(operation)
    title = f"{operation.name} ({kind})" if shown.names else kind
    inner = None
    if shown.nested and hasattr(operation, "_whole_graph"):
        inner = diagram_of(operation, shown, key + "/")
    return Box(key, title, _cells(operation, node, shown), inner)


def _kind(operation: Any) -> str:
    if isinstance(operation, OpCall):
        return operation.fn.op_name
    kind = type(operation).__name__
    if isinstance(operation, Bidirectional):
        return f"{kind}({_kind(operation.forward_layer)})"
    if isinstance(operation, Wrapper):
        return f"{kind}({_kind(operation.layer)})"
    return kind


def _cells(operation: Any, node: Any, shown: Shown) -> list[str]:
    cells = []
    activation = getattr(operation, "activation", None)
    if shown.activations and activation is not None:
        name = getattr(activation, "name", None) or getattr(
            activation, "__name__", str(activation)
        )
        cells.append(f"Activation: {name}")
    if shown.shapes:
        inputs = [] if node is None or node.is_input else node.inputs
        outputs = [] if node is None else node.output_tensors
        if inputs:
            cells.append(f"Input: {_shapes(inputs)}")
        cells.append(f"Output: {_shapes(outputs)}")
    if shown.dtype:
        dtype = getattr(operation, "compute_dtype", None)
        if dtype is None and node is not None:
            dtype = node.output_tensors[0].dtype
        cells.append(f"dtype: {dtype or '?'}")
    if shown.trainable and getattr(operation, "weights", None):
        cells.append("Trainable" if operation.trainable else "Non-trainable")
    return cells


def _shapes(tensors: list[Any]) -> str:
    return ", ".join(str(tuple(t.shape)) for t in tree.flatten(tensors)) or "?"
