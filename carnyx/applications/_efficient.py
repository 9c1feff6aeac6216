"""What EfficientNet and EfficientNetV2 share: blocks, scaling, top."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from carnyx._core.symbol import KerasTensor
from carnyx.applications._building import Asked, predictions
from carnyx.applications._parts import (
    channel_axis,
    channels_of,
    divisible,
    layers,
    normalized,
    strided_padding,
)
from carnyx.initializers import VarianceScaling

_DROPPED = 0.2  # rate at which the last block is left out in training


class Row(NamedTuple):
    """Blocks one after the other, of which the first has the stride."""

    window: int
    count: int
    filters_in: int
    filters: int
    widening: int
    strides: int
    fused: bool = False  # one convolution in place of two parts, and no attention


@dataclass(frozen=True)
class Network:
    """A network of such rows, scaled.

    Args:
        rows: at width and depth 1.
        width, depth: by how much there are more channels, and more blocks in a row.
        dropout: rate before the classifier.
        first: as the first generation: strides are padded by hand.
    """

    rows: tuple[Row, ...]
    width: float
    depth: float
    dropout: float
    first: bool

    def features(self, x: KerasTensor) -> KerasTensor:
        """From the scaled image to the last features."""
        filters = self.scaled(self.rows[0].filters_in)
        padding = "same"
        if self.first:
            padding = "valid"
            x = layers.ZeroPadding2D(strided_padding(x, 3), name="stem_conv_pad")(x)
        x = _conv(x, filters, 3, "stem_conv", strides=2, padding=padding)
        x = self.norm_act(x, "stem_bn", "stem_activation")
        for name, row, rate in self.blocks():
            x = self.block(x, name, row, rate)
        x = _conv(x, self.scaled(1280), 1, "top_conv")
        return self.norm_act(x, "top_bn", "top_activation")

    def scaled(self, filters: int) -> int:
        """So many channels at this width; the second generation rounds down further."""
        return divisible(filters * self.width, least=0.9 if self.first else 0)

    def top(self, x: KerasTensor, asked: Asked) -> KerasTensor:
        """Mean of the feature maps, some of it dropped in training, then one layer."""
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dropout(self.dropout, name="top_dropout")(x)
        first_values = VarianceScaling(
            scale=1 / 3, mode="fan_out", distribution="uniform"
        )
        return predictions(x, asked, kernel_initializer=first_values)

    def blocks(self) -> Iterator[tuple[str, Row, float]]:
        """Name, numbers and dropout of each block; later ones are dropped oftener."""
        counts = [math.ceil(self.depth * row.count) for row in self.rows]
        total = sum(counts) if self.first else sum(row.count for row in self.rows)
        done = 0
        for i, (row, count) in enumerate(zip(self.rows, counts), start=1):
            filters_in, filters = (
                self.scaled(n) for n in (row.filters_in, row.filters)
            )
            row = row._replace(filters_in=filters_in, filters=filters)
            for j in range(count):
                yield f"block{i}{chr(ord('a') + j)}_", row, _DROPPED * done / total
                row = row._replace(filters_in=filters, strides=1)
                done += 1

    def block(self, x: KerasTensor, name: str, row: Row, rate: float) -> KerasTensor:
        """x + f(x) where the shapes agree; f widens, looks around, and narrows."""
        y = (self.fused if row.fused else self.in_parts)(x, name, row)
        if row.strides != 1 or row.filters_in != row.filters:
            return y
        if rate:
            y = layers.Dropout(rate, (None, 1, 1, 1), name=f"{name}drop")(y)
        return layers.Add(name=f"{name}add")([y, x])

    def in_parts(self, x: KerasTensor, name: str, row: Row) -> KerasTensor:
        """A pixel at a time, a channel at a time, and back."""
        if row.widening != 1:
            x = _conv(x, row.filters_in * row.widening, 1, f"{name}expand_conv")
            x = self.norm_act(x, f"{name}expand_bn", f"{name}expand_activation")
        padding = "same"
        if self.first and row.strides == 2:
            padding = "valid"
            padder = layers.ZeroPadding2D(
                strided_padding(x, row.window), name=f"{name}dwconv_pad"
            )
            x = padder(x)
        x = layers.DepthwiseConv2D(
            row.window,
            strides=row.strides,
            padding=padding,
            use_bias=False,
            depthwise_initializer=_first_values(),
            name=f"{name}dwconv" if self.first else f"{name}dwconv2",
        )(x)
        x = self.norm_act(x, f"{name}bn", f"{name}activation")
        x = _attended(x, row.filters_in // 4, name)
        return self.norm(
            _conv(x, row.filters, 1, f"{name}project_conv"), f"{name}project_bn"
        )

    def fused(self, x: KerasTensor, name: str, row: Row) -> KerasTensor:
        """The two parts as one convolution."""
        expand, project, size = f"{name}expand", f"{name}project", row.window
        if row.widening == 1:
            x = _conv(x, row.filters, size, f"{project}_conv", strides=row.strides)
            return self.norm_act(x, f"{project}_bn", f"{project}_activation")
        wide = row.filters_in * row.widening
        x = _conv(x, wide, size, f"{expand}_conv", strides=row.strides)
        x = self.norm_act(x, f"{expand}_bn", f"{expand}_activation")
        return self.norm(_conv(x, row.filters, 1, f"{project}_conv"), f"{project}_bn")

    def norm(self, x: KerasTensor, name: str) -> KerasTensor:
        """Batch normalization; the second generation forgets sooner."""
        return normalized(x, name, momentum=0.99 if self.first else 0.9)

    def norm_act(self, x: KerasTensor, norm: str, activation: str) -> KerasTensor:
        """Batch normalization, then swish."""
        return layers.Activation("swish", name=activation)(self.norm(x, norm))


def _first_values() -> VarianceScaling:
    """A new one for each convolution: one alone would give all the same numbers."""
    return VarianceScaling(scale=2.0, mode="fan_out", distribution="truncated_normal")


def _conv(
    x: KerasTensor, filters: int, window: int, name: str, **options: Any
) -> KerasTensor:
    options = {"padding": "same", "use_bias": False} | options
    return layers.Conv2D(
        filters, window, kernel_initializer=_first_values(), name=name, **options
    )(x)


def _attended(x: KerasTensor, narrow: int, name: str) -> KerasTensor:
    """Each channel by a weight that the means of all give (squeeze and excitation).

    References: Hu, Shen, Sun 2018, arXiv:1709.01507
    """
    axis = channel_axis()
    filters = channels_of(x)
    shape = (filters, 1, 1) if axis == 1 else (1, 1, filters)
    weight = layers.GlobalAveragePooling2D(name=f"{name}se_squeeze")(x)
    weight = layers.Reshape(shape, name=f"{name}se_reshape")(weight)
    for units, activation, place in (
        (max(1, narrow), "swish", "reduce"),
        (filters, "sigmoid", "expand"),
    ):
        weight = _conv(
            weight,
            units,
            1,
            f"{name}se_{place}",
            activation=activation,
            use_bias=True,
        )
    return layers.Multiply(name=f"{name}se_excite")([x, weight])
