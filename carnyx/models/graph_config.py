"""The graph of a functional model as plain data, as Keras 3 writes it, and back."""

from __future__ import annotations

from typing import Any

import jax

from carnyx import registry, tree
from carnyx._core.graph import Graph
from carnyx._core.node import Node, OpCall
from carnyx._core.symbol import KerasTensor, is_symbolic
from carnyx.errors import GraphError
from carnyx.models.op_records import op_from_record, op_record

# ---- to data -----------------------------------------------------------------------


def graph_config(graph: Graph, inputs: Any, outputs: Any) -> dict[str, Any]:
    """The entries `layers`, `input_layers` and `output_layers` of a config."""
    places = _places(graph)
    own: dict[Any, list[Node]] = {}
    for node in sorted(graph.nodes, key=lambda n: n.index):
        own.setdefault(node.operation, []).append(node)
    return {
        "layers": [_layer_record(o, own[o], places) for o in graph.operations],
        "input_layers": _histories(inputs, places),
        "output_layers": _histories(outputs, places),
    }


def _places(graph: Graph) -> dict[int, int]:
    """From a node to its number among the calls that belong to this graph."""
    counts: dict[Any, int] = {}
    places = {}
    for node in sorted(graph.nodes, key=lambda n: n.index):
        places[id(node)] = counts.get(node.operation, 0)
        counts[node.operation] = places[id(node)] + 1
    return places


def _layer_record(
    operation: Any, nodes: list[Node], places: dict[int, int]
) -> dict[str, Any]:
    if isinstance(operation, OpCall):
        record, *call = op_record(operation, nodes[0])
        arguments = [call]
    else:
        record = registry.serialize_keras_object(operation)
        arguments = [(n.args, n.kwargs) for n in nodes if not n.is_input]
    record["name"] = operation.name
    record["inbound_nodes"] = [
        {"args": _arguments(args, places), "kwargs": _arguments(kwargs, places)}
        for args, kwargs in arguments
    ]
    return record


def _arguments(value: Any, places: dict[int, int]) -> Any:
    if is_symbolic(value):
        record = value.serialize()
        record["config"]["keras_history"][1] = places[id(value.node)]
        return record
    if isinstance(value, list | tuple):
        return [_arguments(v, places) for v in value]
    if isinstance(value, dict):
        return {k: _arguments(v, places) for k, v in value.items()}
    if isinstance(value, jax.Array):
        content = {"value": value.tolist(), "dtype": value.dtype.name}
        return {"class_name": "__tensor__", "config": content}
    return registry.serialize_keras_object(value)


def _first_number(operation: Any) -> int:
    """What the first call is numbered among the graph's inputs and outputs.

    A functional model counts its own making as call 0 there, as it did in Keras 2.
    """
    return getattr(operation, "first_call_number", 0)


def _histories(tensors: Any, places: dict[int, int]) -> Any:
    def one(t: KerasTensor) -> list[Any]:
        operation, _, index = t._keras_history
        number = places[id(t.node)] + _first_number(operation)
        return [operation.name, number, index]

    return tree.map_structure(one, tensors)


# ---- from data ---------------------------------------------------------------------


def graph_from_config(
    config: dict[str, Any], custom_objects: dict[str, Any] | None = None
) -> tuple[Any, Any]:
    """Make the layers, call them as recorded; returns inputs and outputs."""
    with registry.custom_object_scope(custom_objects or {}):
        rebuild = _Rebuild(config["layers"])
    inputs = _from_histories(config["input_layers"], rebuild)
    outputs = _from_histories(config["output_layers"], rebuild)
    return inputs, outputs


class _Rebuild:
    """Layers by name, and for each the outputs of its calls, in order."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self.operations: dict[str, Any] = {}
        self.outputs: dict[str, list[Any]] = {}
        pending: list[tuple[str, Any]] = []
        for record in records:
            name = record.get("name") or record["config"]["name"]
            nodes = record.get("inbound_nodes", [])
            operation = op_from_record(record)
            if operation is None:
                operation = registry.deserialize_keras_object(record, family="layers")
            self.operations[name] = operation
            pending += [(name, node) for node in nodes]
            made = () if nodes else getattr(operation, "inbound_nodes", ())
            self.outputs[name] = [node.outputs for node in made]  # an Input's
        self._run(pending)

    def _run(self, pending: list[tuple[str, Any]]) -> None:
        """Make the calls; one whose inputs come later in the list waits for them."""
        while pending:
            waiting, blocked = [], set()
            for name, node in pending:
                # calls of one layer keep their order: the number is their name
                if name in blocked or not self._is_ready(node):
                    waiting.append((name, node))
                    blocked.add(name)
                    continue
                args, kwargs = _call_arguments(node, self.tensor)
                self.outputs[name].append(self.operations[name](*args, **kwargs))
            if len(waiting) == len(pending):
                names = sorted({name for name, _ in waiting})
                raise GraphError(
                    f"The config's graph goes in a circle, or begins nowhere: {names} "
                    "wait for each other or for a layer that is not in the list."
                )
            pending = waiting

    def _is_ready(self, node: Any) -> bool:
        return all(
            len(self.outputs.get(name, ())) > number for name, number, _ in _needs(node)
        )

    def tensor(self, history: Any) -> KerasTensor:
        """The tensor `[layer, how-manyeth call, which output]`."""
        name, number, index = history[:3]
        try:
            return tree.flatten(self.outputs[name][number])[index]
        except (KeyError, IndexError):
            raise GraphError(
                f"The config names output {index} of call {number} of layer {name!r}, "
                "which is not there."
            ) from None


def _is_tensor_record(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def _is_history(value: Any) -> bool:
    """`[name, call, output]`, or with arguments as fourth, as Keras 2 wrote."""
    return (
        isinstance(value, list | tuple)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and isinstance(value[2], int)
    )


def _needs(node: Any) -> list[Any]:
    """The histories of all tensors that a recorded call takes."""
    found: list[Any] = []

    def visit(value: Any) -> None:
        if _is_tensor_record(value):
            found.append(value["config"]["keras_history"])
        elif _is_history(value):
            found.append(value[:3])
            if len(value) == 4:
                visit(list(value[3].values()))
        elif isinstance(value, list | tuple):
            for item in value:
                visit(item)
        elif isinstance(value, dict):
            for item in value.values():
                visit(item)

    visit(node)
    return found


def _call_arguments(node: Any, tensor: Any) -> tuple[list[Any], dict[str, Any]]:
    if isinstance(node, dict) and "args" in node:
        args = [_value(a, tensor) for a in node["args"]]
        return args, {k: _value(v, tensor) for k, v in node["kwargs"].items()}
    return _old_call_arguments(node, tensor)


def _value(value: Any, tensor: Any) -> Any:
    if _is_tensor_record(value):
        return tensor(value["config"]["keras_history"])
    if isinstance(value, list | tuple):
        return type(value)(_value(v, tensor) for v in value)
    if isinstance(value, dict) and not registry.is_serialized(value):
        return {k: _value(v, tensor) for k, v in value.items()}
    return registry.deserialize_keras_object(value)


def _old_call_arguments(node: Any, tensor: Any) -> tuple[list[Any], dict[str, Any]]:
    """Calls as Keras 2 wrote them: a list of `[name, call, output, arguments]`."""
    if isinstance(node, dict):  # tf.keras wrote a dict for dict inputs
        return [{k: tensor(v) for k, v in node.items()}], {}
    entries = [node] if _is_history(node) else node
    kwargs: dict[str, Any] = {}
    for entry in entries:
        kwargs |= entry[3] if len(entry) == 4 else {}
    kwargs = {
        k: tensor(v) if _is_history(v) else registry.deserialize_keras_object(v)
        for k, v in kwargs.items()
    }
    tensors = [tensor(entry) for entry in entries]
    return [tensors[0] if len(tensors) == 1 else tensors], kwargs


def _from_histories(value: Any, rebuild: _Rebuild) -> Any:
    if _is_history(value):
        name, number, index = value
        first = _first_number(rebuild.operations.get(name))
        return rebuild.tensor([name, number - first, index])
    if isinstance(value, dict):
        return {k: _from_histories(v, rebuild) for k, v in value.items()}
    return [_from_histories(v, rebuild) for v in value]
