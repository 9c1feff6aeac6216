"""Functions that are compiled for one device, and what else their traces read."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import jax

from carnyx._core.scope import scoped
from carnyx._core.traces import Traces
from carnyx._training.stages.arrays import device_puts


class Traced:
    """The programs of a stage; its methods are compiled when they are first run.

    Args:
        name: by which profiles show it.

    Attributes:
        traces: variables of nobody and attributes that the programs read.
    """

    def __init__(self, device: Any, name: str) -> None:
        self.device, self.name, self.traces = device, name, Traces()
        self._programs: dict[Any, Any] = {}

    def run(
        self, method: Callable[..., Any], *arrays: Any, options: tuple = (),
        donate: int | None = None,
    ) -> Any:  # fmt: skip
        """`method(*arrays, *options)`, compiled; traced until all it reads is known.

        Args:
            options: what is part of the program.
            donate: the place of the arrays that may be overwritten.
        """
        program = self.program(method, *options, donate=donate)

        def call() -> Any:
            return program(self.captured(), *arrays)

        found, changed = self.traces.until_known(call)
        self.traces.keep(changed)
        return found

    def program(
        self, method: Callable[..., Any], *options: Hashable, donate: int | None = None
    ) -> Any:
        """The compiled function of captured values and of arrays; gives the result, and
        new values of what it captured."""
        key = method.__name__, *options
        if key not in self._programs:
            run = self.traced(lambda *arrays: method(*arrays, *options))
            run.__name__ = f"{method.__name__.strip('_')}_of_{self.name}"
            donated = () if donate is None else donate + 1
            self._programs[key] = jax.jit(run, donate_argnums=donated)
        return self._programs[key]

    def traced(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as `program` compiles it."""

        def run(captured: list[Any], *arrays: Any) -> Any:
            with scoped(state=None):
                return self.traces.run(lambda: function(*arrays), (), (), captured)

        return run

    def captured(self) -> list[Any]:
        """The values of what the traces captured, on the device."""
        values = self.traces.values()
        return device_puts(values, self.device) if values else values

    def programs(self) -> list[Any]:
        """The compiled functions, so far."""
        return list(self._programs.values())
