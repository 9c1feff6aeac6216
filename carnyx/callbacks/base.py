"""`Callback`: the hooks, documented; and the state that a resumed job needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from carnyx.configurable import Configurable, attribute
from carnyx.layers.base import Layer

H = TypeVar("H", bound=Callable[..., Any])


def default(hook: H) -> H:
    """Mark a hook as doing nothing, so that nobody calls it (Keras's own mark)."""
    hook._is_default = True  # type: ignore[attr-defined]
    return hook


def takes_chunks(hook: H) -> H:
    """Mark a batch hook for which the last of several steps is enough.

    A callback with the attribute `every_batch` set is given every step all the same.
    """
    hook._takes_chunks = True  # type: ignore[attr-defined]
    return hook


class Callback(Configurable):
    """Base of callbacks; a subclass overrides the hooks it needs.

    `logs` holds the loss and metrics so far by name; numbers are fetched from the
    device when one is first read. A hook that is not overridden costs nothing.

    Attributes:
        model: the model in training.
        params: `verbose`, `epochs` and `steps`.

    >>> class Losses(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, logs["loss"])
    >>> Losses().on_epoch_end(0, {"loss": 0.5})
    0 0.5
    """

    keras_family = "callbacks"

    params: dict[str, Any] | None = attribute(None)
    every_batch = False
    holds_variables = False  # that a model would have to know of
    _model: Any = attribute(None)
    _state: tuple[str, ...] = attribute(())

    @property
    def model(self) -> Any:
        return self._model

    @model.setter
    def model(self, model: Layer) -> None:
        self._model = model

    def set_model(self, model: Layer) -> None:
        """Called before anything else, with the model."""
        self._model = model

    def set_params(self, params: dict[str, Any] | None) -> None:
        """Called before anything else, with how the loop was called."""
        self.params = params

    def state(self) -> dict[str, Any]:
        """What the callback remembers from step to step, as plain JSON values."""
        return {name: _plain(getattr(self, name)) for name in self._state}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`; called after `on_train_begin`."""
        for name in self._state:
            setattr(self, name, state[name])

    @default
    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before the first epoch."""

    @default
    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """After the last epoch, with its logs."""

    @default
    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Before an epoch; they count from 0."""

    @default
    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """After an epoch and its validation, whose names begin with `val_`."""

    @default
    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Before a step of training; they count from 0 in each epoch."""
        self.on_batch_begin(batch, logs)

    @default
    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """After a step of training, with the averages of the epoch so far."""
        self.on_batch_end(batch, logs)

    @default
    def on_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """The older name of `on_train_batch_begin`."""

    @default
    def on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """The older name of `on_train_batch_end`."""

    @default
    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before an evaluation, also that of an epoch's end."""

    @default
    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """After an evaluation, with its results."""

    @default
    def on_test_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Before a step of evaluation."""

    @default
    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """After a step of evaluation."""

    @default
    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before the first batch of a prediction."""

    @default
    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """After the last batch of a prediction."""

    @default
    def on_predict_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Before a batch of a prediction."""

    @default
    def on_predict_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """After a batch of a prediction, with its `outputs`."""


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
