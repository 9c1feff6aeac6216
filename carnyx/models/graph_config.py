"""The graph of a functional model as plain data, as Keras 3 writes it, and back."""

from __future__ import annotations

from typing import Any

import jax

from carnyx import registry, tree
from carnyx._core.devices import device_name, saved_device, saved_devices
from carnyx._core.graph import Graph
from carnyx._core.node import Node, OpCall, symbols_in
from carnyx._core.scope import scoped
from carnyx._core.symbol import KerasTensor, is_symbolic
from carnyx.errors import GraphError
from carnyx.models.op_records import op_from_record, op_record
from carnyx.typing import DeviceLike, Tensor, Tensors

# ---- to data -----------------------------------------------------------------------


def graph_config(graph: Graph, inputs: Tensor, outputs: Tensors) -> dict[str, Any]:
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
        calls = [(*call, nodes[0])]
    else:
        record = registry.serialize_keras_object(operation)
        calls = [(n.args, n.kwargs, n) for n in nodes if not n.is_input]
    record["name"] = operation.name
    record["inbound_nodes"] = [
        {"args": _arguments(args, places), "kwargs": _arguments(kwargs, places)}
        | device_entry(node.device, node.asked)
        for args, kwargs, node in calls
    ]
    return record


def device_entry(device: DeviceLike | None, asked: str | None = None) -> dict[str, str]:
    """An entry of a record that says where a call is computed; Keras passes over it.

    Args:
        asked: what the file said that it was made from, if that is not here.
    """
    name = asked if device is None else device_name(device)
    return {} if name is None else {"device": name}


def asked_device(name: str, found: object) -> str | None:
    """What to remember of the device that a file names, where it was not found."""
    return name if isinstance(name, str) and found is None else None


def remember_asked(outputs: Tensors, asked: str | None) -> Any:
    """Let the call that made these symbols know what device a file names for it."""
    for tensor in symbols_in(outputs) if asked is not None else ():
        tensor.node.asked = asked  # type: ignore[union-attr]
    return outputs


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
    records, old = config["layers"], _is_old(config)
    first = _first_numbers(config) if old else {}
    if old:
        records = [_renewed(record, first) for record in records]
    with registry.custom_object_scope(custom_objects), saved_devices():
        rebuild = _Rebuild(records)
    if not old:
        first = {n: _first_number(o) for n, o in rebuild.operations.items()}

    def tensors(value: Any) -> Any:
        if _is_history(value):
            return rebuild.tensor(_from_zero(value, first))
        if isinstance(value, dict):
            return {k: tensors(v) for k, v in value.items()}
        values = [tensors(v) for v in value]
        return tuple(values) if isinstance(value, tuple) else values

    return tensors(config["input_layers"]), tensors(config["output_layers"])


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
                args, kwargs = self._value(node["args"]), self._value(node["kwargs"])
                device = saved_device(node.get("device"))
                with scoped(device=device):
                    outputs = self.operations[name](*args, **kwargs)
                remember_asked(outputs, asked_device(node.get("device"), device))
                self.outputs[name].append(outputs)
            if len(waiting) == len(pending):
                names = sorted({name for name, _ in waiting})
                raise GraphError(
                    f"The config's graph goes in a circle, or begins nowhere: {names} "
                    "wait for each other or for a layer that is not in the list."
                )
            pending = waiting

    def _is_ready(self, value: Any) -> bool:
        """Whether the tensors in a recorded call have been made."""
        if _is_tensor_record(value):
            name, number, _ = value["config"]["keras_history"]
            return len(self.outputs.get(name, ())) > number
        if isinstance(value, dict):
            value = list(value.values())
        return not isinstance(value, list) or all(map(self._is_ready, value))

    def _value(self, value: Any) -> Any:
        """What a call was given, with tensors and objects for their records."""
        if _is_tensor_record(value):
            return self.tensor(value["config"]["keras_history"])
        if isinstance(value, list):
            return [self._value(v) for v in value]
        if isinstance(value, dict) and not registry.is_serialized(value):
            return {k: self._value(v) for k, v in value.items()}
        return registry.deserialize_keras_object(value)

    def tensor(self, history: Any) -> KerasTensor:
        """The tensor `[layer, how-manyeth call, which output]`."""
        name, number, index = history
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


def _from_zero(history: Any, first: dict[str, int]) -> list[Any]:
    name, number, index = history[:3]
    return [name, number - first.get(name, 0), index]


# ---- from data of Keras 2 ----------------------------------------------------------


def _nodes_of(config: dict[str, Any]) -> list[Any]:
    return [n for record in config["layers"] for n in record.get("inbound_nodes", ())]


def _is_old(config: dict[str, Any]) -> bool:
    return any(not isinstance(n, dict) or "args" not in n for n in _nodes_of(config))


def _first_numbers(config: dict[str, Any]) -> dict[str, int]:
    """By layer, the number of its first call: 1 for models with an input, else 0."""
    first: dict[str, int] = {}

    def visit(value: Any) -> None:
        if _is_history(value):
            first[value[0]] = min(value[1], first.get(value[0], value[1]))
            value = value[3:]
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                visit(item)

    visit([_nodes_of(config), config["output_layers"]])
    return first


def _renewed(record: dict[str, Any], first: dict[str, int]) -> dict[str, Any]:
    """A layer's record with its calls, lists of `[name, call, output, …]`, as today."""

    def tensors(value: Any) -> Any:
        if _is_history(value):
            history = {"keras_history": _from_zero(value, first)}
            return {"class_name": "__keras_tensor__", "config": history}
        if isinstance(value, list):
            return [tensors(v) for v in value]
        if isinstance(value, dict):  # tf.keras wrote a dict for dict inputs
            return {k: tensors(v) for k, v in value.items()}
        return value

    def call(node: Any) -> dict[str, Any]:
        entries = [node] if _is_history(node) else node
        single = isinstance(entries, list) and len(entries) == 1
        kwargs: dict[str, Any] = {}
        for entry in entries if isinstance(entries, list) else ():
            kwargs |= entry[3] if len(entry) == 4 else {}
        args = [tensors(entries[0] if single else entries)]
        return {"args": args, "kwargs": tensors(kwargs)}

    return {**record, "inbound_nodes": [call(n) for n in record["inbound_nodes"]]}
