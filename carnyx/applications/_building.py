"""What all applications share: their arguments, their checks, their weights.

A family is a table and functions of blocks. It gives a `Recipe`: the layers from the
image to the last features, and where the published weights are. The rest is here.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeAlias, TypeVar

from carnyx import activations, config
from carnyx._core.graph import source_inputs
from carnyx._core.symbol import KerasTensor, shapes_fit
from carnyx.applications._parts import channel_axis, layers
from carnyx.applications.imagenet_utils import CLASSES, obtain_input_shape
from carnyx.errors import ArgumentError, ArgumentTypeError, ShapeError, nearest
from carnyx.models.functional import Functional
from carnyx.typing import PathLike, ShapeLike, Tensor
from carnyx.utils.files import get_file

STORE = "https://storage.googleapis.com/tensorflow/keras-applications/"
IMAGENET = "imagenet"

P = ParamSpec("P")
Activation: TypeAlias = str | Callable[[Any], Any] | None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a caller asks of an application: the arguments that all of them have.

    Args:
        include_top: with the classifier.
        weights: None for random ones, `"imagenet"` for the published, or a file.
        input_tensor: a symbolic tensor to take as the image.
        input_shape: of an image, without the batch.
        pooling: without the top: `"avg"`, `"max"`, or None for the feature maps.
        classes: how many the classifier knows.
        classifier_activation: of the classifier; None for logits.
        include_preprocessing: where the first layers can scale the image, that they do.
    """

    include_top: bool = True
    weights: PathLike | None = IMAGENET
    input_tensor: KerasTensor | None = None
    input_shape: ShapeLike | None = None
    pooling: str | None = None
    classes: int = CLASSES
    classifier_activation: Activation = "softmax"
    name: str | None = None
    include_preprocessing: bool = True

    def check(self) -> None:
        """Refuse what cannot be, before any layer is made."""
        if self.weights is not None and self.weights != IMAGENET:
            _check_file(self.weights)
        if self.pooling not in (None, "avg", "max"):
            raise ArgumentError(
                f"pooling got {self.pooling!r}; expected 'avg', 'max' or None."
                + nearest(self.pooling, ("avg", "max"))
            )
        if self.weights == IMAGENET and self.include_top and self.classes != CLASSES:
            raise ArgumentError(
                f"classes got {self.classes}; the classifier of the weights 'imagenet' "
                f"has {CLASSES}. Take include_top=False and add your own, or "
                "weights=None."
            )
        known = (activations.get("softmax"), activations.get(None))
        chosen = activations.get(self.classifier_activation)
        if self.weights is not None and self.include_top and chosen not in known:
            raise ArgumentError(
                f"classifier_activation got {self.classifier_activation!r}; weights "
                "that are loaded with the top were trained with 'softmax' (None gives "
                "the logits)."
            )


class Published(NamedTuple):
    """The weights trained on ImageNet: two files each, with the top and without it."""

    folder: str
    files: tuple[str, str]
    hashes: tuple[str | None, str | None] = (None, None)
    kept_as: tuple[str, str] | None = None  # where the cache knows another name

    def path(self, include_top: bool) -> str:
        """Where the file is on this machine, downloaded if need be."""
        i = 0 if include_top else 1
        return get_file(
            (self.kept_as or self.files)[i],
            self.folder + self.files[i],
            cache_subdir="models",
            file_hash=self.hashes[i],
        )


def dim_ordering_tf(name: str, folder: str, *hashes: str) -> Published:
    """The two files of the many whose names say that channels come last."""
    start = f"{name}_weights_tf_dim_ordering_tf_kernels"
    with_top, without = hashes
    return Published(
        STORE + folder, (f"{start}.h5", f"{start}_notop.h5"), (with_top, without)
    )


def classifier(
    x: KerasTensor, asked: Asked, pool: str | None = "avg_pool"
) -> KerasTensor:
    """Mean of the feature maps, then one layer: the top of most."""
    x = layers.GlobalAveragePooling2D(name=pool)(x)
    return predictions(x, asked)


def predictions(x: KerasTensor, asked: Asked, **options: Any) -> KerasTensor:
    """The layer with an output for each class."""
    return layers.Dense(
        asked.classes,
        activation=asked.classifier_activation,
        name="predictions",
        **options,
    )(x)


def pooled(x: KerasTensor, asked: Asked, named: bool = True) -> KerasTensor:
    """The end of a network without its top."""
    if asked.pooling == "avg":
        name = "avg_pool" if named else None
        return layers.GlobalAveragePooling2D(name=name)(x)
    if asked.pooling == "max":
        return layers.GlobalMaxPooling2D(name="max_pool" if named else None)(x)
    return x


def unnamed_pool(x: KerasTensor, asked: Asked) -> KerasTensor:
    """As `pooled`, with the names that Keras counts."""
    return pooled(x, asked, named=False)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An application: its layers, and what surrounds them.

    Args:
        title: the name of the function.
        name: of the model, where the caller gives none.
        about: the first lines of the docstring.
        body: from the image to the last features.
        top: the classifier upon them.
        end: what stands there without the top.
        published: the weights for ImageNet.
        default_size: height and width that it was made for.
        min_size: the smallest that pass through it.
        any_size: that the top takes images of a size that is not known.
        channels_last_only: where the layers are not written for the other format.
    """

    title: str
    name: str
    about: str
    body: Callable[[KerasTensor, Asked], KerasTensor]
    published: Published
    top: Callable[[KerasTensor, Asked], KerasTensor] = classifier
    end: Callable[[KerasTensor, Asked], KerasTensor] = pooled
    default_size: int = 224
    min_size: int = 32
    any_size: bool = False
    channels_last_only: bool = False


def build(recipe: Recipe, asked: Asked) -> Functional:
    """The model, with the weights that were asked for."""
    if recipe.channels_last_only and channel_axis() == 1:
        raise ArgumentError(
            f"{recipe.name} is for channels last, but the image data format is "
            "'channels_first'. Change it: "
            "carnyx.config.set_image_data_format('channels_last')."
        )
    asked = replace(asked, name=asked.name or recipe.name)
    asked.check()
    shape = obtain_input_shape(
        None if asked.input_shape is None else tuple(asked.input_shape),
        recipe.default_size,
        recipe.min_size,
        config.image_data_format(),
        require_flatten=asked.include_top and not recipe.any_size,
        weights=asked.weights,
    )
    file = asked.weights  # before the layers are made, as it may have to be downloaded
    file = recipe.published.path(asked.include_top) if file == IMAGENET else file
    given = asked.input_tensor
    image = layers.Input(shape) if given is None else _image_of(given, asked)
    x = recipe.body(image, asked)
    x = recipe.top(x, asked) if asked.include_top else recipe.end(x, asked)
    inputs = image if given is None else source_inputs(given)
    model = Functional(inputs, x, name=asked.name)
    if file is not None:
        model.load_weights(file)
    return model


def _image_of(tensor: object, asked: Asked) -> KerasTensor:
    if not isinstance(tensor, KerasTensor):
        raise ArgumentTypeError(
            f"input_tensor got {type(tensor).__name__}; expected a symbolic tensor, as "
            "carnyx.Input(shape=...) gives. Call the model on values."
        )
    shape = asked.input_shape
    if shape is not None and not shapes_fit(tensor.shape[1:], tuple(shape)):
        raise ShapeError(
            f"input_tensor has images of shape {tensor.shape[1:]}, and input_shape got "
            f"{tuple(shape)}. Leave input_shape out."
        )
    return tensor


def _check_file(weights: PathLike) -> None:
    if not isinstance(weights, str | os.PathLike) or not os.path.exists(weights):
        raise ArgumentError(
            f"weights got {weights!r}; expected 'imagenet', None for random ones, or "
            "the path of a file that exists." + nearest(weights, (IMAGENET,))
        )


def unchanged(x: Tensor, data_format: str | None) -> Tensor:
    """The `preprocess_input` of networks that scale the image themselves."""
    config.standardize_data_format(data_format)
    return x


# ---- the functions that users call

R = TypeVar("R", bound=Recipe)


def network(
    recipe: Recipe,
    /,
    include_top: bool = True,
    weights: PathLike | None = IMAGENET,
    input_tensor: KerasTensor | None = None,
    input_shape: ShapeLike | None = None,
    pooling: str | None = None,
    classes: int = CLASSES,
    classifier_activation: Activation = "softmax",
    name: str | None = None,
) -> Functional:
    """A model by its recipe, with the arguments that most applications have."""
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


def application(
    make: Callable[Concatenate[R, P], Functional], recipe: R
) -> Callable[P, Functional]:
    """The function that users call: `make` with the recipe, and the recipe's name."""

    def function(*args: P.args, **kwargs: P.kwargs) -> Functional:
        return make(recipe, *args, **kwargs)

    given = list(inspect.signature(make).parameters.values())[1:]
    named = [p.replace(default=recipe.name) if p.name == "name" else p for p in given]
    function.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    caller = sys._getframe(1)  # the file that makes it public, as for a namedtuple
    function.__module__ = caller.f_globals["__name__"]
    function.__name__ = function.__qualname__ = recipe.title
    function.__doc__ = recipe.about + _ARGUMENTS
    return function


_ARGUMENTS = """

    Args:
        include_top: with the classifier.
        weights: `"imagenet"`, which are downloaded once; None for random ones; or the
            path of a file.
        input_tensor: a symbolic tensor to take as the image.
        input_shape: of an image, without the batch.
        pooling: without the top: `"avg"`, `"max"`, or None for the feature maps.
        classes: how many the classifier knows.
        classifier_activation: of the classifier; None for logits.
    """
