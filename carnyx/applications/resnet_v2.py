"""ResNetV2: residual blocks whose sums nothing touches, normalized before each use.

References: He, Zhang, Ren, Sun 2016, arXiv:1603.05027
"""

from __future__ import annotations

from carnyx._core.symbol import KerasTensor
from carnyx.applications import imagenet_utils
from carnyx.applications._building import Recipe, application, network
from carnyx.applications._parts import layers
from carnyx.applications._residual import norm_relu, padded, recipe
from carnyx.applications.imagenet_utils import decode_predictions as decode_predictions
from carnyx.typing import Tensor


def _block(
    x: KerasTensor, name: str, filters: int, stage: int, number: int, count: int
) -> KerasTensor:
    """x + f(norm(x)), f with a bottleneck; the last of a stage halves the size."""
    stride = 2 if number == count and stage < 5 else 1
    ready = norm_relu(x, f"{name}_preact_bn", f"{name}_preact_relu")
    shortcut = x
    if number == 1:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(
            ready
        )
    elif stride > 1:
        shortcut = layers.MaxPooling2D(1, strides=stride)(x)
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(ready)
    x = norm_relu(x, f"{name}_1_bn", f"{name}_1_relu")
    x = layers.Conv2D(
        filters, 3, strides=stride, use_bias=False, name=f"{name}_2_conv"
    )(padded(x, 1, f"{name}_2_pad"))
    x = norm_relu(x, f"{name}_2_bn", f"{name}_2_relu")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    return layers.Add(name=f"{name}_out")([shortcut, x])


def _recipe(depth: int, blocks: tuple[int, ...], *hashes: str) -> Recipe:
    about = f"""ResNet with {depth} layers of weights, normalized before each use.

    Images go through `resnet_v2.preprocess_input` first, where the weights are
    published ones.

    References: He, Zhang, Ren, Sun 2016, arXiv:1603.05027"""
    with_top, without = hashes
    return recipe(f"ResNet{depth}V2", about, blocks, _block, True, (with_top, without))


def preprocess_input(x: Tensor, data_format: str | None = None) -> Tensor:
    """Images with values in 0 … 255, scaled to -1 … 1."""
    return imagenet_utils.preprocess_input(x, data_format, mode="tf")


ResNet50V2 = application(
    network,
    _recipe(
        50,
        (3, 4, 6, 3),
        "3ef43a0b657b3be2300d5770ece849e0",
        "fac2f116257151a9d068a22e544a4917",
    ),
)
ResNet101V2 = application(
    network,
    _recipe(
        101,
        (3, 4, 23, 3),
        "6343647c601c52e1368623803854d971",
        "c0ed64b8031c3730f411d2eb4eea35b5",
    ),
)
ResNet152V2 = application(
    network,
    _recipe(
        152,
        (3, 8, 36, 3),
        "a49b44d1979771252814e80f8ec446f9",
        "ed17cf2e0169df9d443503ef94b23b33",
    ),
)
