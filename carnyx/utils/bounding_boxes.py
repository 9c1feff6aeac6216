"""`keras.utils.bounding_boxes`: rectangles in images, written, moved and compared."""

from carnyx.ops._box_distances import compute_ciou as compute_ciou
from carnyx.ops._box_distances import compute_iou as compute_iou
from carnyx.ops._box_distances import decode_deltas_to_boxes as decode_deltas_to_boxes
from carnyx.ops._box_distances import encode_box_to_deltas as encode_box_to_deltas
from carnyx.ops._boxes import affine_transform as affine_transform
from carnyx.ops._boxes import clip_to_image_size as clip_to_image_size
from carnyx.ops._boxes import convert_format as convert_format
from carnyx.ops._boxes import crop as crop
from carnyx.ops._boxes import pad as pad

__all__ = [
    "affine_transform",
    "clip_to_image_size",
    "compute_ciou",
    "compute_iou",
    "convert_format",
    "crop",
    "decode_deltas_to_boxes",
    "encode_box_to_deltas",
    "pad",
]
