"""Tracebacks that show the user's lines."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

from carnyx import _settings
from carnyx._core.jax_errors import drop_footers, in_own_words
from carnyx._spellings import hint

F = TypeVar("F", bound=Callable[..., Any])
_PACKAGE = str(Path(__file__).parents[1])


def show_user_lines(fn: F) -> F:
    """Decorate a public entry: frames of the library leave the traceback of an error.

    `config.disable_traceback_filtering()` keeps them.
    """

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return fn(*args, **kwargs)
        except Exception as error:
            if isinstance(error, TypeError):
                _refuse_unknown(fn, kwargs)
                _without_class(error, fn)
            drop_footers(error)
            filtering = _settings.get("traceback_filtering")
            if filtering:
                error.__traceback__ = _filtered(error.__traceback__)
            clear = in_own_words(error)
            if clear is None:
                raise
            clear.__notes__ = list(getattr(error, "__notes__", ()))
            cause = None if filtering else error
            raise clear.with_traceback(error.__traceback__) from cause

    return cast(F, call)


def _refuse_unknown(fn: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    """Say what an argument that `fn` does not take is called today."""
    parameters = inspect.signature(fn).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in kwargs:
        if name not in parameters:
            raise TypeError(
                f"{fn.__name__}() got an unknown argument {name!r}."
                f"{hint(name, parameters)}"
            ) from None


def _without_class(error: TypeError, fn: Callable[..., Any]) -> None:
    """Call `Trainer.fit()` in Python's message `fit()`: users know no Trainer."""
    text, qualified = str(error), f"{fn.__qualname__}()"
    if text.startswith(qualified):
        error.args = (text.replace(qualified, f"{fn.__name__}()", 1),)


def _filtered(traceback: TracebackType | None) -> TracebackType | None:
    frames = []
    while traceback is not None:
        if not _is_hidden(traceback.tb_frame.f_code.co_filename):
            frames.append(traceback)
        traceback = traceback.tb_next
    rest = None
    for frame in reversed(frames):
        rest = TracebackType(rest, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return rest


def _is_hidden(filename: str) -> bool:
    parts = Path(filename).parts
    return filename.startswith(_PACKAGE) or "jax" in parts or "jaxlib" in parts
