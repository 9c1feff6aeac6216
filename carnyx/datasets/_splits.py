"""Rows in a fixed random order, and the last part of them as the test part."""

from __future__ import annotations

import numpy as np

from carnyx._numbers import REFUSED, as_number
from carnyx.errors import ArgumentError
from carnyx.utils.files import get_file

FOLDER = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"

Split = tuple[np.ndarray, np.ndarray]


def shuffled(random: np.random.RandomState, x: np.ndarray, y: np.ndarray) -> Split:
    """Rows and labels in a random order, for the same generator that of Keras."""
    order = np.arange(len(x))
    random.shuffle(order)
    return x[order], y[order]


def split(x: np.ndarray, y: np.ndarray, test_split: float) -> tuple[Split, Split]:
    """The first rows for training, the last `test_split` of them for the test."""
    end = int(len(x) * (1 - test_split))
    return (x[:end], y[:end]), (x[end:], y[end:])


def table(
    path: str, origin: str, sha256: str, seed: int, test_split: float,
    rows: int | None = None,
) -> tuple[Split, Split]:  # fmt: skip
    """A data set of numbers in an `.npz` file: downloaded, shuffled and split."""
    test_split = check_split(test_split)
    with np.load(get_file(path, origin, file_hash=sha256), allow_pickle=False) as file:
        x, y = file["x"][:rows], file["y"][:rows]
    return split(*shuffled(np.random.RandomState(seed), x, y), test_split)


def check_split(test_split: float) -> float:
    """Refuse a share outside of [0, 1) before anything is downloaded."""
    share = as_number(test_split)
    if share is REFUSED or not 0 <= share < 1:
        raise ArgumentError(
            f"test_split got {test_split!r}; expected a number of at least 0 and below "
            "1, the share of rows for the test part."
        )
    return share
