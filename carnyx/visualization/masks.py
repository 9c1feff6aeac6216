"""Segmentation masks laid over images, a colour for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from carnyx.errors import ArgumentError, ArgumentTypeError, ShapeError
from carnyx.visualization.images import batch_of, channels_last

_STRIDES = np.array([2**25 - 1, 2**15 - 1, 2**21 - 1])  # colours far from each other


def draw_segmentation_masks(
    images: Any,
    segmentation_masks: Any,
    num_classes: int | None = None,
    color_mapping: Mapping[int, Sequence[int]] | None = None,
    alpha: float = 0.8,
    blend: bool = True,
    ignore_index: int = -1,
    data_format: str | None = None,
) -> np.ndarray:
    """Images in 0 … 255 with the classes of their pixels as colours.

    Shapes: (n, h, w, 3), masks (n, h, w) or (n, h, w, 1) -> uint8 (n, h, w, 3)

    Args:
        num_classes: the classes drawn are 1 … num_classes; None takes those that
            occur. 0 is the background.
        color_mapping: colours of classes; others, and all where it is None, have a
            colour by their number. A colour of 0 colours the background.
        alpha: how much of the colour is seen, where it is blended.
        blend: False covers the image.
        ignore_index: a class that is not drawn.

    Raises:
        TypeError: where masks are no integers.

    >>> image, mask = np.zeros((1, 2, 2, 3)), np.array([[[0, 1], [0, 0]]])
    >>> drawn = draw_segmentation_masks(image, mask, color_mapping={1: (200, 0, 50)})
    >>> drawn[0, 0].tolist()
    [[0, 0, 0], [160, 0, 40]]
    """
    if not 0 <= alpha <= 1:
        raise ArgumentError(f"alpha got {alpha!r}; expected a number from 0 to 1.")
    batch = np.asarray(batch_of(images, data_format), "float32")
    masks = _classes(segmentation_masks, batch.shape[:3], data_format)
    last = int(masks.max(initial=0)) if num_classes is None else num_classes
    colours = {i: (i * _STRIDES) % 255 for i in range(1, last + 1)}
    colours |= {i: np.asarray(c) for i, c in (color_mapping or {}).items()}
    out = batch.copy()
    for number, colour in colours.items():
        if number != ignore_index:
            out[masks == number] = colour
    if blend:
        out = np.where((out != batch).any(-1, keepdims=True),
                       batch * (1 - alpha) + out * alpha, batch)  # fmt: skip
    return np.clip(np.round(out), 0, 255).astype("uint8")


def _classes(masks: Any, shape: tuple, data_format: str | None) -> np.ndarray:
    array = channels_last(np.asarray(masks), data_format)
    if array.dtype.kind not in "iub":
        raise ArgumentTypeError(
            f"`segmentation_masks` must be integers; got dtype {array.dtype}."
        )
    array = array[..., 0] if array.ndim == 4 and array.shape[-1] == 1 else array
    if array.shape != shape:
        raise ShapeError(
            f"`segmentation_masks` got shape {np.shape(masks)} for images of shape "
            f"{shape}; expected {shape}, or {(*shape, 1)}."
        )
    return array.astype(int)
