"""DenseNet: every layer of a block sees the features of all before it.

References: Huang, Liu, van der Maaten, Weinberger 2017, arXiv:1608.06993
"""

from __future__ import annotations

from carnyx._core.symbol import KerasTensor
from carnyx.applications import imagenet_utils
from carnyx.applications._building import (
    Asked,
    Recipe,
    application,
    dim_ordering_tf,
    network,
)
from carnyx.applications._parts import channel_axis, channels_of, layers
from carnyx.applications._residual import norm_relu, padded
from carnyx.applications.imagenet_utils import decode_predictions as decode_predictions
from carnyx.typing import Tensor

_GROWTH = 32  # features that a layer adds


def _stem(x: KerasTensor) -> KerasTensor:
    x = layers.Conv2D(64, 7, strides=2, use_bias=False, name="conv1_conv")(padded(x, 3))
    x = norm_relu(x, "conv1_bn", "conv1_relu")
    return layers.MaxPooling2D(3, strides=2, name="pool1")(padded(x, 1))


def _layer(x: KerasTensor, name: str) -> KerasTensor:
    """The features so far, and `_GROWTH` that are made of them."""
    new = norm_relu(x, f"{name}_0_bn", f"{name}_0_relu")
    new = layers.Conv2D(4 * _GROWTH, 1, use_bias=False, name=f"{name}_1_conv")(new)
    new = norm_relu(new, f"{name}_1_bn", f"{name}_1_relu")
    new = layers.Conv2D(
        _GROWTH, 3, padding="same", use_bias=False, name=f"{name}_2_conv"
    )(new)
    return layers.Concatenate(axis=channel_axis(), name=f"{name}_concat")([x, new])


def _transition(x: KerasTensor, name: str) -> KerasTensor:
    """Half the features, at half the size."""
    x = norm_relu(x, f"{name}_bn", f"{name}_relu")
    half = channels_of(x) // 2
    x = layers.Conv2D(half, 1, use_bias=False, name=f"{name}_conv")(x)
    return layers.AveragePooling2D(2, strides=2, name=f"{name}_pool")(x)


def _recipe(depth: int, blocks: tuple[int, ...], *hashes: str) -> Recipe:
    def body(x: KerasTensor, asked: Asked) -> KerasTensor:
        x = _stem(x)
        for stage, count in enumerate(blocks, start=2):
            if stage > 2:
                x = _transition(x, f"pool{stage - 1}")
            for i in range(1, count + 1):
                x = _layer(x, f"conv{stage}_block{i}")
        return norm_relu(x, "bn", "relu")

    name = f"densenet{depth}"
    return Recipe(
        title=f"DenseNet{depth}",
        name=name,
        about=f"""DenseNet with {depth} layers of weights, for channels last.

    Images go through `densenet.preprocess_input` first, where the weights are published
    ones.

    References: Huang, Liu, van der Maaten, Weinberger 2017, arXiv:1608.06993""",
        body=body,
        published=dim_ordering_tf(name, "densenet/", *hashes),
        channels_last_only=True,
    )


def preprocess_input(x: Tensor, data_format: str | None = None) -> Tensor:
    """Images with values in 0 … 255, to 0 … 1, by mean and deviation of ImageNet."""
    return imagenet_utils.preprocess_input(x, data_format, mode="torch")


DenseNet121 = application(
    network,
    _recipe(
        121,
        (6, 12, 24, 16),
        "9d60b8095a5708f2dcce2bca79d332c7",
        "30ee3e1110167f948a6b9946edeeb738",
    ),
)
DenseNet169 = application(
    network,
    _recipe(
        169,
        (6, 12, 32, 32),
        "d699b8f76981ab1b30698df4c175e90b",
        "b8c4d4c20dd625c148057b9ff1c1176b",
    ),
)
DenseNet201 = application(
    network,
    _recipe(
        201,
        (6, 12, 48, 32),
        "1ceb130c1ea1b78c3bf6114dbdfd8807",
        "c13680b51ded0fb44dff2d8f86ac8bb1",
    ),
)
