"""Many images in one picture, by Matplotlib."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from carnyx.errors import ArgumentError
from carnyx.visualization.boxes import Colour, draw_bounding_boxes
from carnyx.visualization.images import as_bytes, batch_of, channels_last
from carnyx.visualization.masks import draw_segmentation_masks

_BYTES = (0, 255)


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Galleries are drawn by Matplotlib: pip install 'carnyx[plot]'."
        ) from error
    return plt


def plot_image_gallery(
    images: Any,
    y_true: Any = None,
    y_pred: Any = None,
    label_map: Mapping[int, str] | None = None,
    rows: int | None = None,
    cols: int | None = None,
    value_range: Sequence[float] = _BYTES,
    scale: float = 2,
    path: str | os.PathLike[str] | None = None,
    show: bool | None = None,
    transparent: bool = True,
    dpi: float = 60,
    legend_handles: Sequence[Any] | None = None,
    data_format: str | None = None,
) -> Any:
    """Show images beside each other, with their labels above.

    Args:
        images: (n, h, w, c), in `value_range`.
        y_true, y_pred: labels (n,), whose names `label_map` has.
        rows, cols: by default about as many rows as columns, with room for all.
        scale: inches of an image.
        path: save the picture there instead of showing it.
        show: by default where there is no `path`.

    Returns:
        The figure, where it was neither saved nor shown; else None.

    Raises:
        ArgumentError: for labels without names, or a path that is to be shown, too.
    """
    if path is not None and show:
        raise ArgumentError("Give a path to save the gallery, or show=True, not both.")
    if (y_true is not None or y_pred is not None) and label_map is None:
        raise ArgumentError("Labels (y_true, y_pred) need their names: label_map.")
    batch = as_bytes(batch_of(images, data_format), value_range)
    rows, cols = _grid(len(batch), rows, cols)
    plt = _pyplot()
    figure, axes = plt.subplots(
        rows, cols, figsize=(cols * scale, rows * scale), squeeze=False,
        layout="tight", frameon=False,
    )  # fmt: skip
    if legend_handles is not None:
        figure.legend(handles=list(legend_handles), loc="lower center")
    for i, axis in enumerate(axes.flat):
        axis.axis("off")
        if i < len(batch):
            axis.imshow(batch[i] if batch.shape[-1] > 1 else batch[i, ..., 0], "gray")
            axis.set_title(_title(i, y_true, y_pred, label_map or {}), fontsize=8)
    return _given_away(plt, figure, path, show, transparent, dpi)


def _grid(count: int, rows: int | None, cols: int | None) -> tuple[int, int]:
    """Rows and columns with room for all, where they are not both given.

    >>> _grid(5, None, None), _grid(5, 1, None), _grid(5, None, 2)
    ((3, 2), (1, 5), (3, 2))
    """
    if rows is None:
        rows = math.ceil(count / cols) if cols else math.ceil(math.sqrt(count))
    return rows, cols or math.ceil(count / rows)


def _title(i: int, y_true: Any, y_pred: Any, names: Mapping[int, str]) -> str:
    parts = []
    for word, labels in (("Label", y_true), ("Pred", y_pred)):
        if labels is not None and i < len(labels):
            parts.append(f"{word}: {names.get(int(np.asarray(labels)[i]), 'Unknown')}")
    return "  ".join(parts)


def _given_away(
    plt: Any, figure: Any, path: Any, show: bool | None, transparent: bool, dpi: float
) -> Any:
    if path is not None:
        figure.savefig(
            path, pad_inches=0, bbox_inches="tight", transparent=transparent, dpi=dpi
        )
    elif show or show is None:
        plt.show()
    else:
        return figure
    plt.close(figure)
    return None


def plot_bounding_box_gallery(
    images: Any,
    bounding_box_format: str,
    y_true: Mapping[str, Any] | None = None,
    y_pred: Mapping[str, Any] | None = None,
    value_range: Sequence[float] = _BYTES,
    true_color: Colour = (0, 188, 212),
    pred_color: Colour = (255, 235, 59),
    line_thickness: int = 2,
    font_scale: float = 1.0,
    text_thickness: int | None = None,
    class_mapping: Mapping[int, str] | None = None,
    ground_truth_mapping: Mapping[int, str] | None = None,
    prediction_mapping: Mapping[int, str] | None = None,
    legend: bool = False,
    legend_handles: Sequence[Any] | None = None,
    rows: int | None = None,
    cols: int | None = None,
    data_format: str | None = None,
    **kwargs: Any,
) -> Any:
    """Show images with the boxes that they have and those that were predicted.

    Args:
        y_true, y_pred: boxes and labels, as for `draw_bounding_boxes`.
        class_mapping: names of labels; `ground_truth_mapping` and
            `prediction_mapping` win for their own.
        text_thickness: that of the lines by default.
        legend: say which colour is which.
        kwargs: of `plot_image_gallery`.
    """
    if legend and legend_handles:
        raise ArgumentError("Give legend=True or legend_handles, not both.")
    drawn = as_bytes(batch_of(images, data_format), value_range)
    for boxes, color, names in (
        (y_true, true_color, ground_truth_mapping or class_mapping),
        (y_pred, pred_color, prediction_mapping or class_mapping),
    ):
        if boxes is not None:
            drawn = draw_bounding_boxes(
                drawn, boxes, bounding_box_format, names, color, line_thickness,
                text_thickness or line_thickness, font_scale, "channels_last",
            )  # fmt: skip
    if legend:
        legend_handles = _legend({"Ground Truth": true_color, "Prediction": pred_color})
    return plot_image_gallery(
        drawn, rows=rows, cols=cols, legend_handles=legend_handles,
        data_format="channels_last", **kwargs,
    )  # fmt: skip


def _legend(colours: Mapping[str, Colour]) -> list[Any]:
    _pyplot()
    from matplotlib.patches import Patch

    return [
        Patch(color=tuple(part / 255 for part in colour), label=name)  # type: ignore
        for name, colour in colours.items()
    ]


def plot_segmentation_mask_gallery(
    images: Any,
    num_classes: int,
    value_range: Sequence[float] = _BYTES,
    y_true: Any = None,
    y_pred: Any = None,
    color_mapping: Mapping[int, Sequence[int]] | None = None,
    blend: bool = True,
    alpha: float = 0.8,
    ignore_index: int = -1,
    data_format: str | None = None,
    **kwargs: Any,
) -> Any:
    """Show each image, and beside it its mask and the predicted one.

    Args:
        y_true, y_pred: masks, as for `draw_segmentation_masks`.
        kwargs: of `plot_image_gallery`.
    """
    batch = as_bytes(batch_of(images, data_format), value_range)
    columns = [batch]
    for masks in (y_true, y_pred):
        if masks is not None:
            masks = channels_last(np.asarray(masks), data_format).astype(int)
            columns.append(
                draw_segmentation_masks(
                    batch,
                    masks,
                    num_classes,
                    color_mapping,
                    alpha,
                    blend,
                    ignore_index,
                    "channels_last",
                )  # fmt: skip
            )
    gallery = np.stack(columns, 1).reshape(-1, *batch.shape[1:])
    return plot_image_gallery(
        gallery, rows=len(batch), cols=len(columns), data_format="channels_last",
        **kwargs,
    )  # fmt: skip
