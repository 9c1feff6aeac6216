"""`model.summary()`: a table of layers, shapes, parameters and connections."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

from carnyx import tree
from carnyx._core.node import Node, OpCall
from carnyx.distribution.job import is_first
from carnyx.errors import ArgumentError, CarnyxError
from carnyx.layers.base import Layer
from carnyx.models.op_records import class_name_of

_COLUMNS = {
    "Layer (type)": "left",
    "Output Shape": "left",
    "Param #": "right",
    "Connected to": "left",
    "Trainable": "center",
    "Device": "left",
}
_MORE = {"Trainable": 0.1, "Device": 0.13}  # shares of the line


def print_summary(
    model: Layer,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
    devices: Callable[[Any], str] | None = None,
) -> None:
    """Print the table; see `Model.summary`.

    Args:
        devices: from a layer to what its column of devices shows.
    """
    from rich.console import Console

    nodes = _nodes(model)
    chain = _is_chain(nodes)
    titles = [t for t in _COLUMNS if t != "Connected to" or not chain]
    titles = [t for t in titles if t != "Trainable" or show_trainable]
    titles = [t for t in titles if t != "Device" or devices is not None]
    terminal = shutil.get_terminal_size().columns
    length = line_length or min(
        (88 if chain else 108) + 12 * (len(titles) - (3 if chain else 4)),
        terminal - 4,
    )
    table = _table(titles, _widths(positions, titles, length), length)
    operations = model.operations if hasattr(model, "operations") else model.layers
    for operation in _in_range(list(operations), layer_range):
        for row in _rows(operation, nodes, expand_nested, devices=devices):
            table.add_row(*(row[title].replace("[", "\\[") for title in titles))

    colours = print_fn is None and sys.stdout.isatty()
    console = Console(
        width=max(terminal, length), force_terminal=colours, no_color=not colours,
        highlight=False, file=sys.stdout,
        force_jupyter=False,  # a notebook would get an empty block beside the text
    )  # fmt: skip
    with console.capture() as captured:
        name = model.name.replace("[", "\\[")
        console.print(f'[bold]Model: "{name}"[/bold]')
        console.print(table)
        for line in _totals(model):
            console.print(line)
    if print_fn is not None or is_first():
        (print_fn or sys.stdout.write)(captured.get())


def _table(titles: list[str], widths: list[int], length: int) -> Any:
    from rich.table import Column, Table

    columns = [
        Column(t, justify=_COLUMNS[t], width=w)  # type: ignore[arg-type]
        for t, w in zip(titles, widths, strict=True)
    ]
    return Table(*columns, width=length, show_lines=True)


def _widths(positions: Any, titles: list[str], length: int) -> list[int]:
    """The columns' widths; `positions` are right edges, as shares of the line."""
    if positions is None:
        connected = "Connected to" in titles
        positions = [0.3, 0.56, 0.74, 1.0] if connected else [0.45, 0.8, 1.0]
    more = [width for t, width in _MORE.items() if t in titles]
    if len(positions) == len(titles) - len(more):
        share = 1 - sum(more)
        positions = [share * p for p in positions]
        positions += [share + sum(more[: i + 1]) for i in range(len(more))]
    if len(positions) != len(titles):
        raise ArgumentError(
            f"summary() got {len(positions)} positions; the table has the "
            f"{len(titles)} columns {titles}."
        )
    edges = [int(p * length) for p in positions]
    widths = [b - a for a, b in zip([0, *edges], edges)]
    if min(widths) < 4:
        raise ArgumentError(
            f"summary() got columns of {widths} characters; a column needs 4 or more. "
            "Pass a larger line_length, or other positions."
        )
    return widths


def _nodes(model: Any) -> list[Node] | None:
    """The calls that the model consists of, where it is a graph."""
    graph = getattr(model, "_graph", None)
    return None if graph is None else graph.nodes


def _is_chain(nodes: list[Node] | None) -> bool:
    """Whether every layer is called once and takes just what the one before gave."""
    if nodes is None:
        return True
    sources = [id(node.inputs[0].node) for node in nodes if len(node.inputs) == 1]
    layers = {id(node.operation) for node in nodes}
    return len(layers) == len(nodes) == len(set(sources)) + 1


def _rows(
    operation: Any, nodes: Any, expand: bool, depth: int = 0,
    devices: Callable[[Any], str] | None = None,
) -> list[dict]:  # fmt: skip
    """The row of a layer and, where wanted, of those inside, by column."""
    prefix = "   " * depth + "└ " if depth else ""
    kind = type(operation).__name__
    if isinstance(operation, OpCall):
        kind = class_name_of(operation.fn.op_name)
    params, trainable = "0", "-"
    if isinstance(operation, Layer):
        built = operation.built
        params = f"{operation.count_params():,}" if built else "0 (unbuilt)"
        trainable = "NY"[operation.trainable] if operation.weights else "-"
    row = {
        "Layer (type)": f"{prefix}{operation.name} ({kind})",
        "Output Shape": _shape(operation, nodes),
        "Param #": params,
        "Connected to": _connections(operation, nodes),
        "Trainable": trainable,
        "Device": "" if devices is None else devices(operation),
    }
    rows = [row]
    for inner in getattr(operation, "layers", ()) if expand else ():
        rows += _rows(inner, _nodes(operation), expand, depth + 1, devices)
    return rows


def _in_range(operations: list[Any], layer_range: Any) -> list[Any]:
    if layer_range is None:
        return operations
    first, last = layer_range
    names = [o.name for o in operations]
    starts = [i for i, n in enumerate(names) if re.match(first, n)]
    ends = [i for i, n in enumerate(names) if re.match(last, n)]
    if not starts or not ends:
        raise ArgumentError(
            f"summary() got layer_range={layer_range!r}; the layers are {names}."
        )
    low, high = starts[0], ends[-1]
    if low > high:
        low, high = ends[0], starts[-1]
    return operations[low : high + 1]


def _shape(operation: Any, nodes: list[Node] | None) -> str:
    """The output shape in this graph, else of the last call, else as built."""
    calls = [n for n in nodes or () if n.operation is operation]
    calls = calls or operation.inbound_nodes
    if calls:
        outputs = calls[-1].outputs
        outputs = list(outputs) if isinstance(outputs, tuple) else outputs
        shapes = tree.map_structure(lambda t: str(t.shape), outputs)
    else:
        shapes = _built_shapes(operation)
    flat = tree.flatten(shapes)
    return flat[0] if len(flat) == 1 else str(shapes).replace("'", "")


def _built_shapes(layer: Any) -> Any:
    given = getattr(layer, "build_shapes", None)
    given = given or getattr(layer, "_called_shapes", None)  # without a build()
    if not layer.built or not given:
        return "?"
    try:
        shapes = layer.compute_output_shape(*given.values())
    except (CarnyxError, NotImplementedError, TypeError, ValueError):
        return "?"  # a layer whose shapes only its own call knows
    return tree.map_shape_structure(lambda shape: str(tuple(shape)), shapes)


def _connections(operation: Any, nodes: list[Node] | None) -> str:
    tensors = [t for n in nodes or () if n.operation is operation for t in n.inputs]
    sources = [t._keras_history for t in tensors]
    named = (f"{s.operation.name}[{s.node_index}][{s.tensor_index}]" for s in sources)
    return ", ".join(named) or "-"


def _totals(model: Any) -> list[str]:
    trainable = {id(v): v for v in model.trainable_weights}
    fixed = {id(v): v for v in model.non_trainable_weights}
    optimizer = getattr(model, "optimizer", None)
    slots = optimizer.variables if optimizer is not None and optimizer.built else ()
    slots = {id(v): v for v in slots}
    parts = [
        ("Total params", {**trainable, **fixed, **slots}),
        ("Trainable params", trainable),
        ("Non-trainable params", fixed),
    ]
    parts += [("Optimizer params", slots)] if slots else []
    return [
        f"[bold] {title}: [/bold]{sum(v.size for v in group.values()):,} "
        f"({readable_size(sum(v.nbytes for v in group.values()))})"
        for title, group in parts
    ]


def readable_size(size: float) -> str:
    """Bytes with a unit.

    >>> readable_size(4936)
    '4.82 KB'
    """
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024 or unit == "TB":
            return f"{size:.2f} {unit}"
        size /= 1024
    raise AssertionError
