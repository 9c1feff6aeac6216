"""Hugging Face datasets: columns to read from, or a stream of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from carnyx._data.rows import ColumnRows
from carnyx.errors import DataError

LABELS = ("label", "labels")


def columns(dataset: Any) -> tuple[Any, Any]:
    """`(x, y)`: columns called `label` or `labels` are y, all others x.

    Several columns are a dict; one stands alone.
    """
    parts = _split({n: n for n in dataset.column_names})
    return tuple(_mapped(part, lambda n: ColumnRows.of(dataset, n)) for part in parts)  # type: ignore[return-value]


class HubStream:
    """Batches of an `IterableDataset`; begins again whenever it is iterated over."""

    def __init__(self, dataset: Any, batch_size: int | None) -> None:
        self.dataset = dataset.with_format("numpy")
        self.batch_size = batch_size or 32

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for rows in self.dataset.iter(self.batch_size):
            yield _split(dict(rows))


def _split(by_name: dict[str, Any]) -> tuple[Any, Any]:
    x = {n: v for n, v in by_name.items() if n not in LABELS}
    y = {n: v for n, v in by_name.items() if n in LABELS}
    if not x:
        raise DataError(f"The dataset has only {list(y)}; expected a column besides.")
    return _alone(x), _alone(y)


def _alone(part: dict[str, Any]) -> Any:
    return next(iter(part.values()), None) if len(part) < 2 else part


def _mapped(part: Any, func: Any) -> Any:
    if isinstance(part, dict):
        return {name: func(value) for name, value in part.items()}
    return None if part is None else func(part)
