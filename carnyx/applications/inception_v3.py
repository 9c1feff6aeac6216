"""InceptionV3: branches with windows of several sizes, joined after each block.

References: Szegedy et al. 2016, arXiv:1512.00567
"""

from __future__ import annotations

from typing import TypeAlias

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
from carnyx.applications._parts import channel_axis, layers, normalized
from carnyx.applications.imagenet_utils import decode_predictions as decode_predictions
from carnyx.typing import Tensor

Window: TypeAlias = int | tuple[int, int]
Branch: TypeAlias = tuple[tuple[int, Window], ...]
"""One convolution after another: (filters, window)."""


def conv(
    x: KerasTensor,
    filters: int,
    window: Window,
    strides: int = 1,
    padding: str = "same",
) -> KerasTensor:
    """A convolution, normalized without a scale, and what is above zero."""
    x = layers.Conv2D(
        filters, window, strides=strides, padding=padding, use_bias=False
    )(x)
    return layers.Activation("relu")(normalized(x, scale=False))


def branch(x: KerasTensor, parts: Branch, halved: bool = False) -> KerasTensor:
    """The convolutions of a branch; the last may halve the size."""
    for filters, window in parts[:-1]:
        x = conv(x, filters, window)
    filters, window = parts[-1]
    strides, padding = (2, "valid") if halved else (1, "same")
    return conv(x, filters, window, strides, padding)


def joined(branches: list[KerasTensor], name: str | None) -> KerasTensor:
    """The channels of all branches."""
    return layers.Concatenate(axis=channel_axis(), name=name)(branches)


def max_pool(x: KerasTensor) -> KerasTensor:
    """The largest of 3 × 3, at half the size."""
    return layers.MaxPooling2D(3, strides=2)(x)


def smoothed(x: KerasTensor, filters: int) -> KerasTensor:
    """The mean of 3 × 3, projected."""
    x = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    return conv(x, filters, 1)


def stem(x: KerasTensor) -> KerasTensor:
    """From the image to 192 channels, an eighth of the size."""
    x = conv(x, 32, 3, strides=2, padding="valid")
    x = conv(x, 32, 3, padding="valid")
    x = max_pool(conv(x, 64, 3))
    x = conv(x, 80, 1, padding="valid")
    return max_pool(conv(x, 192, 3, padding="valid"))


def _body(x: KerasTensor, asked: Asked) -> KerasTensor:
    x = stem(x)
    for i, filters in enumerate((32, 64, 64)):
        five, three = ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3))
        x = _block(x, (((64, 1),), five, three), filters, f"mixed{i}")
    x = _halved(x, (((384, 3),), ((64, 1), (96, 3), (96, 3))), "mixed3")
    for i, n in enumerate((128, 160, 160, 192), start=4):
        x = _block(x, _sevens(n), 192, f"mixed{i}")
    seven = ((192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3))
    x = _halved(x, (((192, 1), (320, 3)), seven), "mixed8")
    for i in range(2):
        x = _widest(x, i)
    return x


def _sevens(n: int) -> tuple[Branch, ...]:
    """Windows of 7 × 7 in parts, with n channels between them."""
    wide, high = (1, 7), (7, 1)
    once = ((n, 1), (n, wide), (192, high))
    twice = ((n, 1), (n, high), (n, wide), (n, high), (192, wide))
    return ((192, 1),), once, twice


def _block(
    x: KerasTensor, branches: tuple[Branch, ...], pooled: int, name: str
) -> KerasTensor:
    return joined([*(branch(x, b) for b in branches), smoothed(x, pooled)], name)


def _halved(x: KerasTensor, branches: tuple[Branch, ...], name: str) -> KerasTensor:
    return joined([*(branch(x, b, halved=True) for b in branches), max_pool(x)], name)


def _widest(x: KerasTensor, i: int) -> KerasTensor:
    """The last blocks, whose branches part once more."""
    single = conv(x, 320, 1)
    three = _parted(conv(x, 384, 1), f"mixed9_{i}")
    double = _parted(conv(conv(x, 448, 1), 384, 3), None)
    return joined([single, three, double, smoothed(x, 192)], f"mixed{9 + i}")


def _parted(x: KerasTensor, name: str | None) -> KerasTensor:
    return joined([conv(x, 384, (1, 3)), conv(x, 384, (3, 1))], name)


def preprocess_input(x: Tensor, data_format: str | None = None) -> Tensor:
    """Images with values in 0 … 255, scaled to -1 … 1."""
    return imagenet_utils.preprocess_input(x, data_format, mode="tf")


InceptionV3 = application(
    network,
    Recipe(
        title="InceptionV3",
        name="inception_v3",
        about="""InceptionV3, for images of 299 × 299 pixels.

    Images go through `inception_v3.preprocess_input` first, where the weights are
    published ones.

    References: Szegedy et al. 2016, arXiv:1512.00567""",
        body=_body,
        end=unnamed_pool,
        published=dim_ordering_tf(
            "inception_v3",
            "inception_v3/",
            "9a0d58056eeedaa3f26cb7ebd46da564",
            "bcbd6486424b2319ff4ef7d526e38f63",
        ),
        default_size=299,
        min_size=75,
    ),
)
