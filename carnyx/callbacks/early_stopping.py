"""`EarlyStopping`: no longer than it helps."""

from __future__ import annotations

from typing import Any

from carnyx.callbacks.monitor import Monitor, _mode
from carnyx.callbacks.progress import write
from carnyx.configurable import attribute, field


class EarlyStopping(Monitor):
    """Stop when the watched quantity has not improved for `patience` epochs.

    Args:
        min_delta: a smaller change is no improvement.
        baseline: only an improvement over it ends the waiting.
        restore_best_weights: put back the weights of the best epoch at the end.
        start_from_epoch: epochs to leave alone at the beginning.
    """

    min_delta: float = field(0, abs)
    patience: int = field(0)
    verbose: int = field(0)
    mode: str = field("auto", _mode)
    baseline: Any = field(None)
    restore_best_weights: bool = field(False)
    start_from_epoch: int = field(0)

    wait = stopped_epoch = best_epoch = 0
    best_weights: Any = attribute(None)
    _state = ("best", "wait", "stopped_epoch", "best_epoch", "best_weights")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.best_weights = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        current = self.get_monitor_value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep_weights(epoch)
        self.wait += 1
        if self.improved(current, self.best):
            self.best = current
            self._keep_weights(epoch)
            if self.baseline is None or self.improved(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _keep_weights(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()

    def get_monitor_value(self, logs: Any) -> Any:
        """The watched value; a subclass may compute another."""
        return self.monitored(logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose:
            write(f"Epoch {self.stopped_epoch + 1}: early stopping\n")
        if self.best_weights is not None:
            if self.verbose:
                write(
                    f"Restoring the weights of the best epoch, {self.best_epoch + 1}\n"
                )
            self.model.set_weights(self.best_weights)
