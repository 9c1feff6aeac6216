"""A method of a stateful object, compiled when it is called with arrays.

Layers that are called by themselves, on batches of a feed, would compute operation by
operation. What they read of variables (the states of their seed generators) becomes
an input of the program, what they assign an output; attributes that are set later
have it traced anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import jax

from carnyx._core.scope import current, in_program
from carnyx._core.traces import Traces, Variants


def computes_now() -> bool:
    """Whether a call here is by itself: in no program, and nobody watches it."""
    context = current()
    return context.state is None and context.watch is None and not in_program()


class CompiledCall:
    """`fn(*arrays)`, compiled for each shape that it is given.

    Args:
        fn: reads and assigns variables as it likes.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._variants = Variants(lambda: _Form(fn))
        self._lock = threading.Lock()

    def __call__(self, *args: Any) -> Any:
        form = self._variants.now()
        if form.known:
            return form(args)
        with self._lock:  # of several threads, one finds out what it reads
            outputs = form(args)
            form.known = True
            return outputs


class _Form:
    """The program for attributes as they are."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.traces = traces = Traces()
        self.known = False

        def run(captured: list[Any], args: tuple[Any, ...]) -> Any:
            return traces.run(lambda: fn(*args), [], [], captured)

        self.run = jax.jit(run)

    def __call__(self, args: tuple[Any, ...]) -> Any:
        traces, position = self.traces, current().position

        def call() -> Any:
            if position is None:
                return self.run(traces.values(), args)
            return self.run([position.value(v) for v in traces.captured], args)

        outputs, changed = traces.until_known(call)
        if position is None:
            traces.keep(changed)
        else:
            for place, value in changed.items():
                position.keep(traces.captured[place], value)
        return outputs
