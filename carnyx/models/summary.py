"""`model.summary()`: a table of layers, shapes, parameters and connections."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from carnyx import tree
from carnyx._core.node import OpCall
from carnyx.errors import ArgumentError


class Row(NamedTuple):
    """One line of the table."""

    name: str
    shape: str
    params: str
    connected: str
    trainable: str


def print_summary(
    model: Any,
    line_length: int | None = None,
    positions: Any = None,
    print_fn: Callable[[str], Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Any = None,
) -> None:
    """Print the table; see `Model.summary`."""
    from rich.console import Console

    to_terminal = print_fn is None and sys.stdout.isatty()
    width = line_length or max(shutil.get_terminal_size((80, 20)).columns, 60)
    console = Console(
        width=width, force_terminal=to_terminal, no_color=not to_terminal,
        highlight=False, file=sys.stdout,
    )  # fmt: skip
    with console.capture() as captured:
        console.print(f'[bold]Model: "{model.name}"[/bold]')
        console.print(
            _table(model, expand_nested, show_trainable, layer_range, positions)
        )
        for line in _totals(model):
            console.print(" " + line)
    text = captured.get()
    if print_fn is not None:
        print_fn(text)
    else:
        sys.stdout.write(text)
        sys.stdout.flush()


def _table(
    model: Any, expand: bool, show_trainable: bool, layer_range: Any, positions: Any
) -> Any:
    from rich import box
    from rich.table import Table

    show_connected = not _is_chain(model)
    table = Table(box=box.HEAVY_HEAD, show_lines=show_connected)
    titles = ["Layer (type)", "Output Shape", "Param #"]
    titles += ["Connected to"] if show_connected else []
    titles += ["Trainable"] if show_trainable else []
    ratios = _ratios(positions, len(titles))
    for title, ratio in zip(titles, ratios, strict=True):
        right = title == "Param #"
        table.add_column(
            title, ratio=ratio, justify="right" if right else "left", overflow="fold"
        )
    table.expand = True
    for row in _rows(model, expand, layer_range):
        cells = [row.name, row.shape, row.params]
        cells += [row.connected] if show_connected else []
        cells += [row.trainable] if show_trainable else []
        table.add_row(*(cell.replace("[", "\\[") for cell in cells))
    return table


def _ratios(positions: Any, count: int) -> list[int]:
    """Relative widths; `positions` are the right edges, as shares of the line."""
    if positions is None:
        return [45, 33, 22, 30, 14][:count]
    if len(positions) < count:
        raise ArgumentError(
            f"positions has {len(positions)} entries, the table {count} columns."
        )
    edges = [0, *positions[:count]]
    shares = [b - a for a, b in zip(edges, edges[1:], strict=False)]
    scale = 100 / sum(shares)
    return [max(1, round(s * scale)) for s in shares]


def _is_chain(model: Any) -> bool:
    """Whether every layer takes just the output of the one before."""
    graph = getattr(model, "_graph", None)
    if graph is None:
        return True
    consumers: dict[int, int] = {}
    for node in graph.nodes:
        if len(node.inputs) > 1:
            return False
        for tensor in node.inputs:
            consumers[id(tensor.node)] = consumers.get(id(tensor.node), 0) + 1
    calls = len(graph.nodes) == len(graph.operations)
    return calls and all(n == 1 for n in consumers.values())


def _rows(model: Any, expand: bool, layer_range: Any) -> list[Row]:
    operations = getattr(model, "operations", None) or model.layers
    rows = []
    for operation in _in_range(list(operations), layer_range):
        rows.append(_row(model, operation))
        if expand and getattr(operation, "layers", None) and hasattr(operation, "fit"):
            inner = _rows(operation, True, None)
            rows += [row._replace(name="    └ " + row.name.strip()) for row in inner]
    return rows


def _in_range(operations: list[Any], layer_range: Any) -> list[Any]:
    if layer_range is None:
        return operations
    first, last = layer_range
    names = [o.name for o in operations]
    starts = [i for i, n in enumerate(names) if n == first or re.match(first, n)]
    ends = [i for i, n in enumerate(names) if n == last or re.match(last, n)]
    if not starts or not ends:
        raise ArgumentError(
            f"layer_range={layer_range!r} matches no layers of {names}."
        )
    low, high = sorted((starts[0], ends[-1]))
    return operations[low : high + 1]


def _row(model: Any, operation: Any) -> Row:
    if isinstance(operation, OpCall):
        kind = "".join(p.capitalize() for p in operation.fn.op_name.split("_"))
        params = "0"
        trainable = "-"
    else:
        kind = type(operation).__name__
        unbuilt = not operation.built
        params = "0 (unbuilt)" if unbuilt else f"{operation.count_params():,}"
        trainable = "-" if not operation.weights else _yes_no(operation.trainable)
    return Row(
        f"{operation.name} ({kind})",
        _shape(model, operation),
        params,
        _connections(model, operation),
        trainable,
    )


def _yes_no(value: bool) -> str:
    return "Y" if value else "N"


def _shape(model: Any, operation: Any) -> str:
    """The output shape in this model, else of the first call, else as built."""
    nodes = _nodes(model, operation)
    outputs = [n.outputs for n in nodes] or [n.outputs for n in operation.inbound_nodes]
    if outputs:
        shapes = [_shape_text(o) for o in outputs]
        return shapes[0] if len(set(shapes)) == 1 else ", ".join(shapes)
    shapes = getattr(operation, "build_shapes", None)
    if not operation.built or not shapes:
        return "?"
    try:
        out = operation.compute_output_shape(*shapes.values())
    except Exception:  # a layer whose shapes only its own call knows
        return "?"
    return _tuple_text(out)


def _shape_text(outputs: Any) -> str:
    shapes = [str(t.shape) for t in tree.flatten(outputs) if t is not None]
    return shapes[0] if len(shapes) == 1 else f"[{', '.join(shapes)}]"


def _tuple_text(shape: Any) -> str:
    return str(tuple(shape) if tree.is_shape(shape) else shape)


def _nodes(model: Any, operation: Any) -> list[Any]:
    graph = getattr(model, "_graph", None)
    body = getattr(model, "_body", None)
    graph = graph or (body._graph if body is not None else None)
    if graph is None:
        return []
    return [n for n in graph.nodes if n.operation is operation]


def _connections(model: Any, operation: Any) -> str:
    sources = []
    for node in _nodes(model, operation):
        for tensor in node.inputs:
            producer, call, index = tensor._keras_history
            sources.append(f"{producer.name}[{call}][{index}]")
    return ", ".join(sources) or "-"


def _totals(model: Any) -> list[str]:
    trainable = {id(v): v for v in model.trainable_weights}
    fixed = {id(v): v for v in model.non_trainable_weights}
    optimizer = getattr(model, "optimizer", None)
    built = optimizer is not None and optimizer.built
    slots = {id(v): v for v in optimizer.variables} if built else {}
    parts = [
        ("Total params", {**trainable, **fixed, **slots}),
        ("Trainable params", trainable),
        ("Non-trainable params", fixed),
    ]
    parts += [("Optimizer params", slots)] if slots else []
    return [
        f"[bold]{title}: [/bold]{sum(v.size for v in group.values()):,} "
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
