"""A graph as stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from carnyx._core.graph import Graph
from carnyx._core.node import Node
from carnyx._training.stages.partition import Flat, Part, joined, parts_of
from carnyx._training.stages.stage import Stage


def stages_by_device(
    graph: Graph | Flat, device_of: Callable[[Node], Any], model: Any = None
) -> list[Stage]:
    """The graph as stages, each as large as it can be, in an order in which they run.

    Args:
        device_of: the device of a node.
        model: whose graph it is; see `Stage`.
    """
    return _stages(graph, parts_of(graph, device_of), model, False)


def stages_of_nodes(
    graph: Graph | Flat,
    groups: Sequence[tuple[Any, Sequence[Node]]],
    model: Any = None,
    remat: bool = False,
) -> list[Stage]:
    """The graph as stages of these nodes on these devices, which run in this order."""
    return _stages(graph, joined(graph, groups), model, remat)


def _stages(
    graph: Graph | Flat, parts: Sequence[Part], model: Any, remat: bool
) -> list[Stage]:
    charged: set[Any] = set()
    return [Stage(part, model, graph.inputs, charged, remat) for part in parts]
