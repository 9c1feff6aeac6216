"""ConvNeXt: a convolutional network with the parts of a transformer.

References: Liu et al. 2022, arXiv:2201.03545
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from carnyx import initializers
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
    unnamed_pool,
)
from carnyx.applications._parts import layers
from carnyx.applications.imagenet_utils import decode_predictions as decode_predictions
from carnyx.configurable import field, positive
from carnyx.layers.base import Layer
from carnyx.models.functional import Functional
from carnyx.models.sequential import Sequential
from carnyx.typing import PathLike, ShapeLike, Tensor

_EPSILON = 1e-6  # of all layer normalizations
_LAYER_SCALE = 1e-6  # what the branches begin with
_MEAN = [0.485 * 255, 0.456 * 255, 0.406 * 255]
_VARIANCE = [(0.229 * 255) ** 2, (0.224 * 255) ** 2, (0.225 * 255) ** 2]


class LayerScale(Layer):
    """gamma · x, with a gamma for each channel, small at first.

    Shapes: (..., channels) -> (..., channels)
    Weights: gamma (channels,)

    References: Touvron et al. 2021, arXiv:2103.17239
    """

    keras_module = "keras.src.applications.convnext"
    keras_family = "applications"
    keras_registered_name = "LayerScale"
    init_values: float = field()
    projection_dim: int = field(check=positive)

    def build(self, input_shape: ShapeLike) -> None:
        self.gamma = self.add_weight(
            shape=(self.projection_dim,),
            initializer=initializers.Constant(self.init_values),
        )

    def call(self, x: Tensor) -> Tensor:
        return x * self.gamma


@dataclass(frozen=True)
class _Body:
    """Four stages of so many blocks, each with half the size and more channels."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]

    def __call__(self, x: KerasTensor, asked: Asked) -> KerasTensor:
        name, preprocessed = asked.name, asked.include_preprocessing
        if preprocessed and x.shape[-1] == 3:
            x = layers.Normalization(
                mean=_MEAN, variance=_VARIANCE, name=f"{name}_prestem_normalization"
            )(x)
        for i, (depth, width) in enumerate(zip(self.depths, self.widths)):
            x = _stem(width, name)(x) if i == 0 else _halving(width, name, i - 1)(x)
            for j in range(depth):
                x = _block(x, width, f"{name}_stage_{i}_block_{j}")
        return x


def _norm(name: str | None = None) -> Layer:
    return layers.LayerNormalization(epsilon=_EPSILON, name=name)


def _stem(width: int, name: str | None) -> Sequential:
    conv = layers.Conv2D(width, 4, strides=4, name=f"{name}_stem_conv")
    return Sequential([conv, _norm(f"{name}_stem_layernorm")], name=f"{name}_stem")


def _halving(width: int, name: str | None, i: int) -> Sequential:
    norm = _norm(f"{name}_downsampling_layernorm_{i}")
    conv = layers.Conv2D(width, 2, strides=2, name=f"{name}_downsampling_conv_{i}")
    return Sequential([norm, conv], name=f"{name}_downsampling_block_{i}")


def _block(x: KerasTensor, width: int, name: str) -> KerasTensor:
    """x + gamma · f(x): f looks around a channel at a time, then widens and narrows."""
    y = layers.Conv2D(
        width, 7, padding="same", groups=width, name=f"{name}_depthwise_conv"
    )(x)
    y = _norm(f"{name}_layernorm")(y)
    y = layers.Dense(4 * width, name=f"{name}_pointwise_conv_1")(y)
    y = layers.Activation("gelu", name=f"{name}_gelu")(y)
    y = layers.Dense(width, name=f"{name}_pointwise_conv_2")(y)
    scaled: Any = LayerScale  # see _parts.layers
    y = scaled(_LAYER_SCALE, width, name=f"{name}_layer_scale")(y)
    return x + layers.Activation("linear", name=f"{name}_identity")(y)


def _top(x: KerasTensor, asked: Asked) -> KerasTensor:
    name = asked.name
    x = layers.GlobalAveragePooling2D(name=f"{name}_head_gap")(x)
    x = _norm(f"{name}_head_layernorm")(x)
    return layers.Dense(
        asked.classes,
        activation=asked.classifier_activation,
        name=f"{name}_head_dense",
    )(x)


def _end(x: KerasTensor, asked: Asked) -> KerasTensor:
    return _norm()(unnamed_pool(x, asked))


def _recipe(
    title: str, depths: tuple[int, ...], widths: tuple[int, ...], *hashes: str
) -> Recipe:
    variant = title.removeprefix("ConvNeXt").lower()
    name = f"convnext_{variant}"
    with_top, without = hashes
    return Recipe(
        title=title,
        name=name,
        about=f"""ConvNeXt {variant}: blocks {depths}, channels {widths}; channels last.

    Images have values in 0 … 255: the first layer normalizes them, unless
    `include_preprocessing=False` or they have other than 3 channels.

    References: Liu et al. 2022, arXiv:2201.03545""",
        body=_Body(depths, widths),
        top=_top,
        end=_end,
        published=Published(
            STORE + "convnext/",
            (f"{name}.h5", f"{name}_notop.h5"),
            (with_top, without),
        ),
        channels_last_only=True,
    )


def _convnext(
    recipe: Recipe,
    /,
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: PathLike | None = IMAGENET,
    input_tensor: KerasTensor | None = None,
    input_shape: ShapeLike | None = None,
    pooling: str | None = None,
    classes: int = CLASSES,
    classifier_activation: Activation = "softmax",
    name: str | None = None,
) -> Functional:
    """A model by its recipe, in the order of the arguments of this family."""
    asked = Asked(
        include_top=include_top,
        include_preprocessing=include_preprocessing,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
    )
    return build(recipe, asked)


def preprocess_input(x: Tensor, data_format: str | None = None) -> Tensor:
    """The images as they are, in 0 … 255: the model has the scaling in its layers."""
    return unchanged(x, data_format)


ConvNeXtTiny = application(
    _convnext,
    _recipe(
        "ConvNeXtTiny",
        (3, 3, 9, 3),
        (96, 192, 384, 768),
        "8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
)
ConvNeXtSmall = application(
    _convnext,
    _recipe(
        "ConvNeXtSmall",
        (3, 3, 27, 3),
        (96, 192, 384, 768),
        "ce1277d8f1ee5a0ef0e171469089c18f5233860ceaf9b168049cb9263fd7483c",
        "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
    ),
)
ConvNeXtBase = application(
    _convnext,
    _recipe(
        "ConvNeXtBase",
        (3, 3, 27, 3),
        (128, 256, 512, 1024),
        "52cbb006d3dadd03f6e095a8ca1aca47aecdd75acb4bc74bce1f5c695d0086e6",
        "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45",
    ),
)
ConvNeXtLarge = application(
    _convnext,
    _recipe(
        "ConvNeXtLarge",
        (3, 3, 27, 3),
        (192, 384, 768, 1536),
        "070c5ed9ed289581e477741d3b34beffa920db8cf590899d6d2c67fba2a198a6",
        "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
    ),
)
ConvNeXtXLarge = application(
    _convnext,
    _recipe(
        "ConvNeXtXLarge",
        (3, 3, 27, 3),
        (256, 512, 1024, 2048),
        "c1f5ccab661354fc3a79a10fa99af82f0fbf10ec65cb894a3ae0815f17a889ee",
        "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
    ),
)
