"""Small transformations of host arrays: one-hot labels, padding, unit norms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from carnyx import ops
from carnyx._core.memory import ensure_room
from carnyx._core.scope import is_tracer
from carnyx._core.symbol import is_symbolic
from carnyx.errors import ArgumentError
from carnyx.typing import DTypeLike, Tensor


def to_categorical(x: Any, num_classes: int | None = None) -> Any:
    """Integer labels as one-hot rows.

    Shapes: (…,) or (…, 1) -> (…, num_classes); a tensor gives a tensor

    >>> to_categorical([0, 2]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if is_symbolic(x) or is_tracer(x):  # no values to look at
        if num_classes is None:
            raise ArgumentError(
                "to_categorical of a symbolic or traced tensor needs num_classes."
            )
        single = x.ndim > 1 and x.shape[-1] == 1
        return ops.one_hot(ops.squeeze(x, -1) if single else x, num_classes)
    labels = np.asarray(x, dtype="int64")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    count = int(labels.max()) + 1 if num_classes is None else num_classes
    if labels.size and (labels.min() < 0 or labels.max() >= count):
        raise ArgumentError(
            f"to_categorical got labels from {labels.min()} to {labels.max()}; "
            f"expected 0 to {count - 1} for num_classes={count}."
        )
    if isinstance(x, jax.Array):
        return ops.one_hot(labels, count)
    ensure_room((*labels.shape, count), "float64", "One-hot rows")
    rows = np.zeros((*labels.shape, count))
    np.put_along_axis(rows, labels[..., None], 1.0, axis=-1)
    return rows


def normalize(x: object, axis: int = -1, order: int = 2) -> Any:
    """`x` divided by its norm along an axis; rows of zeros stay.

    >>> normalize(np.array([[3.0, 4.0]])).tolist()
    [[0.6, 0.8]]
    """
    if not isinstance(x, np.ndarray):
        return ops.normalize(x, axis=axis, order=order)
    norm = np.linalg.norm(x, order, axis, keepdims=True)
    return x / np.where(norm == 0, 1, norm)


def pad_sequences(
    sequences: Sequence[Sequence[Any]],
    maxlen: int | None = None,
    dtype: DTypeLike = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: object = 0.0,
) -> np.ndarray:
    """Sequences of differing lengths as one array.

    Shapes: n sequences of (length, …) -> (n, maxlen, …)

    Args:
        maxlen: by default the longest length.
        padding, truncating: `"pre"` or `"post"`: at which end.

    >>> pad_sequences([[1], [2, 3, 4]], maxlen=2).tolist()
    [[0, 1], [3, 4]]
    """
    for name, choice in (("padding", padding), ("truncating", truncating)):
        if choice not in ("pre", "post"):
            raise ArgumentError(f"{name} got {choice!r}; expected 'pre' or 'post'.")
    if not isinstance(sequences, Iterable):
        raise ArgumentError(
            f"pad_sequences got {sequences!r}; expected a sequence of sequences."
        )
    rows = []
    for i, sequence in enumerate(sequences):
        if not hasattr(sequence, "__len__"):
            raise ArgumentError(
                f"pad_sequences got {sequence!r} at place {i}; expected a sequence of "
                "sequences."
            )
        rows.append(np.asarray(sequence))
    length = max((len(r) for r in rows), default=0) if maxlen is None else maxlen
    shape = next((r.shape[1:] for r in rows if len(r)), ())
    kind = np.dtype(dtype)
    if isinstance(value, str) and kind.kind != "O" and kind.kind != "U":
        raise ArgumentError(f"pad_sequences got value={value!r} for dtype {dtype}.")
    if kind.kind in "US" and kind.itemsize == 0:  # text of any length: of the longest
        dtype = np.result_type(np.asarray(value).astype(kind), *rows)
    if kind.kind in "biuf":
        ensure_room((len(rows), length, *shape), kind, "Padded rows")
    out = np.full((len(rows), length, *shape), value, dtype=dtype)
    for i, row in enumerate(rows):
        if len(row) == 0 or length == 0:
            continue
        if row.shape[1:] != shape:
            raise ArgumentError(
                f"Sequence {i} has elements of shape {row.shape[1:]}; the first one's "
                f"are {shape}."
            )
        kept = row[-length:] if truncating == "pre" else row[:length]
        if padding == "pre":
            out[i, length - len(kept) :] = kept
        else:
            out[i, : len(kept)] = kept
    return out


def pack_x_y_sample_weight(
    x: object, y: object = None, sample_weight: Tensor | None = None
) -> Any:
    """The tuple that a data source gives for a batch.

    >>> pack_x_y_sample_weight(1, 2)
    (1, 2)
    """
    if y is None:
        return x if isinstance(x, list | tuple) is False else (x,)
    return (x, y) if sample_weight is None else (x, y, sample_weight)
