"""What is done before and after a network for ImageNet: scaling, names of classes."""

from __future__ import annotations

import functools
import json
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from carnyx import config, ops
from carnyx.errors import ArgumentError, ShapeError, nearest
from carnyx.typing import PathLike, Shape, Tensor
from carnyx.utils.files import get_file

CLASSES = 1000
CLASS_INDEX = (
    "https://storage.googleapis.com/download.tensorflow.org/data/"
    "imagenet_class_index.json"
)
CLASS_INDEX_MD5 = "c2c37ea517e94d9795004a39431a14cb"


class _Scaling(NamedTuple):
    """(x / scale − mean) / deviation, a mean and a deviation for each channel."""

    scale: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...] | None = None
    reverse: bool = False  # RGB becomes BGR, before


_MODES = {
    "caffe": _Scaling(1, (103.939, 116.779, 123.68), reverse=True),
    "tf": _Scaling(127.5, (1,)),
    "torch": _Scaling(255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def preprocess_input(
    x: Tensor, data_format: str | None = None, mode: str = "caffe"
) -> Tensor:
    """Images with values in 0 … 255, scaled as weights for ImageNet expect them.

    A NumPy array of floats is written over, as in Keras; pass a copy to keep it.

    Shapes: x (batch, height, width, 3) or (height, width, 3) -> same; with
        `data_format="channels_first"` the channels stand before the height

    Args:
        mode: `"caffe"` (RGB to BGR, less the mean of ImageNet), `"tf"` (to -1 … 1) or
            `"torch"` (to 0 … 1, then by mean and deviation of ImageNet).

    >>> import numpy as np
    >>> preprocess_input(np.full((1, 1, 3), 255.0), mode="tf").tolist()
    [[[1.0, 1.0, 1.0]]]
    """
    if mode not in _MODES:
        raise ArgumentError(
            f"preprocess_input got mode={mode!r}; expected 'caffe', 'tf' or 'torch'."
            + nearest(mode, _MODES)
        )
    first = config.standardize_data_format(data_format) == "channels_first"
    scale, mean, deviation, reverse = _MODES[mode]
    x = _as_floats(x)
    if reverse:
        x = _reversed(x, axis=-3 if first else -1)
    if scale != 1:
        x /= scale
    x -= _for_channels(mean, x, first)
    if deviation is not None:
        x /= _for_channels(deviation, x, first)
    return x


def _as_floats(x: Tensor) -> Tensor:
    """The image in a dtype in which it can be scaled; an array that can be written."""
    if isinstance(x, np.ndarray):
        floats = np.issubdtype(x.dtype, np.floating)
        if floats and x.flags.writeable:
            return x
        return x.astype(x.dtype if floats else config.floatx())
    x = ops.convert_to_tensor(x)
    is_float = "float" in str(x.dtype)
    return x if is_float else ops.cast(x, config.floatx())


def _reversed(x: Tensor, axis: int) -> Tensor:
    """The channels the other way round; of a NumPy array a view, which is written."""
    return np.flip(x, axis) if isinstance(x, np.ndarray) else ops.flip(x, axis)


def _for_channels(numbers: tuple[float, ...], x: Tensor, first: bool) -> np.ndarray:
    shape = (-1, 1, 1) if first else (-1,)
    return np.asarray(numbers, str(x.dtype)).reshape(shape)


# ---- the classes


def decode_predictions(preds: Tensor, top: int = 5) -> list[list[tuple]]:
    """For each image the `top` likeliest classes: (WordNet id, name, score).

    The names are downloaded once, into the cache folder.

    Shapes: preds (batch, 1000)

    Raises:
        ShapeError: where preds has another shape.
        FileError: where the names are not there and cannot be downloaded.
    """
    shape = tuple(getattr(preds, "shape", ()))
    if len(shape) != 2 or shape[1] != CLASSES:
        raise ShapeError(
            f"decode_predictions got predictions of shape {shape}; expected "
            f"(images, {CLASSES}), the scores of the classes of ImageNet."
        )
    names = class_names()
    return [
        [(*names[i], scores[i]) for i in np.argsort(scores)[::-1][:top]]
        for scores in ops.convert_to_numpy(preds)
    ]


@functools.cache
def class_names() -> list[tuple[str, str]]:
    """The classes of ImageNet in the order of the networks' outputs: (id, name)."""
    path = get_file(
        "imagenet_class_index.json",
        CLASS_INDEX,
        cache_subdir="models",
        file_hash=CLASS_INDEX_MD5,
    )
    index = json.loads(Path(path).read_text(encoding="utf-8"))
    return [tuple(index[str(i)]) for i in range(CLASSES)]


# ---- the shape of the images


def obtain_input_shape(
    input_shape: Shape | None,
    default_size: int | None,
    min_size: int,
    data_format: str,
    require_flatten: bool,
    weights: PathLike | None = None,
) -> Shape:
    """The shape of one image for a network that was asked for with `input_shape`.

    Args:
        default_size: height and width that the network was made for.
        min_size: the smallest that pass through it.
        require_flatten: whether it has its top, which needs a known size.
        weights: with `"imagenet"`, three channels, and `default_size` with the top.
    """
    published = weights == "imagenet"
    place = 0 if data_format == "channels_first" else -1
    channels = 3
    if not published and input_shape and len(input_shape) == 3:
        channels = _usual(input_shape[place], input_shape)
    default = _with_channels(default_size, channels, place)
    if published and require_flatten:
        if input_shape is not None and tuple(input_shape) != default:
            raise ShapeError(
                f"input_shape got {tuple(input_shape)}; with include_top=True, the "
                f"weights 'imagenet' are for {default}."
            )
        return default
    if input_shape:
        _check_shape(input_shape, min_size, place, published)
        chosen: Shape = tuple(input_shape)
    else:
        chosen = default if require_flatten else _with_channels(None, 3, place)
    if require_flatten and None in chosen:
        raise ShapeError(
            f"input_shape got {chosen}; with include_top=True height, width and "
            "channels have to be known."
        )
    return chosen


def _with_channels(size: int | None, channels: int | None, place: int) -> Shape:
    return (channels, size, size) if place == 0 else (size, size, channels)


def _usual(channels: int | None, input_shape: Shape) -> int | None:
    if channels not in (1, 3):
        warnings.warn(
            f"input_shape got {tuple(input_shape)}, with {channels} channels; the "
            "network is usually given images of 1 or 3 channels.",
            stacklevel=4,
        )
    return channels


def _check_shape(
    input_shape: Shape, min_size: int, place: int, published: bool
) -> None:
    got = f"input_shape got {tuple(input_shape)}"
    if len(input_shape) != 3:
        raise ShapeError(f"{got}; expected three numbers, without the batch.")
    if published and input_shape[place] != 3:
        raise ShapeError(f"{got}; the weights 'imagenet' are for 3 channels.")
    sizes = input_shape[1:] if place == 0 else input_shape[:2]
    if any(size is not None and size < min_size for size in sizes):
        raise ShapeError(
            f"{got}; expected a height and a width of at least {min_size}."
        )
