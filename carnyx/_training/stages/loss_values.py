"""What goes into the loss stage, what tracing it shows, and what it gives."""

from __future__ import annotations

from typing import Any, NamedTuple

from carnyx._core.variable import Variable
from carnyx._training.stages.arrays import Values
from carnyx._training.stages.executor import Gradients


class Arrivals(NamedTuple):
    """What arrives of a batch; a tree of arrays.

    Attributes:
        outputs, masks: of each microbatch.
        losses, penalties: of each microbatch those of each stage.
        y, weights: of the whole batch.
    """

    outputs: list[list[Any]]
    masks: list[list[Any]]
    losses: list[list[list[Any]]]
    penalties: list[list[list[Any]]]
    y: Any
    weights: Any


class Form(NamedTuple):
    """What of a batch is part of the program.

    Attributes:
        adders: of each microbatch, for each stage, the layers that added losses.
        sizes: of the microbatches.
        x: the tree of the inputs, and the shape and dtype of each.
        regularized: of each stage the variables that its penalties are of.
    """

    adders: tuple[Any, ...]
    sizes: tuple[int, ...]
    x: tuple[Any, tuple]
    regularized: tuple[tuple[Variable, ...], ...]


class Needs(NamedTuple):
    """What the program for one form of batch looks at.

    Attributes:
        variables: that it reads or assigns, metrics apart.
        inputs: for each array of the model's inputs whether it is read.
    """

    variables: tuple[Variable, ...]
    inputs: list[bool]


class Result(NamedTuple):
    """What a loss stage gives.

    Attributes:
        logs: by name.
        values: new ones, of metrics and of what else was assigned, by variable.
        ends: what goes back, for each microbatch.
        gradients: of the variables that the loss reads itself.
    """

    logs: dict[str, Any]
    values: Values
    ends: list[Gradients]
    gradients: Values
