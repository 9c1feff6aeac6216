"""What a layer adds to the loss: by `add_loss`, on its outputs, on its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from carnyx import tree
from carnyx._core.scope import current
from carnyx._core.symbol import is_symbolic
from carnyx._core.variable import Variable
from carnyx.errors import ArgumentError, GraphError
from carnyx.layers.input_spec import label
from carnyx.typing import Tensor


class AddsLosses:
    """The part of `Layer` that collects losses."""

    activity_regularizer: Any  # a function, or None
    trainable_weights: list[Variable]
    _losses: list[Tensor]
    _flatten_layers: Callable[[], list[Any]]

    def add_loss(self, loss: Tensor) -> None:
        """Add a scalar, or several, to the loss that training minimises."""
        for value in tree.flatten(loss):
            if callable(value) and not hasattr(value, "dtype"):
                raise ArgumentError(
                    f"{label(self)}: add_loss got a function; call it and pass the "
                    "value."
                )
            if is_symbolic(value):
                raise GraphError(
                    f"{label(self)}: add_loss got a symbolic tensor. Call add_loss "
                    "inside the call() of a layer."
                )
            state = current().state
            if state is None:
                self._losses.append(value)
            else:
                state.losses.append((self, value))

    def _forget_losses(self) -> None:
        for layer in self._flatten_layers():
            layer._losses.clear()

    @property
    def losses(self) -> list[Any]:
        """What `add_loss` added in the last call, then the regularizers' losses."""
        layers = self._flatten_layers()
        state = current().state
        if state is None:
            added = [loss for layer in layers for loss in layer._losses]
        else:
            inside = {id(layer) for layer in layers}
            added = [loss for layer, loss in state.losses if id(layer) in inside]
        return [*added, *self._regularization_losses()]

    def _regularization_losses(self) -> list[Any]:
        state = current().state
        known = {} if state is None else state.penalties
        return [
            known[v] if v in known else v.regularizer(v.value)
            for v in self.trainable_weights
            if v.regularizer is not None
        ]

    def _penalize(self, outputs: Any) -> None:
        for output in tree.flatten(outputs):
            loss = self.activity_regularizer(output)
            # For each sample, so that it does not grow with the batch.
            self.add_loss(loss / max(output.shape[0], 1) if output.ndim else loss)
