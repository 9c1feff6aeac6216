"""`TerminateOnNaN`: a loss that is no number ends training, or undoes the epoch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from carnyx.callbacks.base import Callback
from carnyx.callbacks.progress import write


class TerminateOnNaN(Callback):
    """Stop at the first step whose loss is NaN or infinite, and say which it was.

    Args:
        raise_error: raise RuntimeError instead of ending the training in order.
        restore: put back the weights, buffers and optimizer as they were when the last
            good epoch ended (or training began). Their copy is on the host, and is
            renewed every epoch whose state is finite throughout.
    """

    _state = ("_epoch", "_steps")

    def __init__(self, raise_error: bool = False, *, restore: bool = False) -> None:
        self.raise_error = raise_error
        self.restores = restore
        self._epoch = self._steps = 0
        self._good: list[tuple[Any, np.ndarray]] = []
        self._good_epoch = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._steps, self._good_epoch = 0, 0
        self._keep()

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._good_epoch = self._epoch
        self._keep()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._steps += 1
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        self._put_back()
        where = f"batch {batch} of epoch {self._epoch + 1} (step {self._steps})"
        if self.raise_error:
            raise RuntimeError(
                f"The loss is {loss} after {where}. Look for NaN in the inputs, too "
                f"high a learning rate, and logarithms and roots of 0.{self._told()}"
            )
        write(f"The loss is {loss} after {where}, stopping.{self._told()}\n")
        self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.model.stop_training:
            self._good_epoch = epoch + 1 if self._keep() else self._good_epoch

    def _keep(self) -> bool:
        """Copy the state, unless it is broken already."""
        if not self.restores:
            return False
        copies = [(v, v.numpy()) for v in self.model.training_variables()]
        good = all(np.isfinite(a).all() for _, a in copies if a.dtype.kind == "f")
        if good:
            self._good = copies
        return good

    def _put_back(self) -> None:
        for variable, value in self._good:
            variable.assign(value)

    def _told(self) -> str:
        if not self.restores:
            return ""
        number = self._good_epoch
        when = f"the end of epoch {number}" if number else "the beginning"
        return f" The state is that of {when}."
