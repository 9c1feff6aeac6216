"""Models that are trained on many devices: ResNet-50, a decoder of 7e9 parameters."""

from __future__ import annotations

from typing import Any


def resnet50(k: Any, size: int = 224, classes: int = 1000) -> Any:
    """ResNet-50, version 1.5: strides are in the 3x3 convolutions.

    References: He et al. 2016, arXiv:1512.03385
    """

    def convolve(x: Any, filters: int, window: int, strides: int = 1) -> Any:
        x = k.layers.Conv2D(filters, window, strides, "same", use_bias=False)(x)
        return k.layers.BatchNormalization()(x)

    def block(x: Any, filters: int, strides: int) -> Any:
        y = k.layers.ReLU()(convolve(x, filters, 1))
        y = k.layers.ReLU()(convolve(y, filters, 3, strides))
        y = convolve(y, 4 * filters, 1)
        if x.shape[-1] != 4 * filters:
            x = convolve(x, 4 * filters, 1, strides)
        return k.layers.ReLU()(k.layers.Add()([x, y]))

    inputs = k.Input((size, size, 3))
    x = k.layers.ReLU()(convolve(inputs, 64, 7, 2))
    x = k.layers.MaxPooling2D(3, 2, "same")(x)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for i in range(blocks):
            x = block(x, 64 << stage, 2 if stage and not i else 1)
    x = k.layers.GlobalAveragePooling2D()(x)
    outputs = k.layers.Dense(classes, dtype="float32")(x)
    return k.Model(inputs, outputs, name="resnet50")


def decoder(
    k: Any,
    depth: int = 34,
    width: int = 4096,
    heads: int = 32,
    length: int = 2048,
    vocabulary: int = 32_000,
) -> Any:
    """A transformer decoder with normalization first; 7.1e9 parameters.

    References: Radford et al. 2019, Language Models are Unsupervised Multitask Learners
    """
    inputs = k.Input((length,), dtype="int32")
    x = k.layers.Embedding(vocabulary, width)(inputs)
    for _ in range(depth):
        y = k.layers.LayerNormalization()(x)
        attention = k.layers.MultiHeadAttention(heads, width // heads, use_bias=False)
        x = x + attention(y, y, use_causal_mask=True)
        y = k.layers.LayerNormalization()(x)
        y = k.layers.Dense(4 * width, "gelu", use_bias=False)(y)
        x = x + k.layers.Dense(width, use_bias=False)(y)
    x = k.layers.LayerNormalization()(x)
    outputs = k.layers.Dense(vocabulary, use_bias=False)(x)
    return k.Model(inputs, outputs, name=f"decoder_{depth}x{width}")
