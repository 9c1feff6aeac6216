"""Bounding boxes drawn on images, with the names of their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from carnyx.errors import ArgumentError, ArgumentTypeError
from carnyx.utils.bounding_boxes import convert_format
from carnyx.visualization.images import as_bytes, assumed_range, batch_of

Colour = Sequence[int]
_LETTER = 12  # pixels of a letter at font_scale=1


def draw_bounding_boxes(
    images: Any,
    bounding_boxes: Mapping[str, Any],
    bounding_box_format: str,
    class_mapping: Mapping[int, str] | None = None,
    color: Colour = (128, 128, 128),
    line_thickness: int = 2,
    text_thickness: int = 1,
    font_scale: float = 1.0,
    data_format: str | None = None,
) -> np.ndarray:
    """Images with frames around what boxes say, and names beside them.

    Shapes: (n, h, w, 3) -> uint8 (n, h, w, 3)

    Args:
        images: in 0 … 255, or floats in 0 … 1.
        bounding_boxes: `"boxes"` (n, boxes, 4), `"labels"` (n, boxes), and perhaps
            `"confidences"` (n, boxes). A box with label -1 is none.
        bounding_box_format: see `utils.bounding_boxes.convert_format`.
        class_mapping: the names of labels. Names are written with Pillow.

    Raises:
        TypeError, ValueError: where images or boxes have another form.

    >>> boxes = {"boxes": [[[1, 1, 5, 5]]], "labels": [[0]]}
    >>> drawn = draw_bounding_boxes(np.zeros((1, 8, 8, 3)), boxes, "xyxy")
    >>> drawn[0, 1, 3].tolist(), drawn[0, 7, 7].tolist()
    ([128, 128, 128], [0, 0, 0])
    """
    batch = batch_of(images, data_format)
    boxes = _corners(bounding_boxes, bounding_box_format, *batch.shape[1:3])
    drawn = as_bytes(batch, assumed_range(batch))
    labels = np.asarray(bounding_boxes["labels"]).astype(int)
    confidences = bounding_boxes.get("confidences")
    for i, image in enumerate(drawn):
        for j, (box, label) in enumerate(zip(boxes[i], labels[i], strict=True)):
            if label == -1:
                continue
            _frame(image, box, color, line_thickness)
            if label in (class_mapping or {}):
                text = class_mapping[int(label)]  # type: ignore[index]
                if confidences is not None:
                    text = f"{text} | {float(confidences[i][j]):.2f}"
                _write(image, text, box, color, font_scale, text_thickness)
    return drawn


def _corners(boxes: Any, format: str, height: int, width: int) -> np.ndarray:
    """Boxes as whole pixels, left, top, right, bottom."""
    if not isinstance(boxes, Mapping):
        raise ArgumentTypeError(
            f"`bounding_boxes` should be a dict; got {type(boxes).__name__}."
        )
    if not {"boxes", "labels"} <= set(boxes):
        raise ArgumentError(
            "`bounding_boxes` should have the keys 'boxes' and 'labels'; got "
            f"{sorted(boxes)}."
        )
    wanted = np.asarray(boxes["boxes"], "float32")
    return np.asarray(convert_format(wanted, format, "xyxy", height, width)).astype(int)


def _frame(image: np.ndarray, box: np.ndarray, color: Colour, thickness: int) -> None:
    """The four sides, of which what lies outside of the image is left out."""
    before = (thickness - 1) // 2
    spans = [(edge - before, edge - before + thickness) for edge in box]
    (l0, l1), (t0, t1), (r0, r1), (b0, b1) = spans
    for rows, columns in (
        ((t0, t1), (l0, r1)), ((b0, b1), (l0, r1)),
        ((t0, b1), (l0, l1)), ((t0, b1), (r0, r1)),
    ):  # fmt: skip
        image[_part(rows), _part(columns)] = color


def _part(span: tuple[int, int]) -> slice:
    return slice(max(span[0], 0), max(span[1], 0))


def _write(
    image: np.ndarray, text: str, box: np.ndarray, color: Colour, scale: float,
    thickness: int,
) -> None:  # fmt: skip
    """A name above the box, or inside of it where there is no room above."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise ImportError(
            "Names of classes are written with Pillow: pip install 'carnyx[images]'."
        ) from error
    size = _LETTER * scale
    canvas = Image.fromarray(image)
    left, top = int(box[0]), int(box[1])
    at = (left, top - size - 4) if top - size - 4 > 0 else (left + 3, top + 3)
    font = ImageFont.load_default(size)
    bold = max(thickness - 1, 0)
    ImageDraw.Draw(canvas).text(at, text, tuple(color), font, stroke_width=bold)
    image[...] = np.asarray(canvas)
