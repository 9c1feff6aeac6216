"""What is wrong with data, looked at once something has gone wrong."""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from carnyx._data.batches import named_leaves
from carnyx._data.feed import Batch, Feed
from carnyx.errors import CarnyxError, DataError, add_note_once

_LOOK_FOR = 10.0  # seconds


@contextlib.contextmanager
def naming(argument: str) -> Iterator[None]:
    """Errors about data say which argument of `fit` they came by."""
    try:
        yield
    except DataError as error:
        if argument in str(error):
            raise
        named = DataError(f"{argument}: {error}")
        named.__notes__ = list(getattr(error, "__notes__", ()))
        raise named.with_traceback(error.__traceback__) from error.__cause__
    except CarnyxError as error:
        add_note_once(error, f"while looking at {argument}")
        raise


def described(batch: Batch) -> str:
    """`x float32(8, 3), y int32(8,)`."""
    named = named_leaves(batch)
    return ", ".join(f"{n} {v.dtype}{tuple(np.shape(v))}" for n, v in named)


def not_finite(batch: Batch) -> str:
    """Which part has NaN or infinite values, and how many; empty if none has."""
    for name, leaf in named_leaves(batch):
        values = np.asarray(leaf)
        if values.dtype.kind not in "iub":
            bad = ~np.isfinite(values.astype("float32", copy=False))
            if bad.any():
                first = tuple(int(i) for i in np.argwhere(bad)[0])
                return f"{name}: {bad.sum()} of {bad.size} values, the first at {first}"
    return ""


def explain_loss(logs: dict[str, Any], feed: Feed, epoch: int) -> bool:
    """Where the loss is not finite, warn if that is the data's doing; whether it did.

    What can be read again is, for some seconds; a stream is watched from now on.
    """
    loss = logs.get("loss", 0.0)
    if feed.watched or not isinstance(loss, float) or math.isfinite(loss):
        return False
    feed.watched = True
    until = time.monotonic() + _LOOK_FOR
    for index, batch in enumerate(feed.again(epoch)):
        if warn_of(batch, index, feed.name, f"The loss became {loss}. ", epoch):
            return True
        if time.monotonic() > until:
            break
    return False


def warn_of(batch: Batch, index: int, name: str, why: str, epoch: Any = None) -> bool:
    """Warn if a batch has values that are not finite."""
    found = not_finite(batch)
    if found:
        of = "" if epoch is None else f" of epoch {epoch + 1}"
        warnings.warn(
            f"{why}Batch {index}{of} of {name} has NaN or infinite values in {found}. "
            "Remove or replace them (numpy.nan_to_num), or mask those samples with a "
            "sample_weight after replacing them.",
            stacklevel=2,
        )
    return bool(found)


def tell_of_waiting(feed: Feed) -> None:
    """Warn once that training waits for its data."""
    waiting = feed.waiting
    if waiting.told or waiting.seconds < 2 or not str(waiting):
        return
    waiting.told = True
    warnings.warn(
        f"Training waited {waiting.share():.0%} of the epoch ({waiting.seconds:.1f} s) "
        f"for data: {feed.name} is slower than the model. {feed.advice}",
        stacklevel=2,
    )
