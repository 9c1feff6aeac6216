"""`CallbackList`: one event to every callback that has a hook for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from carnyx import tree
from carnyx.callbacks.base import Callback
from carnyx.callbacks.history import History
from carnyx.callbacks.logs import Logs
from carnyx.callbacks.progress import ProgbarLogger
from carnyx.errors import ArgumentError
from carnyx.layers.base import Layer

HOOKS = tuple(name for name in dir(Callback) if name.startswith("on_"))


def _each(name: str, phase: str | None = None) -> Callable[..., None]:
    """A method that calls the hook `name` of every callback that overrides it."""

    def event(self: CallbackList, *args: Any, logs: Any = None) -> None:
        if phase is not None:
            self._phase = phase
        hooks = self._hooks[name]
        if hooks:
            logs = Logs.of(args[-1] if len(args) > places else logs)
            for hook in hooks:
                hook(*args[:places], logs)

    places = int("batch" in name or "epoch" in name)  # arguments before the logs
    event.__name__, event.__doc__ = name, getattr(Callback, name).__doc__
    return event


class CallbackList(Callback):
    """Callbacks as one: every event goes to those that have a hook for it.

    Args:
        callbacks: callbacks, nested in lists as you like.
        add_history: add a `History` unless there is one.
        add_progbar: add a `ProgbarLogger` unless there is one.
        params: what the callbacks get as `params`.
    """

    def __init__(
        self,
        callbacks: object = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        self.callbacks = [_checked(c) for c in tree.flatten(callbacks) if c is not None]
        self._phase = "train"
        self._history = self._find(History)
        if add_history and self._history is None:
            self._history = History()
            self.callbacks.append(self._history)
        if add_progbar and self._find(ProgbarLogger) is None:
            self.callbacks.append(ProgbarLogger())
        self._collect()
        if model is not None:
            self.set_model(model)
        self.set_params(params)

    def _find(self, kind: type) -> Any:
        found = (c for c in self.callbacks if isinstance(c, kind))
        return next(found, None)

    def append(self, callback: Any) -> None:
        """Add a callback, which gets the model and params of the others."""
        self.callbacks.append(_checked(callback))
        if self.params:
            callback.set_params(self.params)
        if self._model is not None:
            callback.set_model(self._model)
        self._collect()

    def set_model(self, model: Layer) -> None:
        super().set_model(model)
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)

    def keep(self, epoch: int, logs: Any) -> None:
        """What an epoch gave that will not come to its end, for the history alone."""
        if self._history is not None:
            self._history.on_epoch_end(epoch, logs)

    def set_params(self, params: dict[str, Any] | None) -> None:
        super().set_params(params)
        if params:
            for callback in self.callbacks:
                callback.set_params(params)

    def _collect(self) -> None:
        """Look the hooks up once, and who needs every step."""
        self._hooks = {
            name: [getattr(c, name) for c in self.callbacks if _has(c, name)]
            for name in HOOKS
        }
        self._wants = {
            phase: any(
                not _takes_chunks(hook)
                for when in ("begin", "end")
                for hook in self._hooks[f"on_{phase}_batch_{when}"]
            )
            for phase in ("train", "test", "predict")
        }

    @property
    def wants(self) -> dict[str, bool]:
        """In which phases a callback needs every step."""
        return dict(self._wants)

    def want(self, said: list[dict[str, bool]]) -> None:
        """Give every step where the callbacks of any process need it."""
        self._wants = {phase: any(s[phase] for s in said) for phase in self._wants}

    @property
    def wants_batches(self) -> bool:
        """Whether a callback needs every step of what runs now (training, a test)."""
        return self._wants[self._phase]

    on_train_begin = _each("on_train_begin", phase="train")
    on_train_end = _each("on_train_end")
    on_epoch_begin = _each("on_epoch_begin", phase="train")
    on_epoch_end = _each("on_epoch_end", phase="train")
    on_train_batch_begin = _each("on_train_batch_begin")
    on_train_batch_end = _each("on_train_batch_end")
    on_batch_begin = _each("on_batch_begin")
    on_batch_end = _each("on_batch_end")
    on_test_begin = _each("on_test_begin", phase="test")
    on_test_end = _each("on_test_end", phase="train")
    on_test_batch_begin = _each("on_test_batch_begin")
    on_test_batch_end = _each("on_test_batch_end")
    on_predict_begin = _each("on_predict_begin", phase="predict")
    on_predict_end = _each("on_predict_end", phase="train")
    on_predict_batch_begin = _each("on_predict_batch_begin")
    on_predict_batch_end = _each("on_predict_batch_end")


def _checked(callback: Any) -> Any:
    if isinstance(callback, type) or not hasattr(callback, "set_model"):
        raise ArgumentError(
            f"callbacks got {callback!r}; expected objects of Callback classes, such "
            "as EarlyStopping() (a function: LambdaCallback(on_epoch_end=function))."
        )
    return callback


def _has(callback: Any, name: str) -> bool:
    """Whether a callback has a hook of its own; the older names count as the new."""
    hook = getattr(callback, name, None)
    if hook is None:
        return False
    if not getattr(hook, "_is_default", False):
        return True
    older = name.replace("on_train_batch", "on_batch")
    return older != name and _has(callback, older)


def _takes_chunks(hook: Any) -> bool:
    owner = getattr(hook, "__self__", None)
    marked = getattr(hook, "_takes_chunks", False)
    return marked and not getattr(owner, "every_batch", False)
