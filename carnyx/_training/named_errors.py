"""Errors of losses and metrics say of which one, and what it was given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from carnyx._core import explain
from carnyx.errors import add_note_once
from carnyx.layers._call import described


@contextlib.contextmanager
def named(what: str, y_true: Any, y_pred: Any) -> Iterator[None]:
    """Run a loss or a metric; JAX's errors become ours, and all get a note.

    Args:
        what: the name in words, such as `"the loss 'mse' of output 'a'"`.
    """
    try:
        yield
    except Exception as error:
        tensors = {"y_true": y_true, "y_pred": y_pred}
        clearer = explain.of_layer(error, what[0].upper() + what[1:], tensors) or error
        given = f"{described(y_true)} and {described(y_pred)}"
        add_note_once(clearer, f"  in {what}, called with {given}")
        if clearer is error:
            raise
        raise clearer from None
