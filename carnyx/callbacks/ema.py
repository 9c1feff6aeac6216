"""`SwapEMAWeights`: averaged weights for evaluation, the trained ones for training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from carnyx.callbacks.base import Callback
from carnyx.configurable import attribute, field
from carnyx.errors import ArgumentError


class SwapEMAWeights(Callback):
    """Evaluate and predict with the moving averages that the optimizer keeps.

    The optimizer needs `use_ema=True`. The trained weights come back afterwards.

    Args:
        swap_on_epoch: the averages stay in the model from the end of an epoch to the
            beginning of the next, so that what is saved in between has them.
    """

    swap_on_epoch: bool = field(False)

    _trained: list[Any] | None = attribute(None)  # while the model has the averages
    _state = ("_trained",)

    def _pairs(self) -> Iterator[tuple[Any, Any]]:
        """Variables and their averages."""
        outer = self.model.optimizer
        outer = getattr(outer, "inner_optimizer", outer)
        averaging = [o for o in getattr(outer, "optimizers", [outer]) if o.use_ema]
        if not averaging:
            raise ArgumentError(
                f"SwapEMAWeights needs an optimizer that keeps averages; "
                f"{outer.name!r} does not. Make it with use_ema=True."
            )
        for optimizer in averaging:
            if not optimizer.built:
                raise ArgumentError(
                    f"{optimizer.name!r} has no averages yet: it made no step."
                )
            pairs = zip(optimizer._trainable_variables, optimizer.averages, strict=True)
            yield from ((v, average) for v, average in pairs if average is not None)

    def _show_averages(self) -> None:
        if self._trained is None:
            pairs = list(self._pairs())
            self._trained = [v.value for v, _ in pairs]
            for variable, average in pairs:
                variable.assign(average.value)

    def _go_back(self) -> None:
        if self._trained is not None:
            for (variable, _), value in zip(self._pairs(), self._trained, strict=True):
                variable.assign(value)
            self._trained = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._go_back()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.swap_on_epoch:
            self._show_averages()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._trained = None  # training has ended with the averages in the model

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._show_averages()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._go_back()

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._show_averages()

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        self._go_back()
