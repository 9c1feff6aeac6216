"""`keras.visualization`: boxes and masks on images, and galleries of them."""

from carnyx.visualization.boxes import draw_bounding_boxes as draw_bounding_boxes
from carnyx.visualization.galleries import (
    plot_bounding_box_gallery as plot_bounding_box_gallery,
)
from carnyx.visualization.galleries import plot_image_gallery as plot_image_gallery
from carnyx.visualization.galleries import (
    plot_segmentation_mask_gallery as plot_segmentation_mask_gallery,
)
from carnyx.visualization.masks import (
    draw_segmentation_masks as draw_segmentation_masks,
)

__all__ = [
    "draw_bounding_boxes",
    "draw_segmentation_masks",
    "plot_bounding_box_gallery",
    "plot_image_gallery",
    "plot_segmentation_mask_gallery",
]
