"""Which feed suits what the user gave, by what the object can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carnyx._data.arrays import ArrayFeed
from carnyx._data.batches import is_array
from carnyx._data.feed import Feed
from carnyx._data.sources import SequenceFeed, StreamFeed
from carnyx.errors import DataError


def adapt(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    steps: int | None = None,
    shuffle: bool | str = False,
    class_weight: Mapping[int, float] | None = None,
    seed: int | None = None,
) -> Feed:
    """A feed of `x`: arrays (nested), a source of batches, or a feed itself.

    Args:
        batch_size: of arrays; a source has its own.
        steps: batches an epoch, where it is not the whole.
        shuffle: samples of arrays, batches of what has an index; an iterable keeps
            its own order.
    """
    if is_array(x) or isinstance(x, dict | list | tuple):
        return ArrayFeed(
            x, y, sample_weight, batch_size, steps, shuffle, class_weight, seed
        )
    indexed = hasattr(x, "__getitem__") and hasattr(x, "__len__")
    source = isinstance(x, Feed) or indexed or hasattr(x, "__iter__")
    if isinstance(x, str | bytes) or not source:
        raise DataError(
            f"x is {x!r}; expected arrays (NumPy, JAX, nested in dicts, lists or "
            "tuples), a generator or iterable of batches, or an object with "
            "__getitem__ and __len__ (PyDataset)."
        )
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise DataError(
                f"x is a {type(x).__name__}, a source of batches, so {name} must come "
                "with its batches: (x, y) or (x, y, sample_weight)."
            )
    if isinstance(x, Feed):
        return x
    if indexed:
        return SequenceFeed(x, steps, shuffle, class_weight, seed)
    return StreamFeed(x, steps, class_weight)
