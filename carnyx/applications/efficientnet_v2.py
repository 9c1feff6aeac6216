"""EfficientNetV2: EfficientNet that trains faster, its first blocks fused.

References: Tan, Le 2021, arXiv:2104.00298
"""

from __future__ import annotations

from dataclasses import dataclass

from carnyx._core.symbol import KerasTensor
from carnyx.applications._building import (
    CLASSES,
    IMAGENET,
    STORE,
    Activation,
    Asked,
    Published,
    Recipe,
    application,
    build,
    unchanged,
)
from carnyx.applications._efficient import Network, Row
from carnyx.applications._parts import channel_axis, layers
from carnyx.applications.imagenet_utils import decode_predictions as decode_predictions
from carnyx.models.functional import Functional
from carnyx.typing import PathLike, ShapeLike, Tensor

_MEAN = [0.485, 0.456, 0.406]
_VARIANCE = [0.229**2, 0.224**2, 0.225**2]
_ROWS = {
    "B": (
        Row(3, 1, 32, 16, 1, 1, fused=True),
        Row(3, 2, 16, 32, 4, 2, fused=True),
        Row(3, 2, 32, 48, 4, 2, fused=True),
        Row(3, 3, 48, 96, 4, 2),
        Row(3, 5, 96, 112, 6, 1),
        Row(3, 8, 112, 192, 6, 2),
    ),
    "S": (
        Row(3, 2, 24, 24, 1, 1, fused=True),
        Row(3, 4, 24, 48, 4, 2, fused=True),
        Row(3, 4, 48, 64, 4, 2, fused=True),
        Row(3, 6, 64, 128, 4, 2),
        Row(3, 9, 128, 160, 6, 1),
        Row(3, 15, 160, 256, 6, 2),
    ),
    "M": (
        Row(3, 3, 24, 24, 1, 1, fused=True),
        Row(3, 5, 24, 48, 4, 2, fused=True),
        Row(3, 5, 48, 80, 4, 2, fused=True),
        Row(3, 7, 80, 160, 4, 2),
        Row(3, 14, 160, 176, 6, 1),
        Row(3, 18, 176, 304, 6, 2),
        Row(3, 5, 304, 512, 6, 1),
    ),
    "L": (
        Row(3, 4, 32, 32, 1, 1, fused=True),
        Row(3, 7, 32, 64, 4, 2, fused=True),
        Row(3, 7, 64, 96, 4, 2, fused=True),
        Row(3, 10, 96, 192, 4, 2),
        Row(3, 19, 192, 224, 6, 1),
        Row(3, 25, 224, 384, 6, 2),
        Row(3, 7, 384, 640, 6, 1),
    ),
}


@dataclass(frozen=True)
class _Body:
    """The image scaled, then the network."""

    network: Network
    by_channel: bool  # the B variants know the mean and deviation of each

    def __call__(self, x: KerasTensor, asked: Asked) -> KerasTensor:
        axis = channel_axis()
        if asked.include_preprocessing:
            if self.by_channel and x.shape[axis] == 3:
                x = layers.Rescaling(1 / 255)(x)
                x = layers.Normalization(axis, mean=_MEAN, variance=_VARIANCE)(x)
            else:
                x = layers.Rescaling(1 / 128, offset=-1)(x)
        return self.network.features(x)


def _recipe(
    variant: str, width: float, depth: float, size: int, with_top: str, without: str
) -> Recipe:
    kind = variant[0]
    network = Network(_ROWS[kind], width, depth, 0.2, first=False)
    name = f"efficientnetv2-{variant.lower()}"
    return Recipe(
        title=f"EfficientNetV2{variant}",
        name=name,
        about=f"""EfficientNetV2{variant}, for images of {size} × {size} pixels.

    Images have values in 0 … 255: the first layers scale them, unless
    `include_preprocessing=False`.

    References: Tan, Le 2021, arXiv:2104.00298""",
        body=_Body(network, by_channel=kind == "B"),
        top=network.top,
        published=Published(
            STORE + "efficientnet_v2/",
            (f"{name}.h5", f"{name}_notop.h5"),
            (with_top, without),
        ),
        default_size=size,
    )


def _efficientnet_v2(
    recipe: Recipe,
    /,
    include_top: bool = True,
    weights: PathLike | None = IMAGENET,
    input_tensor: KerasTensor | None = None,
    input_shape: ShapeLike | None = None,
    pooling: str | None = None,
    classes: int = CLASSES,
    classifier_activation: Activation = "softmax",
    include_preprocessing: bool = True,
    name: str | None = None,
) -> Functional:
    """A model by its recipe, in the order of the arguments of this family."""
    asked = Asked(
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        include_preprocessing=include_preprocessing,
        name=name,
    )
    return build(recipe, asked)


def preprocess_input(x: Tensor, data_format: str | None = None) -> Tensor:
    """The images as they are, in 0 … 255: the model has the scaling in its layers."""
    return unchanged(x, data_format)


EfficientNetV2B0 = application(
    _efficientnet_v2,
    _recipe(
        "B0",
        1.0,
        1.0,
        224,
        "21ecbf6da12460d5c40bb2f29ceb2188",
        "893217f2bb855e2983157299931e43ff",
    ),
)
EfficientNetV2B1 = application(
    _efficientnet_v2,
    _recipe(
        "B1",
        1.0,
        1.1,
        240,
        "069f0534ff22adf035c89e2d9547a9dc",
        "0e80663031ca32d657f9caa404b6ec37",
    ),
)
EfficientNetV2B2 = application(
    _efficientnet_v2,
    _recipe(
        "B2",
        1.1,
        1.2,
        260,
        "424e49f28180edbde1e94797771950a7",
        "1dfe2e7a5d45b6632553a8961ea609eb",
    ),
)
EfficientNetV2B3 = application(
    _efficientnet_v2,
    _recipe(
        "B3",
        1.2,
        1.4,
        300,
        "1f1fc43bd98a6e4fd8fdfd551e02c7a0",
        "f6abf7b5849ac99a89b50dd3fd532856",
    ),
)
EfficientNetV2S = application(
    _efficientnet_v2,
    _recipe(
        "S",
        1.0,
        1.0,
        384,
        "e1d88a8495beba45748fedd0cecbe016",
        "af0682fb74e8c54910f2d4393339c070",
    ),
)
EfficientNetV2M = application(
    _efficientnet_v2,
    _recipe(
        "M",
        1.0,
        1.0,
        480,
        "a3bf6aa3276309f4fc6a34aa114c95cd",
        "1b8dc055df72dde80d614482840fe342",
    ),
)
EfficientNetV2L = application(
    _efficientnet_v2,
    _recipe(
        "L",
        1.0,
        1.0,
        480,
        "27e6d408b53c7ebc868fefa357689935",
        "b0b66b5c863aef5b46e8608fe1711615",
    ),
)
