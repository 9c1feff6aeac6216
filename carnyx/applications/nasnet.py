"""NASNet-A: cells that a search found, stacked.

References: Zoph, Vasudevan, Shlens, Le 2018, arXiv:1707.07012
"""

from __future__ import annotations

from dataclasses import dataclass

from carnyx._core.naming import name_scope
from carnyx._core.symbol import KerasTensor
from carnyx.applications import imagenet_utils
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
    classifier,
    unnamed_pool,
)
from carnyx.applications._parts import channel_axis, layers, normalized, strided_padding
from carnyx.applications.imagenet_utils import decode_predictions as decode_predictions
from carnyx.errors import ShapeError
from carnyx.models.functional import Functional
from carnyx.typing import PathLike, ShapeLike, Tensor


@dataclass(frozen=True)
class _Variant:
    """Args: channels of the last cells; normal cells between two reductions; channels
    of the stem; whether the cell after a reduction sees what was before it."""

    last: int
    cells: int
    stem: int
    skips: bool

    def body(self, x: KerasTensor, asked: Asked) -> KerasTensor:
        """Stem, then three times some normal cells with a reduction between them."""
        filters, n = self.last // 24, self.cells
        x = layers.Conv2D(
            self.stem,
            3,
            strides=2,
            use_bias=False,
            name="stem_conv1",
            kernel_initializer="he_normal",
        )(x)
        x, before = _norm(x, "stem_bn1"), None
        x, before = _reduction(x, before, filters // 4, "stem_1"), x
        x, before = (
            _reduction(x, before, filters // 2, "stem_2", after_reduction=True),
            x,
        )
        for part in range(3):
            if part:
                reduced = _reduction(x, before, filters, f"reduce_{part * n}")
                x, before = reduced, before if self.skips else x
            for i in range(n):
                name = f"{part * n + i + (part > 0)}"
                x, before = _normal(x, before, filters, name, i == 0), x
            filters *= 2
        return layers.Activation("relu")(x)


def _norm(x: KerasTensor, name: str) -> KerasTensor:
    return normalized(x, name, momentum=0.9997, epsilon=1e-3)


def _pointwise(x: KerasTensor, filters: int, name: str) -> KerasTensor:
    return layers.Conv2D(
        filters,
        1,
        padding="same",
        use_bias=False,
        name=name,
        kernel_initializer="he_normal",
    )(x)


def _separable(
    x: KerasTensor, filters: int, size: int, name: str, strides: int = 1
) -> KerasTensor:
    """Twice a separable convolution, the first of which may halve the size."""
    with name_scope(f"separable_conv_block_{name}"):
        x = layers.Activation("relu")(x)
        if strides == 2:
            padding = strided_padding(x, size)
            x = layers.ZeroPadding2D(padding, name=f"separable_conv_1_pad_{name}")(x)
        for place, step in enumerate((strides, 1), start=1):
            if place == 2:
                x = layers.Activation("relu")(x)
            x = layers.SeparableConv2D(
                filters,
                size,
                strides=step,
                name=f"separable_conv_{place}_{name}",
                padding="valid" if step == 2 else "same",
                use_bias=False,
            )(x)
            x = _norm(x, f"separable_conv_{place}_bn_{name}")
        return x


def _adjusted(
    before: KerasTensor | None,
    x: KerasTensor,
    filters: int,
    name: str,
    after_reduction: bool,
) -> KerasTensor:
    """The output of the cell before the last, in the shape of that of the last.

    After a reduction it has twice the size. Keras compares the two sizes, which says
    nothing where they are unknown.
    """
    if before is None:
        return x
    with name_scope("adjust_block"):
        if after_reduction:
            with name_scope(f"adjust_reduction_block_{name}"):
                return _halved(before, filters, name)
        if before.shape[-1] != filters:
            with name_scope(f"adjust_projection_block_{name}"):
                p = layers.Activation("relu")(before)
                p = _pointwise(p, filters, f"adjust_conv_projection_{name}")
                return _norm(p, f"adjust_bn_{name}")
        return before


def _halved(x: KerasTensor, filters: int, name: str) -> KerasTensor:
    """Every second pixel, and every second from the next on, projected and joined."""
    x = layers.Activation("relu", name=f"adjust_relu_1_{name}")(x)
    first = _every_second(x, filters // 2, 1, name)
    shifted = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    shifted = layers.Cropping2D(((1, 0), (1, 0)))(shifted)
    second = _every_second(shifted, filters // 2, 2, name)
    joined = layers.Concatenate(axis=channel_axis())([first, second])
    return _norm(joined, f"adjust_bn_{name}")


def _every_second(x: KerasTensor, filters: int, place: int, name: str) -> KerasTensor:
    pool = layers.AveragePooling2D(1, strides=2, name=f"adjust_avg_pool_{place}_{name}")
    return _pointwise(pool(x), filters, f"adjust_conv_{place}_{name}")


def _mean(x: KerasTensor, name: str) -> KerasTensor:
    return layers.AveragePooling2D(3, strides=1, padding="same", name=name)(x)


def _sum(parts: list[KerasTensor], name: str | None) -> KerasTensor:
    return layers.Add(name=name)(parts)


def _normal(
    x: KerasTensor,
    before: KerasTensor | None,
    filters: int,
    name: str,
    after_reduction: bool,
) -> KerasTensor:
    """A cell that keeps the size."""
    with name_scope(f"normal_A_block_{name}"):
        p = _adjusted(before, x, filters, name, after_reduction)
        h = layers.Activation("relu")(x)
        h = _norm(
            _pointwise(h, filters, f"normal_conv_1_{name}"), f"normal_bn_1_{name}"
        )
        with name_scope("block_1"):
            left = _separable(h, filters, 5, f"normal_left1_{name}")
            right = _separable(p, filters, 3, f"normal_right1_{name}")
            x1 = _sum([left, right], f"normal_add_1_{name}")
        with name_scope("block_2"):
            left = _separable(p, filters, 5, f"normal_left2_{name}")
            right = _separable(p, filters, 3, f"normal_right2_{name}")
            x2 = _sum([left, right], f"normal_add_2_{name}")
        with name_scope("block_3"):
            x3 = _sum([_mean(h, f"normal_left3_{name}"), p], f"normal_add_3_{name}")
        with name_scope("block_4"):
            left, right = (_mean(p, f"normal_{s}4_{name}") for s in ("left", "right"))
            x4 = _sum([left, right], f"normal_add_4_{name}")
        with name_scope("block_5"):
            left = _separable(h, filters, 3, f"normal_left5_{name}")
            x5 = _sum([left, h], f"normal_add_5_{name}")
        joined = layers.Concatenate(axis=channel_axis(), name=f"normal_concat_{name}")
        return joined([p, x1, x2, x3, x4, x5])


def _reduction(
    x: KerasTensor,
    before: KerasTensor | None,
    filters: int,
    name: str,
    after_reduction: bool = False,
) -> KerasTensor:
    """A cell that halves the size."""
    with name_scope(f"reduction_A_block_{name}"):
        p = _adjusted(before, x, filters, name, after_reduction)
        h = layers.Activation("relu")(x)
        h = _pointwise(h, filters, f"reduction_conv_1_{name}")
        h = _norm(h, f"reduction_bn_1_{name}")
        padded = layers.ZeroPadding2D(
            strided_padding(h, 3), name=f"reduction_pad_1_{name}"
        )(h)
        with name_scope("block_1"):
            left = _separable(h, filters, 5, f"reduction_left1_{name}", strides=2)
            right = _separable(p, filters, 7, f"reduction_right1_{name}", strides=2)
            x1 = _sum([left, right], f"reduction_add_1_{name}")
        with name_scope("block_2"):
            pool = layers.MaxPooling2D(3, strides=2, name=f"reduction_left2_{name}")
            left = pool(padded)
            right = _separable(p, filters, 7, f"reduction_right2_{name}", strides=2)
            x2 = _sum([left, right], f"reduction_add_2_{name}")
        with name_scope("block_3"):
            pool = layers.AveragePooling2D(3, strides=2, name=f"reduction_left3_{name}")
            left = pool(padded)
            right = _separable(p, filters, 5, f"reduction_right3_{name}", strides=2)
            x3 = _sum([left, right], f"reduction_add3_{name}")
        with name_scope("block_4"):
            x4 = _sum([x2, _mean(x1, f"reduction_left4_{name}")], None)
        with name_scope("block_5"):
            left = _separable(x1, filters, 3, f"reduction_left4_{name}")
            right = layers.MaxPooling2D(3, strides=2, name=f"reduction_right5_{name}")
            x5 = _sum([left, right(padded)], f"reduction_add4_{name}")
        joined = layers.Concatenate(
            axis=channel_axis(), name=f"reduction_concat_{name}"
        )
        return joined([x2, x3, x4, x5])


def _recipe(
    title: str, size: int, variant: _Variant, hashes: tuple[str, str]
) -> Recipe:
    kind = title.removeprefix("NASNet").lower()
    name = f"nasnet_{kind}"
    return Recipe(
        title=title,
        name=name,
        about=f"""NASNet-A for images of {size} × {size} pixels, for channels last.

    Images go through `nasnet.preprocess_input` first, where the weights are published
    ones. Without the top, a size that is not known has to be 33, 65, 97, … pixels.

    References: Zoph, Vasudevan, Shlens, Le 2018, arXiv:1707.07012""",
        body=variant.body,
        top=_top,
        end=unnamed_pool,
        published=Published(
            STORE + "nasnet/",
            (f"NASNet-{kind}.h5", f"NASNet-{kind}-no-top.h5"),
            hashes,
            kept_as=(f"{name}.h5", f"{name}_no_top.h5"),
        ),
        default_size=size,
        channels_last_only=True,
    )


def _top(x: KerasTensor, asked: Asked) -> KerasTensor:
    return classifier(x, asked, pool=None)


def _nasnet(
    recipe: Recipe,
    /,
    input_shape: ShapeLike | None = None,
    include_top: bool = True,
    weights: PathLike | None = IMAGENET,
    input_tensor: KerasTensor | None = None,
    pooling: str | None = None,
    classes: int = CLASSES,
    classifier_activation: Activation = "softmax",
    name: str | None = None,
) -> Functional:
    """A model by its recipe, in the order of the arguments of this family."""
    if recipe.default_size == 224 and not include_top and input_tensor is None:
        input_shape = input_shape or (224, 224, 3)  # as in Keras, for the smaller one
    if weights == IMAGENET and input_shape is not None and None in input_shape:
        raise ShapeError(
            f"input_shape got {tuple(input_shape)}; with the weights 'imagenet' height "
            "and width have to be known."
        )
    asked = Asked(
        include_top=include_top,
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
    """Images with values in 0 … 255, scaled to -1 … 1."""
    return imagenet_utils.preprocess_input(x, data_format, mode="tf")


NASNetLarge = application(
    _nasnet,
    _recipe(
        "NASNetLarge",
        331,
        _Variant(last=4032, cells=6, stem=96, skips=True),
        ("11577c9a518f0070763c2b964a382f17", "d81d89dc07e6e56530c4e77faddd61b5"),
    ),
)
NASNetMobile = application(
    _nasnet,
    _recipe(
        "NASNetMobile",
        224,
        _Variant(last=1056, cells=4, stem=32, skips=False),
        ("020fb642bf7360b370c678b08e0adf61", "1ed92395b5b598bdda52abe5c0dbfd63"),
    ),
)
