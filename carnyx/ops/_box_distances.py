"""How far apart bounding boxes are: overlaps, and deltas from anchors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from carnyx import config
from carnyx.errors import ArgumentError, ShapeError
from carnyx.ops import numpy as np
from carnyx.ops._boxes import Corners, boxes_rank, convert_format, corners
from carnyx.ops.core import cast, convert_to_tensor
from carnyx.typing import Tensor

# fmt: off
__all__ = [
    "compute_ciou", "compute_iou", "decode_deltas_to_boxes", "encode_box_to_deltas",
]
# fmt: on


def _image_size(shape: Sequence[int] | None) -> tuple[int | None, int | None]:
    return (None, None) if shape is None else (shape[0], shape[1])


def _as_corners(boxes: Tensor, form: str, image_shape: Sequence[int] | None) -> Corners:
    return corners(convert_format(boxes, form, "xyxy", *_image_size(image_shape)))


def _overlap(a: Corners, b: Corners) -> Tensor:
    """The area that two boxes share, in the shape that their edges have together."""
    wide = np.minimum(a.x2, b.x2) - np.maximum(a.x1, b.x1)
    high = np.minimum(a.y2, b.y2) - np.maximum(a.y1, b.y1)
    return np.maximum(wide, 0) * np.maximum(high, 0)


def compute_iou(
    boxes1: Tensor, boxes2: Tensor, bounding_box_format: str,
    use_masking: bool = False, mask_val: int = -1,
    image_shape: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """Intersection over union of every box of one set with every one of another.

    Shapes: (m, 4) or (b, m, 4), (n, 4) or (b, n, 4) -> (m, n) or (b, m, n)

    Args:
        use_masking: put `mask_val` where a box is padding (no coordinate above 0).
        image_shape: (height, width, channels), for relative formats.
    """
    for name, boxes in (("boxes1", boxes1), ("boxes2", boxes2)):
        if boxes_rank(boxes) not in (2, 3):
            raise ShapeError(
                f"compute_iou got {name} of shape {tuple(boxes.shape)}; expected "
                "(boxes, 4) or (batch, boxes, 4)."
            )
    a = _as_corners(boxes1, bounding_box_format, image_shape)
    b = _as_corners(boxes2, bounding_box_format, image_shape)
    across = Corners(*(np.swapaxes(v, -1, -2) for v in b))
    shared = _overlap(a, across)
    union = a.area[..., :, None] + b.area[..., None, :] - shared
    iou = shared / (union + config.epsilon())
    if not use_masking:
        return iou
    padding = np.logical_or(
        np.amax(a.boxes, -1)[..., :, None] < 0, np.amax(b.boxes, -1)[..., None, :] < 0
    )
    return np.where(padding, cast(mask_val, iou.dtype), iou)


def compute_ciou(
    boxes1: Tensor, boxes2: Tensor, bounding_box_format: str,
    image_shape: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """Complete intersection over union, box by box: less for far centres and for other
    proportions.

    Shapes: twice (…, 4) -> (…)

    References: arXiv:1911.08287
    """
    a = _as_corners(boxes1, bounding_box_format, image_shape)
    b = _as_corners(boxes2, bounding_box_format, image_shape)
    tiny = config.epsilon()
    shared = _overlap(a, b)[..., 0]
    (aw, ah), (bw, bh) = ((v.x2 - v.x1, v.y2 - v.y1 + tiny) for v in (a, b))
    union = (aw * ah + bw * bh)[..., 0] - shared + tiny
    iou = shared / (union + tiny)
    wide = np.maximum(a.x2, b.x2) - np.minimum(a.x1, b.x1)
    high = np.maximum(a.y2, b.y2) - np.minimum(a.y1, b.y1)
    diagonal = (wide**2 + high**2)[..., 0] + tiny
    dx, dy = a.x1 + a.x2 - b.x1 - b.x2, a.y1 + a.y2 - b.y1 - b.y2
    distance = ((dx / 2) ** 2 + (dy / 2) ** 2)[..., 0]
    v = 4 / math.pi**2 * (np.arctan(bw / bh) - np.arctan(aw / ah))[..., 0] ** 2
    alpha = v / (v - iou + 1 + tiny)
    return iou - (distance / diagonal + v * alpha)


# ---- boxes as what a detector predicts: deltas from anchors


def _variance(variance: Any) -> Tensor:
    if variance is None:
        return 1.0
    variance = convert_to_tensor(variance, "float32")
    if variance.shape[-1] != 4:
        raise ArgumentError(f"variance got {variance}; expected four numbers.")
    return variance


def _centred(name: str, form: str) -> None:
    if form not in ("center_xywh", "center_yxhw"):
        raise ArgumentError(
            f"{name} got {form!r}; expected 'center_xywh' or 'center_yxhw'."
        )


def encode_box_to_deltas(
    anchors: Tensor, boxes: Tensor, anchor_format: str, box_format: str,
    encoding_format: str = "center_yxhw", variance: Any = None,
    image_shape: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """How far boxes are from anchors: of centres, in sizes of the anchor; of sizes, as
    logarithms; all divided by `variance`.

    Shapes: (n, 4), (…, n, 4) -> (…, n, 4)
    """
    scale = _variance(variance)
    _centred("encoding_format", encoding_format)
    size = _image_size(image_shape)
    a = convert_format(anchors, anchor_format, encoding_format, *size)
    b = convert_format(boxes, box_format, encoding_format, *size)
    least = config.epsilon()
    sizes = np.maximum(a[..., 2:], least)
    moved = (b[..., :2] - a[..., :2]) / sizes
    grown = np.log(np.maximum(b[..., 2:], least) / sizes)
    return np.concatenate([moved, grown], -1) / scale


def decode_deltas_to_boxes(
    anchors: Any, boxes_delta: Any, anchor_format: str, box_format: str,
    encoded_format: str = "center_yxhw", variance: Any = None,
    image_shape: Sequence[int] | None = None,
) -> Any:  # fmt: skip
    """The boxes of deltas, as `encode_box_to_deltas` makes them.

    Args:
        anchors, boxes_delta: tensors, or dicts of them with the same keys.
    """
    if isinstance(anchors, dict) and isinstance(boxes_delta, dict):
        how = (anchor_format, box_format, encoded_format, variance, image_shape)
        return {
            level: decode_deltas_to_boxes(anchor, boxes_delta[level], *how)
            for level, anchor in anchors.items()
        }
    scale = _variance(variance)
    _centred("encoded_format", encoded_format)
    size = _image_size(image_shape)
    a = convert_format(anchors, anchor_format, encoded_format, *size)
    delta = boxes_delta * scale
    centres = delta[..., :2] * a[..., 2:] + a[..., :2]
    box = np.concatenate([centres, np.exp(delta[..., 2:]) * a[..., 2:]], -1)
    return convert_format(box, encoded_format, box_format, *size)
