"""ResNet: blocks that learn what to add to their input.

References: He, Zhang, Ren, Sun 2016, arXiv:1512.03385
"""

from __future__ import annotations

from carnyx._core.symbol import KerasTensor
from carnyx.applications import imagenet_utils
from carnyx.applications._building import Recipe, application, network
from carnyx.applications._parts import layers, normalized
from carnyx.applications._residual import EPSILON, norm_relu, recipe
from carnyx.applications.imagenet_utils import decode_predictions as decode_predictions
from carnyx.typing import Tensor


def _block(
    x: KerasTensor, name: str, filters: int, stage: int, number: int, count: int
) -> KerasTensor:
    """relu(x + f(x)), f with a bottleneck; the first of a stage projects x, too."""
    stride = 2 if number == 1 and stage > 2 else 1
    shortcut = x
    if number == 1:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(
            x
        )
        shortcut = normalized(shortcut, f"{name}_0_bn", epsilon=EPSILON)
    x = layers.Conv2D(filters, 1, strides=stride, name=f"{name}_1_conv")(x)
    x = norm_relu(x, f"{name}_1_bn", f"{name}_1_relu")
    x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_2_conv")(x)
    x = norm_relu(x, f"{name}_2_bn", f"{name}_2_relu")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    x = normalized(x, f"{name}_3_bn", epsilon=EPSILON)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def _recipe(depth: int, blocks: tuple[int, ...], *hashes: str) -> Recipe:
    about = f"""ResNet with {depth} layers of weights.

    Images go through `resnet.preprocess_input` first, where the weights are published
    ones.

    References: He, Zhang, Ren, Sun 2016, arXiv:1512.03385"""
    with_top, without = hashes
    return recipe(f"ResNet{depth}", about, blocks, _block, False, (with_top, without))


def preprocess_input(x: Tensor, data_format: str | None = None) -> Tensor:
    """Images with values in 0 … 255, RGB to BGR, less the mean of ImageNet."""
    return imagenet_utils.preprocess_input(x, data_format, mode="caffe")


ResNet50 = application(
    network,
    _recipe(
        50,
        (3, 4, 6, 3),
        "2cb95161c43110f7111970584f804107",
        "4d473c1dd8becc155b73f8504c6f6626",
    ),
)
ResNet101 = application(
    network,
    _recipe(
        101,
        (3, 4, 23, 3),
        "f1aeb4b969a6efcfb50fad2f0c20cfc5",
        "88cf7a10940856eca736dc7b7e228a21",
    ),
)
ResNet152 = application(
    network,
    _recipe(
        152,
        (3, 8, 36, 3),
        "100835be76be38e30d865e96f2aaae62",
        "ee4c566cf9a93f14d82f913c2dc6dd0c",
    ),
)
