"""Bounding boxes: rectangles as four numbers, in nine formats.

All mathematics is done on corners (x1, y1, x2, y2) in pixels; the formats are ways of
writing them. Functions take a tensor of boxes (…, 4), or a dict with `"boxes"` and
perhaps `"labels"`, and give the same back.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from carnyx.errors import ArgumentError, ShapeError, UnsupportedError
from carnyx.ops import numpy as np
from carnyx.ops.core import cast, convert_to_tensor
from carnyx.typing import DTypeLike, Tensor

__all__ = ["affine_transform", "clip_to_image_size", "convert_format", "crop", "pad"]

_PIXELS = ("xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw")
FORMATS = (*_PIXELS, *(f"rel_{f}" for f in _PIXELS[:-1]))


class Corners(NamedTuple):
    """The edges of boxes, each of shape (…, 1)."""

    x1: Tensor
    y1: Tensor
    x2: Tensor
    y2: Tensor

    @property
    def boxes(self) -> Tensor:
        return np.concatenate(list(self), -1)

    @property
    def area(self) -> Tensor:
        return ((self.x2 - self.x1) * (self.y2 - self.y1))[..., 0]


def corners(boxes: Tensor) -> Corners:
    """Of boxes in the format "xyxy"."""
    return Corners(*_split(boxes))


def _split(boxes: Tensor) -> list[Tensor]:
    return [boxes[..., i : i + 1] for i in range(4)]


def _read(boxes: Tensor, form: str) -> Corners:
    a, b, c, d = _split(boxes)
    if form == "yxyx":
        return Corners(b, a, d, c)
    if form == "xywh":
        return Corners(a, b, a + c, b + d)
    if form == "center_yxhw":
        a, b, c, d = b, a, d, c
    if form.startswith("center"):
        return Corners(a - c / 2, b - d / 2, a + c / 2, b + d / 2)
    return Corners(a, b, c, d)


def _written(at: Corners, form: str) -> Tensor:
    wide, high = at.x2 - at.x1, at.y2 - at.y1
    if form == "yxyx":
        at = Corners(at.y1, at.x1, at.y2, at.x2)
    elif form == "xywh":
        at = Corners(at.x1, at.y1, wide, high)
    elif form == "center_xywh":
        at = Corners(at.x1 + wide / 2, at.y1 + high / 2, wide, high)
    elif form == "center_yxhw":
        at = Corners(at.y1 + high / 2, at.x1 + wide / 2, high, wide)
    return at.boxes


def _known(name: str, form: str) -> str:
    if not isinstance(form, str) or form.lower() not in FORMATS:
        raise ArgumentError(
            f"{name} got {form!r}; expected one of {', '.join(map(repr, FORMATS))}."
        )
    return form.lower()


def check_size(height: Tensor | None, width: Tensor | None, why: str) -> None:
    """Both sizes must be known, since …"""
    if height is None or width is None:
        raise ArgumentError(f"Got height={height}, width={width}; {why} needs both.")


def convert_format(
    boxes: Any,
    source: str,
    target: str,
    height: Tensor | None = None,
    width: Tensor | None = None,
    dtype: DTypeLike = "float32",
) -> Any:
    """Boxes written in another format.

    Args:
        boxes: (…, 4), or a dict with `"boxes"`.
        source, target: `"xyxy"`, `"yxyx"`, `"xywh"`, `"center_xywh"`,
            `"center_yxhw"`; all but the last also relative to the image's size, as
            `"rel_xyxy"`.
        height, width: of the image; needed between relative formats and others.

    >>> import numpy as np
    >>> convert_format(np.array([[1, 2, 5, 8]]), "xyxy", "xywh").tolist()
    [[1.0, 2.0, 4.0, 6.0]]
    """
    if isinstance(boxes, dict):
        inner = convert_format(boxes["boxes"], source, target, height, width, dtype)
        return boxes | {"boxes": inner}
    source, target = _known("source", source), _known("target", target)
    if boxes_rank(boxes) < 1 or boxes.shape[-1] != 4:
        raise ShapeError(f"Got boxes of shape {tuple(boxes.shape)}; expected (…, 4).")
    boxes = cast(boxes, dtype)
    if source == target:
        return boxes
    to, frm = target.startswith("rel_"), source.startswith("rel_")
    if to or frm:
        check_size(height, width, f"converting from {source!r} to {target!r}")
    at = _read(boxes, source.removeprefix("rel_"))
    if to != frm:
        wide, high = cast(width, dtype), cast(height, dtype)
        sizes = (wide, high, wide, high)
        pairs = zip(at, sizes, strict=True)
        at = Corners(*(v * n if frm else v / n for v, n in pairs))
    return _written(at, target.removeprefix("rel_"))


def boxes_rank(boxes: Tensor) -> int:
    """How many axes boxes have."""
    return len(boxes.shape)


def _only_corners(form: str, *allowed: str) -> None:
    if form not in allowed:
        raise UnsupportedError(
            f"bounding_box_format got {form!r}; expected {' or '.join(allowed)}. "
            "Convert the boxes with convert_format() before."
        )


def clip_to_image_size(
    bounding_boxes: dict[str, Any],
    height: Tensor | None = None,
    width: Tensor | None = None,
    bounding_box_format: str = "xyxy",
) -> dict[str, Any]:
    """Boxes cut at the image's border; labels of those that are empty become -1.

    Args:
        bounding_boxes: a dict with `"boxes"`, and `"labels"` if there are any.
    """
    _only_corners(bounding_box_format, "xyxy", "rel_xyxy")
    boxes = convert_to_tensor(bounding_boxes["boxes"])
    if bounding_box_format == "rel_xyxy":
        wide = high = 1
    else:
        check_size(height, width, "the format 'xyxy'")
        wide, high = cast(width, boxes.dtype), cast(height, boxes.dtype)
    at = clipped(corners(boxes), high, wide)
    result = bounding_boxes | {"boxes": at.boxes}
    labels = bounding_boxes.get("labels")
    if labels is not None:
        result["labels"] = np.where(at.area > 0, labels, -1)
    return result


def clipped(at: Corners, height: Tensor, width: Tensor) -> Corners:
    """No edge beyond (0, 0) or (width, height)."""
    return Corners(
        *(np.clip(v, 0, n) for v, n in zip(at, (width, height) * 2, strict=True))
    )


def around(x: Tensor, y: Tensor) -> Tensor:
    """The smallest boxes around points whose last axis is the point."""
    low_high = [np.amin(x, -1), np.amin(y, -1), np.amax(x, -1), np.amax(y, -1)]
    return np.stack(low_high, -1)


def points(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of the four corners, on a new last axis."""
    x1, y1, x2, y2 = (boxes[..., i] for i in range(4))
    return np.stack([x1, x2, x2, x1], -1), np.stack([y1, y1, y2, y2], -1)


def affine_transform(
    boxes: Tensor,
    angle: Tensor,
    translate_x: Tensor,
    translate_y: Tensor,
    scale: Tensor,
    shear_x: Tensor,
    shear_y: Tensor,
    height: Tensor,
    width: Tensor,
    center_x: Tensor | None = None,
    center_y: Tensor | None = None,
    bounding_box_format: str = "xyxy",
) -> Tensor:
    """The boxes around boxes that were rotated, sheared, scaled and moved.

    Shapes: (b, boxes, 4), and (b,) for all that says how -> (b, boxes, 4)

    Args:
        angle, shear_x, shear_y: in degrees.
        translate_x, translate_y, center_x, center_y: as fractions of the image's size;
            the centre is that of the image by default.
    """
    _only_corners(bounding_box_format, "xyxy")
    degrees = math.pi / 180
    turn, sx, sy = (-degrees * convert_to_tensor(v) for v in (angle, shear_x, shear_y))
    cx = (0.5 if center_x is None else center_x) * (width - 1)
    cy = (0.5 if center_y is None else center_y) * (height - 1)
    a = np.cos(turn - sy) / np.cos(sy)
    b = a * np.tan(sx) + np.sin(turn)
    c = -np.sin(turn - sy) / np.cos(sy)
    d = np.cos(turn) - c * np.tan(sx)
    x, y = points(cast(boxes, a.dtype))
    x = x - _each(cx - translate_x * (width - 1))
    y = y - _each(cy - translate_y * (height - 1))
    new_x = _each(d * scale) * x - _each(b * scale) * y + cx
    new_y = _each(a * scale) * y - _each(c * scale) * x + cy
    return around(new_x, new_y)


def _each(value: Tensor) -> Tensor:
    """A number for each image, against (b, boxes, points)."""
    value = convert_to_tensor(value)
    return value[:, None, None] if boxes_rank(value) else value


def crop(
    boxes: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor,
    bounding_box_format: str = "xyxy",
) -> Tensor:  # fmt: skip
    """Boxes in an image of which (height, width) pixels after (top, left) are kept."""
    _only_corners(bounding_box_format, "xyxy")
    at = corners(convert_to_tensor(boxes))
    moved = Corners(at.x1 - left, at.y1 - top, at.x2 - left, at.y2 - top)
    return clipped(moved, height, width).boxes


def pad(
    boxes: Tensor, top: Tensor, left: Tensor, height: Tensor | None = None,
    width: Tensor | None = None, bounding_box_format: str = "xyxy",
) -> Tensor:  # fmt: skip
    """Boxes in an image that got `top` rows above and `left` columns before it."""
    _only_corners(bounding_box_format, "xyxy")
    at = corners(convert_to_tensor(boxes))
    return Corners(at.x1 + left, at.y1 + top, at.x2 + left, at.y2 + top).boxes
