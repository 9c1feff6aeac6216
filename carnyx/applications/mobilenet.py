"""MobileNet: convolutions in two parts, one channel at a time and one pixel at a time.

References: Howard et al. 2017, arXiv:1704.04861
"""

from __future__ import annotations

import warnings

from carnyx import config
from carnyx._core.symbol import KerasTensor
from carnyx.applications import imagenet_utils
from carnyx.applications._building import (
    CLASSES,
    IMAGENET,
    STORE,
    Activation,
    Asked,
    Published,
    Recipe,
    build,
    unnamed_pool,
)
from carnyx.applications._parts import layers, normalized
from carnyx.applications.imagenet_utils import decode_predictions as decode_predictions
from carnyx.errors import ArgumentError
from carnyx.models.functional import Functional
from carnyx.typing import PathLike, ShapeLike, Tensor

SIZES = (128, 160, 192, 224)  # of the images of the published weights
_WIDTHS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}  # as their files say it
_FILTERS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
_HALVED = (2, 4, 6, 12)  # blocks with a stride of 2


def MobileNet(
    input_shape: ShapeLike | None = None,
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 1e-3,
    include_top: bool = True,
    weights: PathLike | None = IMAGENET,
    input_tensor: KerasTensor | None = None,
    pooling: str | None = None,
    classes: int = CLASSES,
    classifier_activation: Activation = "softmax",
    name: str | None = None,
) -> Functional:
    """MobileNet, whose number of channels is `alpha` times that of the paper.

    Images go through `mobilenet.preprocess_input` first, where the weights are
    published ones: those are for alpha 0.25, 0.5, 0.75 and 1, and squares of 128, 160,
    192 and 224 pixels.

    References: Howard et al. 2017, arXiv:1704.04861

    Args:
        input_shape: of an image, without the batch.
        alpha: width, as a share of the paper's.
        depth_multiplier: outputs of the depthwise convolutions for each input.
        dropout: rate before the classifier.
        include_top: with the classifier.
        weights: `"imagenet"`, which are downloaded once; None for random ones; or the
            path of a file.
        input_tensor: a symbolic tensor to take as the image.
        pooling: without the top: `"avg"`, `"max"`, or None for the feature maps.
        classes: how many the classifier knows.
        classifier_activation: of the classifier; None for logits.
        name: default `mobilenet_<alpha>_<height>`.
    """

    def body(x: KerasTensor, asked: Asked) -> KerasTensor:
        x = layers.Conv2D(
            int(32 * alpha), 3, strides=2, padding="same", use_bias=False, name="conv1"
        )(x)
        x = _norm_relu(x, "conv1")
        for number, filters in enumerate(_FILTERS, start=1):
            x = _block(x, number, int(filters * alpha), depth_multiplier)
        return x

    def top(x: KerasTensor, asked: Asked) -> KerasTensor:
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Conv2D(asked.classes, 1, padding="same", name="conv_preds")(x)
        x = layers.Reshape((asked.classes,), name="reshape_2")(x)
        return layers.Activation(asked.classifier_activation, name="predictions")(x)

    if weights == IMAGENET and (depth_multiplier != 1 or alpha not in _WIDTHS):
        raise ArgumentError(
            f"alpha and depth_multiplier got {alpha} and {depth_multiplier}; the "
            f"weights 'imagenet' are for alpha {[*_WIDTHS]} and depth_multiplier 1. "
            "Take weights=None for others."
        )
    rows = rows_of(input_shape, SIZES, include_top, weights)
    recipe = Recipe(
        title="MobileNet",
        name=f"mobilenet_{alpha:0.2f}_{rows}",
        about="",
        body=body,
        top=top,
        end=unnamed_pool,
        published=_published(alpha, rows),
        default_size=rows if rows in SIZES else 224,
    )
    asked = Asked(
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
    )
    return build(recipe, asked)


def rows_of(
    input_shape: ShapeLike | None,
    sizes: tuple[int, ...],
    include_top: bool,
    weights: PathLike | None,
) -> int | None:
    """The height of the images, or of those that the published weights are for."""
    rows, columns = (224, 224) if include_top else (None, None)
    if input_shape is not None and len(input_shape) == 3:
        first = config.image_data_format() == "channels_first"
        rows, columns = input_shape[1:] if first else input_shape[:2]
    if weights == IMAGENET and (rows != columns or rows not in sizes):
        warnings.warn(
            f"input_shape got {input_shape}; the weights 'imagenet' are for squares of "
            f"{sizes} pixels. Those for 224 are loaded.",
            stacklevel=3,
        )
        return 224
    return rows


def _published(alpha: float, rows: int | None) -> Published:
    start = f"mobilenet_{_WIDTHS.get(alpha)}_{rows}_tf"
    return Published(STORE + "mobilenet/", (f"{start}.h5", f"{start}_no_top.h5"))


def _norm_relu(x: KerasTensor, name: str) -> KerasTensor:
    x = normalized(x, f"{name}_bn")
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def _block(
    x: KerasTensor, number: int, filters: int, depth_multiplier: int
) -> KerasTensor:
    """A channel at a time, then a pixel at a time."""
    halved = number in _HALVED
    if halved:
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{number}")(x)
    x = layers.DepthwiseConv2D(
        3,
        strides=2 if halved else 1,
        padding="valid" if halved else "same",
        depth_multiplier=depth_multiplier,
        use_bias=False,
        name=f"conv_dw_{number}",
    )(x)
    x = _norm_relu(x, f"conv_dw_{number}")
    x = layers.Conv2D(
        filters, 1, padding="same", use_bias=False, name=f"conv_pw_{number}"
    )(x)
    return _norm_relu(x, f"conv_pw_{number}")


def preprocess_input(x: Tensor, data_format: str | None = None) -> Tensor:
    """Images with values in 0 … 255, scaled to -1 … 1."""
    return imagenet_utils.preprocess_input(x, data_format, mode="tf")
