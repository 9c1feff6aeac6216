"""MobileNetV3: what a search made of MobileNetV2, with attention between channels.

References: Howard et al. 2019, arXiv:1905.02244
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

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
from carnyx.applications._parts import (
    channels_of,
    divisible,
    layers,
    normalized,
    strided_padding,
)
from carnyx.applications.imagenet_utils import decode_predictions as decode_predictions
from carnyx.applications.mobilenet import rows_of
from carnyx.errors import ArgumentError
from carnyx.models.functional import Functional
from carnyx.typing import PathLike, ShapeLike, Tensor


class Row(NamedTuple):
    """A block: by how much it widens, channels, window, stride, attention, and whether
    it is activated by hard swish. A window of 5 is one of 3 in a minimalistic network.
    """

    widening: float
    filters: int
    window: int
    stride: int
    attends: bool
    swish: bool


_SMALL = (
    Row(1, 16, 3, 2, True, False),
    Row(72 / 16, 24, 3, 2, False, False),
    Row(88 / 24, 24, 3, 1, False, False),
    Row(4, 40, 5, 2, True, True),
    Row(6, 40, 5, 1, True, True),
    Row(6, 40, 5, 1, True, True),
    Row(3, 48, 5, 1, True, True),
    Row(3, 48, 5, 1, True, True),
    Row(6, 96, 5, 2, True, True),
    Row(6, 96, 5, 1, True, True),
    Row(6, 96, 5, 1, True, True),
)
_LARGE = (
    Row(1, 16, 3, 1, False, False),
    Row(4, 24, 3, 2, False, False),
    Row(3, 24, 3, 1, False, False),
    Row(3, 40, 5, 2, True, False),
    Row(3, 40, 5, 1, True, False),
    Row(3, 40, 5, 1, True, False),
    Row(6, 80, 3, 2, False, True),
    Row(2.5, 80, 3, 1, False, True),
    Row(2.3, 80, 3, 1, False, True),
    Row(2.3, 80, 3, 1, False, True),
    Row(6, 112, 3, 1, True, True),
    Row(6, 112, 3, 1, True, True),
    Row(6, 160, 5, 2, True, True),
    Row(6, 160, 5, 1, True, True),
    Row(6, 160, 5, 1, True, True),
)


@dataclass(frozen=True)
class _Network:
    """A network of such rows.

    Args:
        last: outputs of the layer before the classifier.
        alpha: width, as a share of the paper's.
        minimalistic: windows of 3, relu, and no attention.
        dropout: rate before the classifier.
    """

    rows: tuple[Row, ...]
    last: int
    alpha: float
    minimalistic: bool
    dropout: float

    def body(self, x: KerasTensor, asked: Asked) -> KerasTensor:
        """From the image to the last features."""
        if asked.include_preprocessing:
            x = layers.Rescaling(1 / 127.5, offset=-1.0)(x)
        x = layers.Conv2D(
            16, 3, strides=2, padding="same", use_bias=False, name="conv"
        )(x)
        x = self.activated(_norm(x, "conv_bn"))
        for i, row in enumerate(self.rows):
            x = self.block(x, i, row)
        x = _pointwise(x, divisible(6 * channels_of(x)), "conv_1")
        return self.activated(_norm(x, "conv_1_bn"))

    def top(self, x: KerasTensor, asked: Asked) -> KerasTensor:
        """Mean of the feature maps, one layer, and the classifier."""
        last = divisible(self.last * self.alpha) if self.alpha > 1 else self.last
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = layers.Conv2D(last, 1, padding="same", name="conv_2")(x)
        x = self.activated(x)
        if self.dropout > 0:
            x = layers.Dropout(self.dropout)(x)
        x = layers.Conv2D(asked.classes, 1, padding="same", name="logits")(x)
        x = layers.Flatten()(x)
        return layers.Activation(asked.classifier_activation, name="predictions")(x)

    def activated(self, x: KerasTensor, swish: bool = True) -> KerasTensor:
        """hard_swish(x), or relu where that is too dear."""
        plain = self.minimalistic or not swish
        return (layers.ReLU() if plain else layers.Activation("hard_swish"))(x)

    def block(self, x: KerasTensor, number: int, row: Row) -> KerasTensor:
        """x + f(x) where the shapes agree; f widens, looks around, and narrows."""
        name = f"expanded_conv_{number}_" if number else "expanded_conv_"
        inputs, channels = x, channels_of(x)
        wide = divisible(channels * row.widening)
        filters = divisible(row.filters * self.alpha)
        window = 3 if self.minimalistic else row.window
        if number:
            x = _norm(_pointwise(x, wide, f"{name}expand"), f"{name}expand_bn")
            x = self.activated(x, row.swish)
        if row.stride == 2:
            padding = strided_padding(x, window)
            x = layers.ZeroPadding2D(padding, name=f"{name}depthwise_pad")(x)
        x = layers.DepthwiseConv2D(
            window,
            strides=row.stride,
            padding="same" if row.stride == 1 else "valid",
            use_bias=False,
            name=f"{name}depthwise",
        )(x)
        x = self.activated(_norm(x, f"{name}depthwise_bn"), row.swish)
        if row.attends and not self.minimalistic:
            x = _attended(x, wide, f"{name}squeeze_excite_")
        x = _norm(_pointwise(x, filters, f"{name}project"), f"{name}project_bn")
        if row.stride == 1 and channels == filters:
            x = layers.Add(name=f"{name}add")([inputs, x])
        return x


def _norm(x: KerasTensor, name: str) -> KerasTensor:
    return normalized(x, name, momentum=0.999)


def _pointwise(x: KerasTensor, filters: int, name: str) -> KerasTensor:
    return layers.Conv2D(filters, 1, padding="same", use_bias=False, name=name)(x)


def _attended(x: KerasTensor, filters: int, name: str) -> KerasTensor:
    """Each channel by a weight that the means of all give (squeeze and excitation).

    References: Hu, Shen, Sun 2018, arXiv:1709.01507
    """
    weight = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}avg_pool")(x)
    weight = layers.Conv2D(
        divisible(filters * 0.25), 1, padding="same", name=f"{name}conv"
    )(weight)
    weight = layers.ReLU(name=f"{name}relu")(weight)
    weight = layers.Conv2D(filters, 1, padding="same", name=f"{name}conv_1")(weight)
    weight = layers.ReLU(6.0)(weight + 3.0) * (1.0 / 6.0)
    return layers.Multiply(name=f"{name}mul")([x, weight])


_HASHES = {
    "large_224_0.75": (
        "765b44a33ad4005b3ac83185abf1d0eb",
        "40af19a13ebea4e2ee0c676887f69a2e",
    ),
    "large_224_1.0": (
        "59e551e166be033d707958cf9e29a6a7",
        "07fb09a5933dd0c8eaafa16978110389",
    ),
    "large_minimalistic_224_1.0": (
        "675e7b876c45c57e9e63e6d90a36599c",
        "ec5221f64a2f6d1ef965a614bdae7973",
    ),
    "small_224_0.75": (
        "cb65d4e5be93758266aa0a7f2c6708b7",
        "ebdb5cc8e0b497cd13a7c275d475c819",
    ),
    "small_224_1.0": (
        "8768d4c2e7dee89b9d02b2d03d65d862",
        "d3e8ec802a04aa4fc771ee12a9a9b836",
    ),
    "small_minimalistic_224_1.0": (
        "99cd97fb2fcdad2bf028eb838de69e37",
        "cde8136e733e811080d9fcd8a252f7e4",
    ),
}


def _published(title: str, alpha: float, minimalistic: bool) -> Published:
    kind = title.removeprefix("MobileNetV3").lower()
    kind = f"{kind}_minimalistic" if minimalistic else kind
    variant = f"{kind}_224_{float(alpha)}"
    start = f"weights_mobilenet_v3_{variant}_float"
    return Published(
        STORE + "mobilenet_v3/",
        (f"{start}.h5", f"{start}_no_top_v2.h5"),
        _HASHES.get(variant, (None, None)),
    )


@dataclass(frozen=True, kw_only=True)
class _Variant(Recipe):
    """The recipe of one size; the arguments of a call make it another."""

    network: _Network


def _variant(size: str, rows: tuple[Row, ...], last: int) -> _Variant:
    title = f"MobileNetV3{size}"
    network = _Network(rows, last, alpha=1.0, minimalistic=False, dropout=0.2)
    return _Variant(
        title=title,
        name=title,
        about=f"""{title}, whose number of channels is `alpha` times that of the paper.

    Images have values in 0 … 255: the first layer scales them, unless
    `include_preprocessing=False`. Published weights are for alpha 0.75 and 1; of a
    `minimalistic` network (windows of 3, relu, no attention) for alpha 1.

    References: Howard et al. 2019, arXiv:1905.02244""",
        network=network,
        body=network.body,
        top=network.top,
        published=_published(title, 1.0, False),
        any_size=True,
    )


def _mobilenet_v3(
    variant: _Variant,
    /,
    input_shape: ShapeLike | None = None,
    alpha: float = 1.0,
    minimalistic: bool = False,
    include_top: bool = True,
    weights: PathLike | None = IMAGENET,
    input_tensor: KerasTensor | None = None,
    classes: int = CLASSES,
    pooling: str | None = None,
    dropout_rate: float = 0.2,
    classifier_activation: Activation = "softmax",
    include_preprocessing: bool = True,
    name: str | None = None,
) -> Functional:
    """A model by its variant, in the order of the arguments of this family."""
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
    published = _published(variant.title, alpha, minimalistic)
    if weights == IMAGENET:
        _check_published(published, alpha, minimalistic)
        if input_shape is not None:
            rows_of(input_shape, (224,), include_top, weights)  # warns of another size
    network = replace(
        variant.network, alpha=alpha, minimalistic=minimalistic, dropout=dropout_rate
    )
    recipe = replace(variant, body=network.body, top=network.top, published=published)
    return build(recipe, asked)


def _check_published(published: Published, alpha: float, minimalistic: bool) -> None:
    if published.hashes == (None, None):
        raise ArgumentError(
            f"alpha and minimalistic got {alpha} and {minimalistic}; the weights "
            "'imagenet' are for alpha 0.75 and 1, of a minimalistic network for alpha "
            "1. Take weights=None for others."
        )


def preprocess_input(x: Tensor, data_format: str | None = None) -> Tensor:
    """The images as they are, in 0 … 255: the model has the scaling in its layers."""
    return unchanged(x, data_format)


MobileNetV3Small = application(_mobilenet_v3, _variant("Small", _SMALL, last=1024))
MobileNetV3Large = application(_mobilenet_v3, _variant("Large", _LARGE, last=1280))
