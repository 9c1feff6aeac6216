"""Small parts of which the networks are made, for both orders of an image's axes."""

from __future__ import annotations

from typing import Any

from carnyx import config
from carnyx import layers as _layers
from carnyx._core.symbol import KerasTensor
from carnyx.errors import ShapeError

# To checkers of types an argument that a layer inherits stands in another place, or is
# unknown: see what they are told in `configurable`.
layers: Any = _layers


def channel_axis() -> int:
    """The axis of the channels of a batch of images."""
    return 1 if config.image_data_format() == "channels_first" else -1


def channels_of(x: KerasTensor) -> int:
    """How many channels a batch of images has; of an image they are known."""
    channels = x.shape[channel_axis()]
    if channels is None:
        raise ShapeError(
            f"The image has the shape {x.shape}; expected to know its channels."
        )
    return channels


def sizes_of(x: KerasTensor) -> tuple[int | None, int | None]:
    """Height and width of a batch of images."""
    height, width = x.shape[2:] if channel_axis() == 1 else x.shape[1:3]
    return height, width


def normalized(x: KerasTensor, name: str | None = None, **options: Any) -> KerasTensor:
    """Batch normalization of the channels."""
    return layers.BatchNormalization(axis=channel_axis(), name=name, **options)(x)


def divisible(channels: float, by: int = 8, least: float = 0.9) -> int:
    """The nearest multiple, at least one, and no less than that share of the number."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < least * channels else rounded


def strided_padding(x: KerasTensor, kernel_size: int) -> tuple:
    """The padding with which a valid convolution of stride 2 halves the size.

    At an even size one less before than after, as TensorFlow pads. An unknown size is
    taken for an even one, as in Keras.
    """
    less = [1 - (size or 0) % 2 for size in sizes_of(x)]
    half = kernel_size // 2
    return ((half - less[0], half), (half - less[1], half))
