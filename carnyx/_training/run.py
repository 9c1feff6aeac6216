"""`Run`: one call of `fit`, `evaluate` or `predict` as an object."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from carnyx import config
from carnyx._data import Feed
from carnyx._training.batch_hooks import BatchHooks
from carnyx._training.interrupts import BetweenSteps
from carnyx._training.process_sync import synchronized
from carnyx._training.protocols import Program
from carnyx._training.step_iterator import Dispatch, steps_of
from carnyx.callbacks import CallbackList
from carnyx.typing import Logs


class Done(NamedTuple):
    """A dispatch that was handed over.

    Attributes:
        last: its last step.
        out: what it gave.
        told: how many steps callbacks have heard of just now: `steps_per_execution`, or
            none, where such a group is not whole yet.
    """

    last: int
    out: Any
    told: int


class Run:
    """A loop over a feed, of which callbacks hear.

    Args:
        callbacks, verbose: as the user gave them.
        steps: how many steps a pass over the feed is to have, at most; None is all.
        params: what callbacks are told beside.

    Attributes:
        name: the method that was called.
        phase: what the hooks of callbacks call it.
    """

    name = "fit"
    phase = "train"

    def __init__(
        self,
        model: Any,
        feed: Feed,
        callbacks: object,
        verbose: Any = "auto",
        steps: int | None = None,
        **params: Any,
    ) -> None:
        self.model, self.feed, self.steps = model, feed, steps
        if not isinstance(callbacks, CallbackList):
            callbacks = CallbackList(
                callbacks, add_history=self.phase == "train", add_progbar=verbose != 0,
                model=model, verbose=verbose, steps=steps or feed.length,
                **({"epochs": 1} | params),
            )  # fmt: skip
        self.callbacks: CallbackList = callbacks
        self.interrupts = BetweenSteps()

    def synchronized(
        self, *more: Feed | None, **facts: Any
    ) -> contextlib.AbstractContextManager[None]:
        """Around the run: processes settle what has to be the same in all of them."""
        return synchronized(
            self.name, self.model._placed(), self.callbacks, [self.feed, *more],
            steps=self.steps, **facts,
        )  # fmt: skip

    def dispatches(
        self, program: Program, epoch: int = 0, start: int = 0
    ) -> Iterator[Dispatch]:
        """What is to be handed over for a pass, or the rest of one from a step on."""
        return steps_of(
            program,
            self.feed,
            epoch,
            whole_chunks=not self.callbacks.wants_batches,
            together=self.model.steps_per_execution,
            start=start,
            limit=at_most(self.steps, config.max_steps_per_epoch()),
        )

    def done(self, dispatches: Iterable[Dispatch]) -> Iterator[Done]:
        """Hand them over, one after the other, until somebody wants it to stop."""
        hooks = self._hooks()
        out, last = None, -1
        for dispatch in dispatches:
            hooks.begin(dispatch.first)
            out, last = dispatch.run(), dispatch.last
            told = hooks.end(last, self.logs_of(out)) if hooks.is_due(last) else 0
            yield Done(last, out, told)
            if self.stops():
                break
        if hooks.open:
            yield Done(last, out, hooks.end(last, self.logs_of(out)))

    def _hooks(self) -> BatchHooks:
        """Whoever looks at batches is told of `steps_per_execution` at once."""
        begin = getattr(self.callbacks, f"on_{self.phase}_batch_begin")
        end = getattr(self.callbacks, f"on_{self.phase}_batch_end")
        wanted = self.callbacks.wants_batches
        return BatchHooks(begin, end, self.model.steps_per_execution if wanted else 1)

    def logs_of(self, out: Any) -> Logs:
        """What callbacks are told of a step that gave this."""
        return out

    def stops(self) -> bool:
        """Whether the pass ends after this step; raises for an interrupt."""
        raise NotImplementedError


def at_most(value: int | None, limit: int | None) -> Any:
    """The lesser of two numbers, of which None is no bound."""
    if value is None or limit is None:
        return limit if value is None else value
    return min(value, limit)


def as_floats(logs: Logs) -> dict[str, Any]:
    """Logs on the host, in the order of their names, as Keras has them."""
    on_host = jax.device_get(dict(logs))
    return {name: _number(on_host[name]) for name in sorted(on_host)}


def _number(value: Any) -> Any:
    array = np.asarray(value)
    return array.item() if array.ndim == 0 else array
