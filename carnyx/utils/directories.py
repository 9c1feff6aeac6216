"""Datasets of files in a directory: a sub-directory a class."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from carnyx._data import Dataset
from carnyx.errors import ArgumentError, DataError, add_note_once
from carnyx.typing import PathLike
from carnyx.utils import images

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


def image_dataset_from_directory(
    directory: PathLike,
    labels: object = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: object = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    format: str = "tf",
    verbose: bool = True,
) -> Any:
    """A `Dataset` of images, float32 from 0 to 255, and the classes of their folders.

    Shapes: -> (batch, height, width, channels), and labels as `label_mode` says

    Args:
        labels: `"inferred"` from the sub-directories, a list in the order of the
            files' names, or None.
        label_mode: `"int"` (batch,), `"binary"` (batch, 1), `"categorical"` one-hot.
        batch_size: None gives single images.
        subset: with `validation_split`: `"training"`, `"validation"`, or `"both"`.
        interpolation: one of `ops.image.resize`'s, gaussian, mitchellcubic or area.
        format: `"tf"` or `"grain"`; either gives Carnyx's own `Dataset`.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise ArgumentError(f"image_size got {image_size!r}; expected (height, width).")
    images._choice("color_mode", color_mode, images.MODES)
    images._choice("interpolation", interpolation.lower(), images.INTERPOLATIONS)
    images._choice("format", format, ("tf", "grain"))
    read = functools.partial(
        images.read_image, size=(size[0], size[1]), color_mode=color_mode,
        interpolation=interpolation.lower(), crop=crop_to_aspect_ratio,
        pad=pad_to_aspect_ratio, channels_first=images._channels_first(data_format),
    )  # fmt: skip
    return _dataset(
        directory, read, IMAGES, labels, label_mode, class_names, batch_size, shuffle,
        seed, validation_split, subset, follow_links, verbose,
    )  # fmt: skip


def text_dataset_from_directory(
    directory: PathLike,
    labels: object = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    batch_size: int | None = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    format: str = "tf",
    verbose: bool = True,
) -> Any:
    """A `Dataset` of the contents of `.txt` files (UTF-8), as Python strings.

    Other arguments are those of `image_dataset_from_directory`.

    Args:
        max_length: how many characters of each file to keep.
    """
    images._choice("format", format, ("tf", "grain"))
    return _dataset(
        directory, functools.partial(_read_text, length=max_length), (".txt",), labels,
        label_mode, class_names, batch_size, shuffle, seed, validation_split, subset,
        follow_links, verbose,
    )  # fmt: skip


def audio_dataset_from_directory(
    directory: PathLike,
    labels: object = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    batch_size: int | None = 32,
    sampling_rate: int | None = None,
    output_sequence_length: int | None = None,
    ragged: bool = False,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    verbose: bool = True,
) -> Any:
    """A `Dataset` of `.wav` files, float32 from -1 to 1.

    Other arguments are those of `image_dataset_from_directory`.

    Shapes: -> (batch, samples, channels), and labels as `label_mode` says

    Args:
        sampling_rate: resample to so many samples a second.
        output_sequence_length: cut or pad to so many samples; by default, to the
            longest of each batch.
        ragged: must be False; there are no ragged tensors here.
    """
    if ragged:
        raise ArgumentError(
            "ragged=True needs TensorFlow's ragged tensors. Batches here are padded "
            "with zeros: to the longest, or to output_sequence_length."
        )
    read = functools.partial(
        _read_audio, rate=sampling_rate, length=output_sequence_length
    )
    return _dataset(
        directory, read, (".wav",), labels, label_mode, class_names, batch_size,
        shuffle, seed, validation_split, subset, follow_links, verbose, padded=True,
    )  # fmt: skip


# ---- reading


def _read_text(path: str, length: int | None) -> str:
    with open(path, encoding="utf-8") as stream:
        return stream.read() if length is None else stream.read(length)


def _read_audio(path: str, rate: int | None, length: int | None) -> np.ndarray:
    try:
        import soundfile  # type: ignore[import-not-found]
    except ImportError as error:
        add_note_once(error, "Audio files need soundfile: pip install soundfile")
        raise
    samples, found = soundfile.read(path, dtype="float32", always_2d=True)
    if rate is not None and rate != found:
        samples = _resampled(samples, max(round(len(samples) * rate / found), 1))
    if length is None:
        return samples
    return np.pad(samples[:length], ((0, max(length - len(samples), 0)), (0, 0)))


def _resampled(samples: np.ndarray, length: int) -> np.ndarray:
    """Band-limited: the spectrum is cut, or goes on with zeros."""
    spectrum = np.fft.rfft(samples, axis=0)
    scaled = np.fft.irfft(spectrum[: length // 2 + 1], length, axis=0)
    return (scaled * (length / len(samples))).astype("float32")


# ---- finding


def _dataset(
    directory: Any, read: Callable[[str], Any], formats: tuple[str, ...], labels: Any,
    label_mode: str | None, class_names: Any, batch_size: int | None, shuffle: bool,
    seed: int | None, split: float | None, subset: str | None, follow_links: bool,
    verbose: bool, padded: bool = False,
) -> Any:  # fmt: skip
    images._choice("label_mode", label_mode, ("int", "categorical", "binary", None))
    _check_split(split, subset, shuffle, seed)
    labels = None if label_mode is None else labels
    paths, numbers, names = _index(
        os.fspath(directory), labels, formats, class_names, follow_links, verbose
    )
    if label_mode == "binary" and len(names or ()) != 2:
        raise ArgumentError(f"label_mode='binary' needs 2 classes; found {names}.")
    order = np.arange(len(paths))
    if shuffle and seed is not None:  # with a seed, subsets are those of Keras
        np.random.RandomState(seed).shuffle(order)
    made = []
    for part, places in _parts(order, split, subset, verbose):
        if not len(places):
            raise DataError(
                f"No files in {directory} for {part or 'the dataset'}; looked for "
                f"{', '.join(formats)}."
            )
        files = [paths[i] for i in places]
        targets = None if numbers is None else [numbers[i] for i in places]
        data = _of_files(files, targets, read, label_mode, len(names or ()))
        if shuffle and (subset != "both" or part == "training"):
            data = data.shuffle(seed=seed)
        if batch_size is not None:
            data = (data.padded_batch if padded else data.batch)(batch_size)
        data.class_names, data.file_paths = names, files
        made.append(data)
    return made if subset == "both" else made[0]


def _of_files(
    paths: list[str], numbers: Any, read: Any, mode: Any, classes: int
) -> Dataset:
    def label(number: int) -> Any:
        if mode == "categorical":
            return np.eye(classes, dtype="float32")[number]
        return np.int32(number) if mode == "int" else np.array([number], "float32")

    def element(index: int) -> Any:
        try:
            x = read(paths[index])
        except Exception as error:
            add_note_once(error, f"while reading {paths[index]}")
            raise
        return x if numbers is None else (x, label(numbers[index]))

    return Dataset(len(paths), element)


def _index(
    directory: str, labels: Any, formats: tuple[str, ...], class_names: Any,
    follow_links: bool, verbose: bool,
) -> tuple[list[str], Any, Any]:  # fmt: skip
    """Files in the order of their names, the numbers of their classes, and names."""
    if labels == "inferred":
        found = [e.name for e in sorted(os.scandir(directory), key=lambda e: e.name)
                 if e.is_dir() and not e.name.startswith(".")]  # fmt: skip
        names = list(found if class_names is None else class_names)
        if not set(names) <= set(found):
            raise ArgumentError(
                f"class_names got {names}; {directory} has the folders {found}."
            )
        files = [
            _files(os.path.join(directory, n), formats, follow_links) for n in names
        ]
        numbers = [i for i, each in enumerate(files) for _ in each]
        paths = [path for each in files for path in each]
    else:
        paths = _files(directory, formats, follow_links)
        names, numbers = _given_labels(labels, class_names, len(paths), directory)
    if verbose:
        classes = "" if names is None else f" belonging to {len(names)} classes"
        print(f"Found {len(paths)} files{classes}.")
    return paths, numbers, names


def _given_labels(labels: Any, class_names: Any, count: int, directory: str) -> Any:
    if class_names is not None:
        raise ArgumentError(
            "class_names orders the folders where labels='inferred'; got it with "
            f"labels={'None' if labels is None else 'a list'}."
        )
    if labels is None:
        return None, None
    if not isinstance(labels, list | tuple):
        raise ArgumentError(
            f"labels got {labels!r}; expected 'inferred', None, or a list of integers, "
            "one a file in the order of the files' names."
        )
    if len(labels) != count:
        raise ArgumentError(
            f"labels has {len(labels)} entries; {directory} has {count} files."
        )
    return [str(label) for label in sorted(set(labels))], list(labels)


def _files(directory: str, formats: tuple[str, ...], follow_links: bool) -> list[str]:
    walk = sorted(os.walk(directory, followlinks=follow_links))
    return [
        os.path.join(folder, name)
        for folder, _, names in walk
        for name in sorted(names)
        if name.lower().endswith(formats)
    ]


def _check_split(split: Any, subset: Any, shuffle: bool, seed: Any) -> None:
    images._choice("subset", subset, ("training", "validation", "both", None))
    if (split is None) != (subset is None):
        raise ArgumentError(
            f"validation_split={split} and subset={subset!r} go together; give both."
        )
    if split is not None and not 0 < split < 1:
        raise ArgumentError(f"validation_split got {split}; it is between 0 and 1.")
    if split is not None and shuffle and seed is None:
        raise ArgumentError(
            "validation_split with shuffle=True needs a seed, so that training and "
            "validation have no file in common."
        )


def _parts(
    order: np.ndarray, split: float | None, subset: Any, verbose: bool
) -> list[tuple[str, np.ndarray]]:
    if split is None:
        return [("", order)]
    cut = len(order) - int(split * len(order))
    parts = {"training": order[:cut], "validation": order[cut:]}
    chosen = [p for p in parts.items() if subset in (p[0], "both")]
    for name, places in chosen:
        if verbose:
            print(f"Using {len(places)} files for {name}.")
    return chosen
