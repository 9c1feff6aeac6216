"""Data with texts, for models whose first layers number them while batches are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from carnyx import tree
from carnyx._data.adapters import adapt, holds_arrays
from carnyx._data.arrays import ArrayFeed
from carnyx._data.batches import three_parts
from carnyx._data.dataset import Dataset
from carnyx._data.feed import Batch, Feed
from carnyx._data.rows import Rows
from carnyx.errors import DataError
from carnyx.typing import Data


class TextRows(Rows):
    """Texts, of which a feed reads the numbers of rows."""

    @classmethod
    def of(cls, texts: np.ndarray) -> TextRows:
        return cls(texts, "int32", (len(texts),))

    def _range(self, first: int, last: int) -> np.ndarray:
        return np.arange(first, last, dtype="int32")

    def _pick(self, rows: np.ndarray) -> np.ndarray:
        return rows.astype("int32")


def with_text_rows(x: Data) -> Data:
    """Arrays of texts as `TextRows`; everything else as it is."""
    if isinstance(x, Mapping):
        return {key: with_text_rows(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        if _are_texts(x):
            return TextRows.of(np.array(x, object))
        return type(x)(with_text_rows(value) for value in x)
    if hasattr(x, "__array__") and not isinstance(x, jax.Array):
        array = np.asarray(x)
        first = array.flat[0] if array.size and array.dtype == object else None
        text = array.dtype.kind in "SUT" or isinstance(first, str | bytes)
        if text and array.ndim:
            return TextRows.of(array)
    return x


def adapt_texts(
    x: Data,
    y: Data = None,
    sample_weight: Data = None,
    *,
    run: Callable[[Any], Any],
    spec: Callable[[], Any],
    **options: Any,
) -> Feed:
    """As `adapt`, with `run(x)` in place of the x of every batch.

    Args:
        spec: what that is, as symbolic tensors.
        options: those of `adapt`.
    """
    if isinstance(x, Feed):
        return _Numbered(x, run, spec)
    if holds_arrays(x):
        feed = adapt(with_text_rows(x), y, sample_weight, **options)
        return _Numbered(feed, run, spec)
    return adapt(_mapped(x, run), y, sample_weight, **options)


class _Numbered(Feed):
    """A feed of arrays, in whose batches texts are numbered."""

    def __init__(self, feed: Feed, run: Callable[..., Any], spec: Any) -> None:
        super().__init__(feed.seed)
        self.feed, self.run, self._spec = feed, run, spec
        self.length, self.batch_size = feed.length, feed.batch_size
        self.num_samples, self.name = feed.num_samples, feed.name
        self._x = feed.source_of_x() if isinstance(feed, ArrayFeed) else None

    def spec(self) -> Batch:
        _, y, weights = self.feed.spec()
        return self._spec(), y, weights

    def _batches(self, number: int, start: int) -> Iterator[Batch]:
        return map(self._numbered, self.feed.epoch(number, start))

    def again(self, number: int) -> Iterator[Batch]:
        return map(self._numbered, self.feed.again(number))

    def _numbered(self, batch: Batch) -> Batch:
        x, y, weights = batch
        if self._x is not None:
            x = tree.map_structure(_texts_of, self._x, x)
        return self.run(x), y, weights

    def order(self) -> list[int]:
        return self.feed.order()

    def order_by(self, order: list[int]) -> None:
        self.feed.order_by(order)

    def position(
        self, index: int | None = None, epoch: int | None = None
    ) -> dict[str, Any]:
        index = self._index if index is None else index
        epoch = self._epoch if epoch is None else epoch
        return self.feed.position(index, epoch)

    def restore(self, position: dict[str, Any]) -> None:
        super().restore(position)
        self.feed.restore(position)


def _texts_of(source: Any, batch: Any) -> Any:
    return source.source[batch] if isinstance(source, TextRows) else batch


def _are_texts(x: Any) -> bool:
    first = next(iter(x), None) if isinstance(x, list | tuple) else None
    return isinstance(first, str | bytes)


def _stacked(x: Any) -> Any:
    """Lists of texts, as PyTorch collates them, as arrays."""
    if isinstance(x, Mapping):
        return {key: _stacked(value) for key, value in x.items()}
    return np.array(x, object) if _are_texts(x) else x


def _mapped(source: Any, run: Callable[[Any], Any]) -> Any:
    """The source of batches with `run` of each one's x."""

    def numbered(*item: Any) -> Any:
        given: Any = item
        x, y, weights = three_parts(given if len(given) > 1 else given[0])
        parts = (run(_stacked(x)), y, weights)
        return parts[: 3 if weights is not None else 2 if y is not None else 1]

    if isinstance(source, Dataset):
        return source.map(numbered)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        return _Indexed(source, numbered)
    if hasattr(source, "__next__"):
        return map(numbered, source)
    if hasattr(source, "__iter__"):
        return _Iterable(source, numbered)
    raise DataError(
        f"x is a {type(source).__name__}; expected arrays of texts, or what gives "
        "batches of them."
    )


class _Iterable:
    """A source that may be read again and again."""

    def __init__(self, source: Any, func: Callable[..., Any]) -> None:
        self.source, self.func = source, func

    def __iter__(self) -> Iterator[Any]:
        return map(self.func, self.source)


class _Indexed:
    """A source by index; all that it says of itself still holds."""

    def __init__(self, source: Any, func: Callable[..., Any]) -> None:
        self.source, self.func = source, func

    def __getitem__(self, index: int) -> Any:
        return self.func(self.source[index])

    def __len__(self) -> int:
        return len(self.source)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "source":
            raise AttributeError(name)
        return getattr(self.source, name)
