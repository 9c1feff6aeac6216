"""Which feed suits what the user gave, by what the object can do."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

from carnyx._data import hugging_face
from carnyx._data.arrays import ArrayFeed
from carnyx._data.dataset import Dataset, DatasetFeed
from carnyx._data.feed import Feed
from carnyx._data.hosts import comes_from, is_array
from carnyx._data.mistakes import of_no_source
from carnyx._data.rows import Rows, is_lazy
from carnyx._data.sequences import SequenceFeed
from carnyx._data.streams import GrainFeed, StreamFeed, TorchFeed
from carnyx.errors import DataError
from carnyx.typing import Tensor


def adapt(
    x: object,
    y: object = None,
    sample_weight: Tensor | None = None,
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
    if isinstance(x, Feed):
        _need_alone(x, y, sample_weight)
        return x
    if comes_from(x, "datasets") and hasattr(x, "column_names"):
        _need_alone(x, y, sample_weight)
        x, y = _of_hub(x, batch_size)
    if holds_arrays(x):
        return ArrayFeed(
            x, y, sample_weight, batch_size, steps, shuffle, class_weight, seed
        )
    indexed = hasattr(x, "__getitem__") and (
        hasattr(x, "__len__") or hasattr(x, "num_batches")
    )
    if inspect.isfunction(x):
        raise DataError(
            f"x is the function {x.__name__!r}; call it: what it returns, a generator "
            "or a dataset, is what gives batches."
        )
    said = of_no_source(x)
    if said:
        raise DataError(said)
    if isinstance(x, bytes) or not (indexed or hasattr(x, "__iter__")):
        raise DataError(
            f"x is {x!r}; expected arrays (NumPy, JAX, pandas, polars, SciPy, HDF5; "
            "nested in dicts, lists or tuples), a generator or iterable of batches (of "
            "torch, tf.data, Grain), or an object with __getitem__ and __len__ "
            "(PyDataset)."
        )
    _need_alone(x, y, sample_weight)
    if batch_size is not None:
        warnings.warn(
            f"batch_size={batch_size} is not used: x is a {type(x).__name__}, a source "
            "that has batches of its own. Leave it out.",
            stacklevel=2,
        )
    source: Any = x
    if steps is None:
        _need_an_end(x)
    own_order = _of_library(x, steps, class_weight)
    if own_order is not None:
        return own_order
    if indexed:
        return SequenceFeed(x, steps, shuffle, class_weight, seed)
    return StreamFeed(source, steps, class_weight)


def holds_arrays(x: object) -> bool:
    """Whether it is arrays, alone or nested, of which batches are cut."""
    arrays = is_array(x) or is_lazy(x) or isinstance(x, Rows | dict | list | tuple)
    return arrays or hasattr(x, "column_name")


def _of_hub(x: Any, batch_size: int | None) -> tuple[Any, Any]:
    if isinstance(x, dict):
        raise DataError(
            f"x is a {type(x).__name__}; choose a split: x[{next(iter(x))!r}]."
        )
    if hasattr(x, "__len__"):
        return hugging_face.columns(x)
    return hugging_face.HubStream(x, batch_size), None


def _of_library(x: Any, steps: Any, class_weight: Any) -> Feed | None:
    """A feed for what has an order, and a position, of its own."""
    if isinstance(x, Dataset):
        return DatasetFeed(x, steps, class_weight)
    if comes_from(x, "grain"):
        to_iterate = getattr(x, "to_iter_dataset", lambda: x)()  # of a MapDataset
        return GrainFeed(to_iterate, steps, class_weight)
    if comes_from(x, "torch") and hasattr(x, "batch_sampler"):
        return TorchFeed(x, steps, class_weight)
    return None


def _need_an_end(x: Any) -> None:
    """Refuse what says that it never ends, as a tf.data pipeline after repeat()."""
    cardinality = getattr(x, "cardinality", None)
    if comes_from(x, "tensorflow") and callable(cardinality) and cardinality() == -1:
        raise DataError(
            f"x is a {type(x).__name__} that never ends (repeat()): an epoch needs a "
            "number of batches. Give steps_per_epoch (validation_steps, steps), or "
            "leave repeat() out."
        )


def _need_alone(x: Any, y: Any, sample_weight: Any) -> None:
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise DataError(
                f"x is a {type(x).__name__}, a source of batches, so {name} must come "
                "with its batches: (x, y) or (x, y, sample_weight)."
            )
