"""MobileNetV2: blocks that are narrow at their ends and wide within.

References: Sandler et al. 2018, arXiv:1801.04381
"""

from __future__ import annotations

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
    classifier,
    unnamed_pool,
)
from carnyx.applications._parts import (
    channels_of,
    divisible,
    layers,
    normalized,
    strided_padding,
)
from carnyx.applications.imagenet_utils import decode_predictions as decode_predictions
from carnyx.applications.mobilenet import rows_of
from carnyx.errors import ArgumentError
from carnyx.models.functional import Functional
from carnyx.typing import PathLike, ShapeLike, Tensor

SIZES = (96, 128, 160, 192, 224)  # of the images of the published weights
WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
_STAGES = (  # channels, blocks, stride of the first
    (16, 1, 1),
    (24, 2, 2),
    (32, 3, 2),
    (64, 4, 2),
    (96, 3, 1),
    (160, 3, 2),
    (320, 1, 1),
)


def MobileNetV2(
    input_shape: ShapeLike | None = None,
    alpha: float = 1.0,
    include_top: bool = True,
    weights: PathLike | None = IMAGENET,
    input_tensor: KerasTensor | None = None,
    pooling: str | None = None,
    classes: int = CLASSES,
    classifier_activation: Activation = "softmax",
    name: str | None = None,
) -> Functional:
    """MobileNetV2, whose number of channels is `alpha` times that of the paper.

    Images go through `mobilenet_v2.preprocess_input` first, where the weights are
    published ones: those are for alpha 0.35, 0.5, 0.75, 1, 1.3 and 1.4, and squares of
    96, 128, 160, 192 and 224 pixels.

    References: Sandler et al. 2018, arXiv:1801.04381

    Args:
        input_shape: of an image, without the batch.
        alpha: width, as a share of the paper's.
        include_top: with the classifier.
        weights: `"imagenet"`, which are downloaded once; None for random ones; or the
            path of a file.
        input_tensor: a symbolic tensor to take as the image.
        pooling: without the top: `"avg"`, `"max"`, or None for the feature maps.
        classes: how many the classifier knows.
        classifier_activation: of the classifier; None for logits.
        name: default `mobilenetv2_<alpha>_<height>`.
    """

    def body(x: KerasTensor, asked: Asked) -> KerasTensor:
        x = layers.Conv2D(
            divisible(32 * alpha),
            3,
            strides=2,
            padding="same",
            use_bias=False,
            name="Conv1",
        )(x)
        x = _norm_relu(x, "bn_Conv1", "Conv1_relu")
        number = 0
        for filters, count, stride in _STAGES:
            for i in range(count):
                x = _block(x, number, alpha, filters, stride if i == 0 else 1)
                number += 1
        last = divisible(1280 * alpha) if alpha > 1 else 1280
        x = layers.Conv2D(last, 1, use_bias=False, name="Conv_1")(x)
        return _norm_relu(x, "Conv_1_bn", "out_relu")

    if weights == IMAGENET and alpha not in WIDTHS:
        raise ArgumentError(
            f"alpha got {alpha}; the weights 'imagenet' are for {[*WIDTHS]}. Take "
            "weights=None for others."
        )
    image = input_shape
    if image is None and include_top and isinstance(input_tensor, KerasTensor):
        image = input_tensor.shape[1:]
    rows = rows_of(image, SIZES, include_top, weights)
    recipe = Recipe(
        title="MobileNetV2",
        name=f"mobilenetv2_{alpha:0.2f}_{rows}",
        about="",
        body=body,
        top=_top,
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


def _published(alpha: float, rows: int | None) -> Published:
    start = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{rows}"
    return Published(STORE + "mobilenet_v2/", (f"{start}.h5", f"{start}_no_top.h5"))


def _top(x: KerasTensor, asked: Asked) -> KerasTensor:
    return classifier(x, asked, pool=None)


def _norm(x: KerasTensor, name: str) -> KerasTensor:
    return normalized(x, name, momentum=0.999)


def _norm_relu(x: KerasTensor, norm: str, relu: str) -> KerasTensor:
    return layers.ReLU(6.0, name=relu)(_norm(x, norm))


def _block(
    x: KerasTensor, number: int, alpha: float, filters: int, stride: int
) -> KerasTensor:
    """x + f(x) where the shapes agree; f widens, looks around, and narrows."""
    name = f"block_{number}_" if number else "expanded_conv_"
    inputs, channels = x, channels_of(x)
    narrow = divisible(int(filters * alpha))
    if number:
        x = _pointwise(x, 6 * channels, f"{name}expand")
        x = _norm_relu(x, f"{name}expand_BN", f"{name}expand_relu")
    if stride == 2:
        x = layers.ZeroPadding2D(strided_padding(x, 3), name=f"{name}pad")(x)
    x = layers.DepthwiseConv2D(
        3,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        name=f"{name}depthwise",
    )(x)
    x = _norm_relu(x, f"{name}depthwise_BN", f"{name}depthwise_relu")
    x = _norm(_pointwise(x, narrow, f"{name}project"), f"{name}project_BN")
    if channels == narrow and stride == 1:
        return layers.Add(name=f"{name}add")([inputs, x])
    return x


def _pointwise(x: KerasTensor, filters: int, name: str) -> KerasTensor:
    return layers.Conv2D(filters, 1, padding="same", use_bias=False, name=name)(x)


def preprocess_input(x: Tensor, data_format: str | None = None) -> Tensor:
    """Images with values in 0 … 255, scaled to -1 … 1."""
    return imagenet_utils.preprocess_input(x, data_format, mode="tf")
