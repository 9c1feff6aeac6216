"""InceptionResNetV2: what the branches of Inception blocks give is added to the input.

References: Szegedy, Ioffe, Vanhoucke, Alemi 2017, arXiv:1602.07261
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
from carnyx.applications._parts import channels_of, layers, normalized
from carnyx.applications.imagenet_utils import decode_predictions as decode_predictions
from carnyx.applications.inception_v3 import (
    Branch,
    branch,
    joined,
    max_pool,
    smoothed,
    stem,
)
from carnyx.configurable import field
from carnyx.layers.base import Layer
from carnyx.typing import Tensor

_BLOCKS: dict[str, tuple[Branch, ...]] = {
    "block35": (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3))),
    "block17": (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1)))),
    "block8": (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1)))),
}


class CustomScaleLayer(Layer):
    """x + scale · y, of a list of two: a sum in which the second counts less.

    Shapes: [(...), (...)] -> (...)
    """

    keras_family = "applications"
    keras_module = "keras.src.applications.inception_resnet_v2"
    keras_registered_name = "CustomScaleLayer"
    scale: float = field()

    def call(self, inputs: list[Tensor]) -> Tensor:
        x, y = inputs
        return x + y * self.scale


def _body(x: KerasTensor, asked: Asked) -> KerasTensor:
    x = stem(x)
    five, three = ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3))
    branches = [branch(x, b) for b in (((96, 1),), five, three)]
    x = joined([*branches, smoothed(x, 64)], "mixed_5b")
    for i in range(1, 11):
        x = _block(x, "block35", i, 0.17)
    x = _halved(x, (((384, 3),), ((256, 1), (256, 3), (384, 3))), "mixed_6a")
    for i in range(1, 21):
        x = _block(x, "block17", i, 0.1)
    double = ((256, 1), (288, 3), (320, 3))
    x = _halved(x, (((256, 1), (384, 3)), ((256, 1), (288, 3)), double), "mixed_7a")
    for i in range(1, 10):
        x = _block(x, "block8", i, 0.2)
    x = _block(x, "block8", 10, 1.0, activated=False)
    x = layers.Conv2D(1536, 1, padding="same", use_bias=False, name="conv_7b")(x)
    x = normalized(x, "conv_7b_bn", scale=False)
    return layers.Activation("relu", name="conv_7b_ac")(x)


def _halved(x: KerasTensor, branches: tuple[Branch, ...], name: str) -> KerasTensor:
    return joined([*(branch(x, b, halved=True) for b in branches), max_pool(x)], name)


def _block(
    x: KerasTensor, kind: str, number: int, scale: float, activated: bool = True
) -> KerasTensor:
    """x + scale · f(x), f of branches that are joined and projected."""
    name = f"{kind}_{number}"
    mixed = joined([branch(x, b) for b in _BLOCKS[kind]], f"{name}_mixed")
    up = layers.Conv2D(channels_of(x), 1, padding="same", name=f"{name}_conv")(mixed)
    x = CustomScaleLayer(scale)([x, up])
    return layers.Activation("relu", name=f"{name}_ac")(x) if activated else x


def preprocess_input(x: Tensor, data_format: str | None = None) -> Tensor:
    """Images with values in 0 … 255, scaled to -1 … 1."""
    return imagenet_utils.preprocess_input(x, data_format, mode="tf")


InceptionResNetV2 = application(
    network,
    Recipe(
        title="InceptionResNetV2",
        name="inception_resnet_v2",
        about="""InceptionResNetV2, for images of 299 × 299 pixels.

    Images go through `inception_resnet_v2.preprocess_input` first, where the weights
    are published ones.

    References: Szegedy, Ioffe, Vanhoucke, Alemi 2017, arXiv:1602.07261""",
        body=_body,
        end=unnamed_pool,
        published=dim_ordering_tf(
            "inception_resnet_v2",
            "inception_resnet_v2/",
            "e693bd0210a403b3192acc6073ad2e96",
            "d19885ff4a710c122648d3b5c3b684e4",
        ),
        default_size=299,
        min_size=75,
    ),
)
