"""What the residual networks share: stem, stages, ends.

Layers are named as in the published files: `conv<stage>_block<block>_<place>_<kind>`.
"""

from __future__ import annotations

from typing import Protocol

from carnyx._core.symbol import KerasTensor
from carnyx.applications._building import Asked, Recipe, dim_ordering_tf
from carnyx.applications._parts import layers, normalized

EPSILON = 1.001e-5  # of all batch normalizations in these networks
_FILTERS = (64, 128, 256, 512)


class Block(Protocol):
    """One residual block; `number` is its place in a stage of `count`, from 1."""

    def __call__(
        self,
        x: KerasTensor,
        name: str,
        filters: int,
        stage: int,
        number: int,
        count: int,
    ) -> KerasTensor: ...


def norm_relu(x: KerasTensor, norm: str, relu: str) -> KerasTensor:
    """Batch normalization, then what is above zero."""
    x = normalized(x, norm, epsilon=EPSILON)
    return layers.Activation("relu", name=relu)(x)


def padded(x: KerasTensor, by: int, name: str | None = None) -> KerasTensor:
    """Zeros around the image."""
    return layers.ZeroPadding2D(by, name=name)(x)


def recipe(
    title: str,
    about: str,
    blocks: tuple[int, ...],
    block: Block,
    preactivated: bool,
    hashes: tuple[str, str],
) -> Recipe:
    """A residual network of four stages with so many blocks."""

    def body(x: KerasTensor, asked: Asked) -> KerasTensor:
        x = layers.Conv2D(64, 7, strides=2, name="conv1_conv")(
            padded(x, 3, "conv1_pad")
        )
        if not preactivated:
            x = norm_relu(x, "conv1_bn", "conv1_relu")
        x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(
            padded(x, 1, "pool1_pad")
        )
        for stage, (count, filters) in enumerate(zip(blocks, _FILTERS), start=2):
            for n in range(1, count + 1):
                x = block(x, f"conv{stage}_block{n}", filters, stage, n, count)
        return norm_relu(x, "post_bn", "post_relu") if preactivated else x

    name = title.lower()
    return Recipe(
        title=title,
        name=name,
        about=about,
        body=body,
        published=dim_ordering_tf(name, "resnet/", *hashes),
    )
