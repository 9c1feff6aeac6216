"""Xception: the Inception idea to its end, all of separable convolutions.

References: Chollet 2017, arXiv:1610.02357
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
    unnamed_pool,
)
from carnyx.applications._parts import layers, normalized
from carnyx.applications.imagenet_utils import decode_predictions as decode_predictions
from carnyx.typing import Tensor


def _body(x: KerasTensor, asked: Asked) -> KerasTensor:
    x = _conv(x, "block1_conv1", 32, strides=2)
    x = _conv(x, "block1_conv2", 64)
    x = _halving(x, 2, (128, 128), starts_with_relu=False)
    x = _halving(x, 3, (256, 256))
    x = _halving(x, 4, (728, 728))
    for block in range(5, 13):
        x = layers.Add()([_separable(x, block, (728, 728, 728)), x])
    x = _halving(x, 13, (728, 1024))
    for place, filters in enumerate((1536, 2048), start=1):
        name = f"block14_sepconv{place}"
        x = _relu(_sepconv(x, name, filters), name)
    return x


def _conv(x: KerasTensor, name: str, filters: int, strides: int = 1) -> KerasTensor:
    x = layers.Conv2D(filters, 3, strides=strides, use_bias=False, name=name)(x)
    return _relu(normalized(x, f"{name}_bn"), name)


def _relu(x: KerasTensor, name: str) -> KerasTensor:
    return layers.Activation("relu", name=f"{name}_act")(x)


def _sepconv(x: KerasTensor, name: str, filters: int) -> KerasTensor:
    x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    return normalized(x, f"{name}_bn")


def _separable(
    x: KerasTensor, block: int, filters: tuple[int, ...], starts_with_relu: bool = True
) -> KerasTensor:
    for place, channels in enumerate(filters, start=1):
        name = f"block{block}_sepconv{place}"
        if place > 1 or starts_with_relu:
            x = _relu(x, name)
        x = _sepconv(x, name, channels)
    return x


def _halving(
    x: KerasTensor, block: int, filters: tuple[int, ...], starts_with_relu: bool = True
) -> KerasTensor:
    """Half the size, beside a projection of the input."""
    shortcut = layers.Conv2D(filters[-1], 1, strides=2, padding="same", use_bias=False)(
        x
    )
    shortcut = normalized(shortcut)
    x = _separable(x, block, filters, starts_with_relu)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"block{block}_pool")(x)
    return layers.Add()([x, shortcut])


def preprocess_input(x: Tensor, data_format: str | None = None) -> Tensor:
    """Images with values in 0 … 255, scaled to -1 … 1."""
    return imagenet_utils.preprocess_input(x, data_format, mode="tf")


Xception = application(
    network,
    Recipe(
        title="Xception",
        name="xception",
        about="""Xception, for images of 299 × 299 pixels.

    Images go through `xception.preprocess_input` first, where the weights are published
    ones.

    References: Chollet 2017, arXiv:1610.02357""",
        body=_body,
        end=unnamed_pool,
        published=dim_ordering_tf(
            "xception",
            "xception/",
            "0a58e3b7378bc2990ea3b43d5981f1f6",
            "b0042744bf5b25fce3cb969f33bebb97",
        ),
        default_size=299,
        min_size=71,
    ),
)
