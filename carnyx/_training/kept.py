"""The state from which steps can be made once more, when a loss is not finite."""

from __future__ import annotations

import math
import time
from typing import Any

from carnyx._checks.told import on
from carnyx._data import Feed
from carnyx._training.dry_run import copied, step_variables

_MOST_BYTES = 1 << 25
_BATCHES = 2
_PART = 0.005  # of the time between two copies


class Kept:
    """Copies of small states, at the beginning of epochs.

    A copy is only made anew where what was trained since the last one took long enough:
    what is kept may be some short epochs old, of a short `fit` that follows another
    there is none. Of a large model nothing is kept.

    Attributes:
        epoch, step: where training stood then.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.values: list[tuple[Any, Any]] = []
        self.batches: list[Any] = []  # of what cannot be read twice, the first ones
        self.epoch = self.step = 0
        self.told = False

    def epoch_begins(self, epoch: int, step: int, logs: dict[str, Any]) -> None:
        """Keep the state, if it is time.

        Args:
            logs: of the epoch before; after one whose loss was not finite no state is
                worth keeping.
        """
        began, loss = time.perf_counter(), logs.get("loss")
        if isinstance(loss, float) and not math.isfinite(loss):
            return
        compiled = self.model._need_compiled("fit")
        if began < compiled.keep_again_at or not on():
            return
        if self.is_shared():
            return
        variables = step_variables(self.model)
        if any(v.abstract for v in variables):
            return  # the step says so
        if sum(v.nbytes for v in variables) > _MOST_BYTES:
            compiled.keep_again_at = float("inf")
            return
        self.values, self.batches = copied(variables), []
        self.epoch, self.step = epoch, step
        now = time.perf_counter()
        compiled.keep_again_at = now + (now - began) / _PART

    def is_shared(self) -> bool:
        """Whether other processes would have to take part in every step."""
        placement = self.model._placed()
        return placement is not None and placement.shared

    def look_on(self, feed: Feed) -> None:
        """Keep the first batches of what a copy is followed by."""
        judge = feed.look

        def look(batch: Any, index: int) -> None:
            if len(self.batches) == index - self.step < _BATCHES:
                self.batches.append(batch)
            if judge is not None:
                judge(batch, index)

        if on() and not feed.indexed:
            feed.look = look
