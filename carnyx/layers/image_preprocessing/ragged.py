"""Bounding boxes in lists: as many for each image as there are."""

from __future__ import annotations

from typing import Any

import numpy as np

from carnyx.errors import ArgumentError


def dense_boxes(args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    """Arguments of a call, with lists of boxes in a first one as arrays."""
    data = args[0] if args else None
    if not isinstance(data, dict):
        return args, kwargs
    boxes = data.get("bounding_boxes")
    if not isinstance(boxes, dict) or not isinstance(boxes.get("boxes"), list):
        return args, kwargs
    return ({**data, "bounding_boxes": _dense(boxes)}, *args[1:]), kwargs


def _dense(given: dict[str, Any]) -> dict[str, Any]:
    """Images with fewer boxes get boxes of zeros, which have the label -1."""
    boxes, labels = given["boxes"], given.get("labels")
    if not isinstance(labels, list) or len(labels) != len(boxes):
        raise ArgumentError(
            "bounding_boxes has a list of boxes; expected a list of as many labels, "
            f"got {labels!r}."
        )
    several = [np.asarray(b, "float32").reshape(-1, 4) for b in boxes]
    if np.ndim(boxes[0]) == 1 and np.size(boxes[0]) == 4:  # of one image
        whole = np.asarray(boxes, "float32"), np.asarray(labels)
        return given | dict(zip(("boxes", "labels"), whole, strict=True))
    most = max(map(len, several))
    dense = np.zeros((len(boxes), most, 4), "float32")
    classes = np.full((len(boxes), most), -1, "int32")
    for row, (some, words) in enumerate(zip(several, labels, strict=True)):
        if len(words) != len(some):
            raise ArgumentError(
                f"Image {row} has {len(some)} bounding boxes and {len(words)} labels."
            )
        dense[row, : len(some)], classes[row, : len(some)] = some, words
    return given | {"boxes": dense, "labels": classes}
