"""EfficientNet: one small network, grown in width, depth and resolution together.

References: Tan, Le 2019, arXiv:1905.11946
"""

from __future__ import annotations

import math

from carnyx._core.symbol import KerasTensor
from carnyx.applications._building import (
    IMAGENET,
    Asked,
    Published,
    Recipe,
    application,
    network,
    unchanged,
)
from carnyx.applications._efficient import Network, Row
from carnyx.applications._parts import channel_axis, layers
from carnyx.applications.imagenet_utils import decode_predictions as decode_predictions
from carnyx.typing import Tensor

_FOLDER = "https://storage.googleapis.com/keras-applications/"
_DEVIATION = (0.229, 0.224, 0.225)
_ROWS = (
    Row(3, 1, 32, 16, 1, 1),
    Row(3, 2, 16, 24, 6, 2),
    Row(5, 2, 24, 40, 6, 2),
    Row(3, 3, 40, 80, 6, 2),
    Row(5, 3, 80, 112, 6, 1),
    Row(5, 4, 112, 192, 6, 2),
    Row(3, 1, 192, 320, 6, 1),
)


def _recipe(
    variant: str,
    width: float,
    depth: float,
    size: int,
    dropout: float,
    with_top: str,
    without: str,
) -> Recipe:
    network = Network(_ROWS, width, depth, dropout, first=True)

    def body(x: KerasTensor, asked: Asked) -> KerasTensor:
        x = layers.Rescaling(1 / 255)(x)
        x = layers.Normalization(axis=channel_axis())(x)
        if asked.weights == IMAGENET:
            # The files have the deviation as the variance, of which the layer before
            # divides by the root; this divides by the root once more.
            x = layers.Rescaling([1 / math.sqrt(d) for d in _DEVIATION])(x)
        return network.features(x)

    name = f"efficientnet{variant.lower()}"
    return Recipe(
        title=f"EfficientNet{variant}",
        name=name,
        about=f"""EfficientNet{variant}, for images of {size} × {size} pixels.

    Images have values in 0 … 255: the first layers scale them.

    References: Tan, Le 2019, arXiv:1905.11946""",
        body=body,
        top=network.top,
        published=Published(
            _FOLDER, (f"{name}.h5", f"{name}_notop.h5"), (with_top, without)
        ),
        default_size=size,
    )


def preprocess_input(x: Tensor, data_format: str | None = None) -> Tensor:
    """The images as they are, in 0 … 255: the model has the scaling in its layers."""
    return unchanged(x, data_format)


EfficientNetB0 = application(
    network,
    _recipe(
        "B0",
        1.0,
        1.0,
        224,
        0.2,
        "902e53a9f72be733fc0bcb005b3ebbac",
        "50bc09e76180e00e4465e1a485ddc09d",
    ),
)
EfficientNetB1 = application(
    network,
    _recipe(
        "B1",
        1.0,
        1.1,
        240,
        0.2,
        "1d254153d4ab51201f1646940f018540",
        "74c4e6b3e1f6a1eea24c589628592432",
    ),
)
EfficientNetB2 = application(
    network,
    _recipe(
        "B2",
        1.1,
        1.2,
        260,
        0.3,
        "b15cce36ff4dcbd00b6dd88e7857a6ad",
        "111f8e2ac8aa800a7a99e3239f7bfb39",
    ),
)
EfficientNetB3 = application(
    network,
    _recipe(
        "B3",
        1.2,
        1.4,
        300,
        0.3,
        "ffd1fdc53d0ce67064dc6a9c7960ede0",
        "af6d107764bb5b1abb91932881670226",
    ),
)
EfficientNetB4 = application(
    network,
    _recipe(
        "B4",
        1.4,
        1.8,
        380,
        0.4,
        "18c95ad55216b8f92d7e70b3a046e2fc",
        "ebc24e6d6c33eaebbd558eafbeedf1ba",
    ),
)
EfficientNetB5 = application(
    network,
    _recipe(
        "B5",
        1.6,
        2.2,
        456,
        0.4,
        "ace28f2a6363774853a83a0b21b9421a",
        "38879255a25d3c92d5e44e04ae6cec6f",
    ),
)
EfficientNetB6 = application(
    network,
    _recipe(
        "B6",
        1.8,
        2.6,
        528,
        0.5,
        "165f6e37dce68623721b423839de8be5",
        "9ecce42647a20130c1f39a5d4cb75743",
    ),
)
EfficientNetB7 = application(
    network,
    _recipe(
        "B7",
        2.0,
        3.1,
        600,
        0.5,
        "8c03f828fec3ef71311cd463b6759d99",
        "cbcfe4450ddf6f3ad90b1b398090fe4a",
    ),
)
