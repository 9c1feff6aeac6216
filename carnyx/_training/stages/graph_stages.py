"""A graph as stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from carnyx._core.graph import Graph
from carnyx._core.node import Node
from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable
from carnyx._training.stages.partition import Flat, Part, joined, parts_of
from carnyx._training.stages.stage import Stage
from carnyx._training.stages.stage_values import Given, Outcome

Result = TypeVar("Result")


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


def walk(
    stages: Sequence[Stage], tensors: dict[KerasTensor, Any],
    value_of: Callable[[Variable], Any],
    visit: Callable[[Stage, Given], tuple[Outcome, Result]],
) -> list[Result]:  # fmt: skip
    """What `visit` finds of each stage, one microbatch (or its shapes) passing them.

    Args:
        tensors: values of the graph's inputs; has those of all tensors afterwards.
        value_of: of a variable, for its stage.
        visit: `(stage, given) -> (outcome, found)`.
    """
    masks: dict[KerasTensor, Any] = {}
    results = []
    for stage in stages:
        given = Given(
            list(map(value_of, stage.trainable)), list(map(value_of, stage.buffers)),
            [tensors[t] for t in stage.inputs], [masks.get(t) for t in stage.inputs],
        )  # fmt: skip
        outcome, found = visit(stage, given)
        tensors |= zip(stage.outputs, outcome.outputs, strict=True)
        masks |= zip(stage.outputs, outcome.masks, strict=True)
        results.append(found)
    return results
