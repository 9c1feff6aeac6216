"""Image files and arrays, through Pillow; resizing of arrays on the host."""

from __future__ import annotations

import functools
import io
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from carnyx import config
from carnyx.errors import ArgumentError, add_note_once, nearest
from carnyx.typing import DTypeLike

MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
_GREY = ("L", "I;16", "I")


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        add_note_once(error, "Images need Pillow: pip install pillow")
        raise
    return Image


def _choice(name: str, value: Any, choices: Any) -> None:
    if value not in choices:
        names = [c for c in choices if isinstance(c, str)]
        hint = nearest(value, names) if isinstance(value, str) else ""
        raise ArgumentError(
            f"{name} got {value!r}; expected one of "
            f"{', '.join(map(repr, choices))}.{hint}"
        )


def _channels_first(data_format: str | None) -> bool:
    data_format = data_format or config.image_data_format()
    _choice("data_format", data_format, ("channels_last", "channels_first"))
    return data_format == "channels_first"


# ---- files and arrays


def load_img(
    path: Any,
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:
    """An image file as a Pillow image.

    Args:
        path: a file's name, or a `BytesIO`.
        color_mode: `"rgb"`, `"rgba"` or `"grayscale"`.
        target_size: (height, width) to resize to.
        interpolation: nearest, bilinear, bicubic, hamming, box or lanczos.
        keep_aspect_ratio: cut the longer side at both ends first.
    """
    _choice("color_mode", color_mode, MODES)
    image = _pillow()
    if not isinstance(path, io.BytesIO):
        with open(path, "rb") as stream:
            path = io.BytesIO(stream.read())
    return _resized(
        _converted(image.open(path), color_mode),
        target_size, interpolation, keep_aspect_ratio,
    )  # fmt: skip


def _converted(img: Any, color_mode: str) -> Any:
    wanted = _GREY if color_mode == "grayscale" else (MODES[color_mode],)
    return img if img.mode in wanted else img.convert(wanted[0])


def _resized(img: Any, size: Any, interpolation: str, keep: bool) -> Any:
    if size is None:
        return img
    ways = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")
    _choice("interpolation", interpolation, ways)
    way = getattr(_pillow().Resampling, interpolation.upper())
    height, width = size
    if img.size == (width, height):
        return img
    if not keep:
        return img.resize((width, height), way)
    w, h = img.size
    cut_w, cut_h = min(w, h * width // height), min(h, w * height // width)
    left, top = (w - cut_w) // 2, (h - cut_h) // 2
    return img.resize((width, height), way, box=(left, top, left + cut_w, top + cut_h))


def img_to_array(
    img: object, data_format: str | None = None, dtype: DTypeLike | None = None
) -> Any:
    """A Pillow image as an array of three axes.

    Shapes: image -> (height, width, channels), or as `data_format` says
    """
    first = _channels_first(data_format)
    x = np.asarray(img, dtype=dtype or config.floatx())
    if x.ndim == 2:
        return x[None] if first else x[..., None]
    if x.ndim != 3:
        raise ArgumentError(f"img_to_array got shape {x.shape}; expected 2 or 3 axes.")
    return x.transpose(2, 0, 1) if first else x


def array_to_img(
    x: Any,
    data_format: str | None = None,
    scale: bool = True,
    dtype: DTypeLike | None = None,
) -> Any:
    """An array of three axes as a Pillow image.

    Args:
        scale: stretch the values to 0 … 255.
    """
    first = _channels_first(data_format)
    x = np.asarray(x, dtype=dtype or config.floatx())
    if x.ndim != 3:
        raise ArgumentError(
            f"array_to_img got shape {x.shape}; expected one image, three axes."
        )
    x = x.transpose(1, 2, 0) if first else x
    if scale:
        x = x - x.min()
        x = x / (x.max() or 1) * 255
    channels = x.shape[2]
    if channels not in (1, 3, 4):
        raise ArgumentError(
            f"array_to_img got {channels} channels, shape {x.shape}; expected "
            "1, 3 or 4."
        )
    x = x[..., 0] if channels == 1 else x
    wide = channels == 1 and x.max() > 255
    return _pillow().fromarray(x.astype("int32" if wide else "uint8"))


def save_img(
    path: object,
    x: object,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array as an image file, in the format of its name's ending.

    Args:
        kwargs: what Pillow's `save` takes, such as `quality`.
    """
    if file_format is None and isinstance(path, str | os.PathLike):
        file_format = os.path.splitext(path)[1][1:].lower() or None
    file_format = "jpeg" if file_format == "jpg" else file_format
    img = array_to_img(x, data_format, scale)
    if img.mode == "RGBA" and file_format == "jpeg":
        warnings.warn(
            "JPEG has no transparency; the fourth channel is left out.", stacklevel=2
        )
        img = img.convert("RGB")
    img.save(path, format=file_format, **kwargs)


# ---- resizing: every output pixel is a weighted sum of some input pixels


def _cubic(x: np.ndarray, b: float, c: float) -> np.ndarray:
    """Mitchell & Netravali's family of cubic kernels."""
    near = (12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + (6 - 2 * b)
    far = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2
    far = far + (-12 * b - 48 * c) * x + (8 * b + 24 * c)
    return np.where(x < 1, near, np.where(x < 2, far, 0)) / 6


def _lanczos(x: np.ndarray, radius: int) -> np.ndarray:
    return np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0)


KERNELS: dict[str, tuple[float, Callable[[np.ndarray], np.ndarray]]] = {
    "bilinear": (1, lambda x: np.maximum(1 - x, 0)),
    "bicubic": (2, functools.partial(_cubic, b=0, c=0.5)),
    "mitchellcubic": (2, functools.partial(_cubic, b=1 / 3, c=1 / 3)),
    "lanczos3": (3, functools.partial(_lanczos, radius=3)),
    "lanczos5": (5, functools.partial(_lanczos, radius=5)),
    "gaussian": (1.5, lambda x: np.where(x < 1.5, np.exp(-2 * x**2), 0)),
}
INTERPOLATIONS = ("nearest", "area", *KERNELS)


@functools.lru_cache(256)
def _taps(n: int, size: int, interpolation: str) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels of `n`, and with what weights, make each of `size` new ones.

    Shapes: -> (size, taps), (size, taps)
    """
    step = n / size
    first = np.arange(size) * step
    if interpolation == "nearest":
        middle = (2 * np.arange(size) + 1) * n // (2 * size)
        return middle[:, None], np.ones((size, 1))
    if interpolation == "area":
        places = np.floor(first).astype(int)[:, None] + np.arange(
            int(np.ceil(step)) + 1
        )
        overlap = np.minimum(places + 1, first[:, None] + step)
        weights = np.maximum(overlap - np.maximum(places, first[:, None]), 0)
    else:
        radius, kernel = KERNELS[interpolation]
        centres = first + step / 2 - 0.5
        begin = np.floor(centres - radius).astype(int) + 1
        places = begin[:, None] + np.arange(int(np.ceil(2 * radius)))
        weights = kernel(np.abs(centres[:, None] - places))
    weights = np.where((places < 0) | (places >= n), 0, weights)
    weights = weights / weights.sum(axis=1, keepdims=True)
    return np.clip(places, 0, n - 1), weights.astype("float32")


def resize(image: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """An image on the host resized, without smoothing, as `ops.image.resize` does.

    Shapes: (height, width, channels) -> (*size, channels)
    """
    for axis in (0, 1):
        if image.shape[axis] != size[axis]:
            places, weights = _taps(image.shape[axis], size[axis], interpolation)
            shape = [1, 1, 1]
            shape[axis] = size[axis]
            image = sum(  # type: ignore[assignment]
                image.take(p, axis) * w.reshape(shape).astype("float32")
                for p, w in zip(places.T, weights.T, strict=True)
            )
    return np.asarray(image, "float32")


def fitted(image: np.ndarray, size: tuple[int, int], crop: bool, pad: bool) -> Any:
    """The image cut, or padded with zeros, to the proportions of `size`."""
    height, width, _ = image.shape
    like_width = max(int(width * size[0] / size[1]), 1)  # height that suits the width
    like_height = max(int(height * size[1] / size[0]), 1)
    if crop:
        h, w = min(height, like_width), min(width, like_height)
        top, left = (height - h) // 2, (width - w) // 2
        return image[top : top + h, left : left + w]
    if pad:
        top = max(like_width - height, 0) // 2  # the same at both ends, as in Keras
        left = max(like_height - width, 0) // 2
        return np.pad(image, ((top, top), (left, left), (0, 0)))
    return image


def read_image(
    path: str, size: tuple[int, int], color_mode: str, interpolation: str,
    crop: bool, pad: bool, channels_first: bool,
) -> np.ndarray:  # fmt: skip
    """An image file as an array of the size wanted."""
    image = np.asarray(load_img(path, color_mode), "float32")
    image = image[..., None] if image.ndim == 2 else image
    image = resize(fitted(image, size, crop, pad), size, interpolation)
    return image.transpose(2, 0, 1) if channels_first else image
