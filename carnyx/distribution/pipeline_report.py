"""What a pipeline looks like: its stages, their memory, how long they wait."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from carnyx._tables import aligned, html_table

_HEADINGS = "stage", "device", "layers", "cost", "parameters", "optimizer", "residuals"


class StageReport(NamedTuple):
    """One stage of a pipeline.

    Attributes:
        layers: names of what it computes, in order.
        device: its name.
        share: of the cost of the whole model.
        parameters: bytes of the variables that live there.
        optimizer: bytes of the optimizer's state beside them; 0 before it is built.
        residuals: bytes kept for the way back, of as many microbatches as there can be
            at a time.
        alive: how many microbatches those are.
    """

    layers: list[str]
    device: str
    share: float
    parameters: int
    optimizer: int
    residuals: int
    alive: int


class PipelineReport:
    """A table of the stages; printing it shows all.

    Attributes:
        stages: a `StageReport` each.
        batch_size, microbatches: of the step that is described.
        bubble: the share of the stages' time in which they wait, simulated from their
            costs.
        balanced_bubble: what it would be were all stages' costs equal:
            (stages - 1) / (microbatches + stages - 1).
    """

    def __init__(
        self,
        stages: Sequence[StageReport],
        batch_size: int,
        microbatches: int,
        bubble: float,
    ) -> None:
        self.stages = list(stages)
        self.batch_size, self.microbatches = batch_size, microbatches
        self.bubble = bubble
        count = len(self.stages)
        self.balanced_bubble = (count - 1) / (microbatches + count - 1)

    def _rows(self) -> list[tuple[str, ...]]:
        rows = []
        for number, stage in enumerate(self.stages):
            first, last = stage.layers[0], stage.layers[-1]
            span = first if len(stage.layers) == 1 else f"{first} … {last}"
            rows.append(
                (
                    str(number),
                    stage.device,
                    f"{span} ({len(stage.layers)})",
                    f"{stage.share:.0%}",
                    _size(stage.parameters),
                    _size(stage.optimizer),
                    f"{_size(stage.residuals)} ({stage.alive})",
                )
            )
        return rows

    def _summary(self) -> str:
        return (
            f"{self.batch_size} samples in {self.microbatches} microbatches; stages "
            f"wait {self.bubble:.0%} of a step ({self.balanced_bubble:.0%} if their "
            "costs were equal). In brackets: how many layers, and how many "
            "microbatches' residuals there are at most."
        )

    def __str__(self) -> str:
        summary = textwrap.fill(self._summary(), 79)
        return "\n".join([*aligned([_HEADINGS, *self._rows()]), "", summary])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(_HEADINGS, self._rows(), self._summary())


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"
