"""Texts as lists of word numbers: what IMDB and Reuters have in common.

Words are numbered from 1 by how often they occur. In the data sets the numbers begin
at `index_from + 1`, for the first few stand for padding (0), the start of a text, and
words that were left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np

from carnyx.errors import ArgumentError
from carnyx.utils.files import get_file

Texts = list[list[int]]


def moved(texts: Iterable[Sequence[int]], start: int | None, index_from: int) -> Texts:
    """Every word's number `index_from` higher, behind a start mark if there is one."""
    begin = [] if start is None else [start]
    return [begin + [word + index_from for word in text] for text in texts]


def shorter(
    texts: Texts, labels: np.ndarray, maxlen: int | None
) -> tuple[Texts, np.ndarray]:
    """The texts of fewer than `maxlen` words, and their labels."""
    if not maxlen:
        return texts, labels
    kept = [i for i, text in enumerate(texts) if len(text) < maxlen]
    if not kept:
        raise ArgumentError(
            f"maxlen={maxlen}: no text is shorter. Choose a larger maxlen, or None."
        )
    return [texts[i] for i in kept], labels[kept]


def limited(
    texts: Texts, num_words: int | None, skip_top: int, oov: int | None
) -> list[list[int]]:
    """Words from `skip_top` on and below `num_words`; others are `oov`, or left out."""
    end = num_words or max(map(max, texts))
    if oov is None:
        return [[w for w in text if skip_top <= w < end] for text in texts]
    return [[w if skip_top <= w < end else oov for w in text] for text in texts]


def as_objects(texts: Texts) -> np.ndarray:
    """A one-dimensional array of lists, also where all have the same length.

    >>> as_objects([[1, 2], [3, 4]]).shape
    (2,)
    """
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array


def word_index(path: str, origin: str, md5: str) -> dict[str, int]:
    """The words and their numbers, from a JSON file."""
    with open(get_file(path, origin, file_hash=md5), encoding="utf-8") as file:
        return json.load(file)
