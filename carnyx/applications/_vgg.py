"""VGG: blocks of 3×3 convolutions, each with half the size and twice the channels.

References: Simonyan, Zisserman 2015, arXiv:1409.1556
"""

from __future__ import annotations

from carnyx._core.symbol import KerasTensor
from carnyx.applications import imagenet_utils
from carnyx.applications._building import (
    Asked,
    Recipe,
    dim_ordering_tf,
    predictions,
    unnamed_pool,
)
from carnyx.applications._parts import layers
from carnyx.typing import Tensor

_FILTERS = (64, 128, 256, 512, 512)


def recipe(depth: int, convolutions: tuple[int, ...], *hashes: str) -> Recipe:
    """VGG with so many convolutions in its five blocks."""

    def body(x: KerasTensor, asked: Asked) -> KerasTensor:
        for i, (count, filters) in enumerate(zip(convolutions, _FILTERS), start=1):
            x = _block(x, f"block{i}", count, filters)
        return x

    name = f"vgg{depth}"
    return Recipe(
        title=f"VGG{depth}",
        name=name,
        about=f"""VGG with {depth} layers of weights.

    Images go through `{name}.preprocess_input` first, where the weights are published
    ones.

    References: Simonyan, Zisserman 2015, arXiv:1409.1556""",
        body=body,
        top=_top,
        end=unnamed_pool,
        published=dim_ordering_tf(name, f"{name}/", *hashes),
    )


def _block(x: KerasTensor, name: str, count: int, filters: int) -> KerasTensor:
    for i in range(1, count + 1):
        x = layers.Conv2D(
            filters, 3, activation="relu", padding="same", name=f"{name}_conv{i}"
        )(x)
    return layers.MaxPooling2D(2, strides=2, name=f"{name}_pool")(x)


def _top(x: KerasTensor, asked: Asked) -> KerasTensor:
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(4096, activation="relu", name="fc1")(x)
    x = layers.Dense(4096, activation="relu", name="fc2")(x)
    return predictions(x, asked)


def preprocess_input(x: Tensor, data_format: str | None = None) -> Tensor:
    """Images with values in 0 … 255, RGB to BGR, less the mean of ImageNet."""
    return imagenet_utils.preprocess_input(x, data_format, mode="caffe")
