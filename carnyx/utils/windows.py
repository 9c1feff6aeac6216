"""Datasets of arrays: windows of a series, two parts of one set."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from carnyx import tree
from carnyx._core.seed import make_default_seed
from carnyx._data import Dataset
from carnyx._data.hosts import as_array, comes_from, is_array
from carnyx.errors import ArgumentError


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
    format: str = "tf",
) -> Dataset:
    """A `Dataset` of windows over a series; `targets[i]` belongs to the i-th start.

    Shapes: (time, …) -> (batch, sequence_length, …), and targets (batch, …)

    Args:
        sequence_stride: between the starts of two windows.
        sampling_rate: between two steps of a window.
        start_index, end_index: use `data[start_index:end_index]` only.
        format: `"tf"` or `"grain"`; either gives Carnyx's own `Dataset`.

    >>> windows = timeseries_dataset_from_array(np.arange(6), None, 3, batch_size=2)
    >>> [batch.tolist() for batch in windows]
    [[[0, 1, 2], [1, 2, 3]], [[2, 3, 4], [3, 4, 5]]]
    """
    if format not in ("tf", "grain"):
        raise ArgumentError(f"format got {format!r}; expected 'tf' or 'grain'.")
    start, end = _bounds(len(data), start_index, end_index)
    for name, value in (
        ("sampling_rate", sampling_rate),
        ("sequence_stride", sequence_stride),
    ):
        if not 0 < value < len(data):
            raise ArgumentError(
                f"{name} got {value} for {len(data)} steps of data; expected 1 to "
                f"{len(data) - 1}."
            )
    x = data[start:end]
    y = None if targets is None else targets[start:end]
    count = end - start - (sequence_length - 1) * sampling_rate
    count = count if targets is None else min(count, len(targets))
    starts = np.arange(0, count, sequence_stride)
    if not len(starts):
        raise ArgumentError(
            f"{end - start} steps of data have no window of {sequence_length} steps, "
            f"{sampling_rate} apart. Shorten sequence_length."
        )
    if shuffle and seed is not None:
        np.random.RandomState(seed).shuffle(starts)

    def window(index: int) -> Any:
        first = int(starts[index])
        part = x[first : first + sequence_length * sampling_rate : sampling_rate]
        return np.asarray(part) if y is None else (np.asarray(part), y[first])

    dataset = Dataset(len(starts), window)
    if shuffle:
        dataset = dataset.shuffle(seed=seed)
    return dataset if batch_size is None else dataset.batch(batch_size)


def _bounds(size: int, start: int | None, end: int | None) -> tuple[int, int]:
    first, last = start or 0, size if end is None else end
    if not 0 <= first < last <= size:
        raise ArgumentError(
            f"start_index={start}, end_index={end} for {size} steps of data; expected "
            f"0 <= start_index < end_index <= {size}."
        )
    return first, last


def split_dataset(
    dataset: object,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: str | None = None,
) -> tuple[Dataset, Dataset]:
    """Two parts of arrays, of a `Dataset`, or of what can be read once as a whole.

    A batched `Dataset` is split by its samples, and its parts are batched again.

    Args:
        left_size, right_size: a share from 0 to 1, or a number of samples; what is
            None is the rest.
        preferred_backend: None or `"jax"`; both parts are a `Dataset` of Carnyx.

    >>> left, right = split_dataset(np.arange(5), left_size=0.4)
    >>> [int(x) for x in left], [int(x) for x in right]
    ([0, 1], [2, 3, 4])
    """
    if preferred_backend not in (None, "jax"):
        raise ArgumentError(
            f"preferred_backend got {preferred_backend!r}; expected None or 'jax'. "
            "Datasets of TensorFlow and PyTorch have splits of their own."
        )
    samples, batched = _samples(dataset)
    left, right = _sizes(len(samples), left_size, right_size)
    order = list(range(len(samples)))
    if shuffle:
        random.Random(make_default_seed() if seed is None else seed).shuffle(order)
    parts = order[:left], order[len(order) - right :]
    first, last = (batched(samples.select(part)) for part in parts)
    return first, last


def _samples(dataset: Any) -> Any:
    if isinstance(dataset, Dataset):
        return dataset.unbatched()
    unchanged = lambda samples: samples  # noqa: E731
    if is_array(dataset) or isinstance(dataset, list | tuple | dict):
        form = tuple(dataset) if isinstance(dataset, list) else dataset
        arrays = tree.map_structure(lambda v: as_array(v, "the dataset"), form)
        sizes = {len(leaf) for leaf in tree.flatten(arrays)}
        if len(sizes) != 1:
            raise ArgumentError(
                f"split_dataset got arrays of {sorted(sizes)} samples; expected one "
                "number for all."
            )
        return Dataset(
            sizes.pop(), lambda i: tree.map_structure(lambda v: v[i], arrays)
        ), unchanged
    if not hasattr(dataset, "__iter__") and not hasattr(dataset, "__getitem__"):
        raise ArgumentError(
            f"split_dataset got {dataset!r}; expected arrays or a dataset."
        )
    if comes_from(dataset, "torch") and hasattr(dataset, "__len__"):
        return Dataset(len(dataset), lambda i: _on_host(dataset[i])), unchanged
    elements = [_on_host(element) for element in dataset]
    return Dataset(len(elements), elements.__getitem__), unchanged


def _on_host(element: Any) -> Any:
    return tree.map_structure(
        lambda v: (
            as_array(v, "the dataset") if getattr(v, "shape", ()) else np.asarray(v)
        ),
        element,
    )


def _sizes(total: int, left: float | None, right: float | None) -> tuple[int, int]:
    if left is None and right is None:
        raise ArgumentError("split_dataset needs left_size or right_size.")
    given: list[Any] = []
    for name, size in (("left_size", left), ("right_size", right)):
        share = isinstance(size, float)
        if size is not None and not 0 < size < (1 if share else total):
            raise ArgumentError(
                f"{name} got {size} for {total} samples; expected a share between 0 "
                f"and 1, or a number from 1 to {total - 1}."
            )
        given.append(round(size * total) if share and size is not None else size)
    first: int = total - (given[1] or 0) if given[0] is None else given[0]
    last: int = total - (given[0] or 0) if given[1] is None else given[1]
    if first + last > total or not (first and last):
        raise ArgumentError(
            f"left_size={left} and right_size={right} of {total} samples make parts of "
            f"{first} and {last}; expected two parts, neither empty, within {total}."
        )
    return first, last
