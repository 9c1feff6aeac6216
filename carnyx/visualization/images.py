"""Images as arrays that can be drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from carnyx import config
from carnyx.errors import ArgumentError, ShapeError


def batch_of(images: Any, data_format: str | None) -> np.ndarray:
    """Images with their channels last, on the host.

    Shapes: (n, h, w, c), or (n, c, h, w) for "channels_first" -> (n, h, w, c)

    Raises:
        ShapeError: where they are no batch.
    """
    array = np.asarray(images)
    if array.ndim != 4:
        raise ShapeError(
            f"`images` must be a batch of images, of rank 4; got shape {array.shape}."
        )
    return channels_last(array, data_format)


def channels_last(array: np.ndarray, data_format: str | None) -> np.ndarray:
    first = (data_format or config.image_data_format()) == "channels_first"
    return np.moveaxis(array, 1, -1) if first and array.ndim == 4 else array


def as_bytes(images: np.ndarray, value_range: Sequence[float]) -> np.ndarray:
    """Images in 0 … 255, from whatever range they are in.

    >>> as_bytes(np.array([[-1.0, 0.0, 1.0]]), (-1, 1)).tolist()
    [[0, 128, 255]]
    """
    low, high = value_range
    if not low < high:
        raise ArgumentError(f"value_range got {value_range}; expected (low, high).")
    scaled = (np.asarray(images, "float64") - low) * (255 / (high - low))
    return np.clip(np.round(scaled), 0, 255).astype("uint8")


def assumed_range(images: np.ndarray) -> tuple[float, float]:
    """(0, 1) for floats that do not exceed 1, else (0, 255)."""
    small = images.dtype.kind == "f" and images.size and images.max() <= 1
    return (0, 1) if small else (0, 255)
