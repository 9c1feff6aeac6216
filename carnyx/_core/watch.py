"""What may look on while a model is called: checks, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Watch:
    """Is told what a call does, where `scoped(watch=...)` puts it; by itself idle."""

    def operation(self, name: str, args: tuple[Any, ...], out: object) -> None:
        """An op was called."""

    def layer(self, layer: Any, inputs: dict[str, Any], outputs: object) -> None:
        """A layer was called; those inside were before."""

    def meets(self, loss: object, output: str, prediction: Any) -> None:
        """A compiled loss is given an output."""

    def own_draw(self, draw: Callable[[], int]) -> int:
        """A seed is drawn, from Python's generator."""
        return draw()
