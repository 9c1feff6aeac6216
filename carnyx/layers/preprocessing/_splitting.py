"""Texts cleaned, split and joined to n-grams: bytes in, lists of bytes out."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from carnyx.layers.preprocessing._texts import as_bytes, as_text, is_text

STANDARDIZE = ("lower_and_strip_punctuation", "lower", "strip_punctuation")
SPLIT = ("whitespace", "character")
PUNCTUATION = string.punctuation.encode()
_LOWER = bytes.maketrans(
    string.ascii_uppercase.encode(), string.ascii_lowercase.encode()
)
_END = b"\x00"


class Rows(NamedTuple):
    """Words of samples: all of them, and how many each sample has."""

    words: list[bytes]
    lengths: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[bytes]]) -> Rows:
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        return cls(list(chain.from_iterable(rows)), lengths)

    def number(self) -> np.ndarray:
        """To which sample each word belongs."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def place(self) -> np.ndarray:
        """At which place of its sample each word stands."""
        first = np.cumsum(self.lengths) - self.lengths
        return np.arange(len(self.words)) - np.repeat(first, self.lengths)

    def lists(self) -> list[list[bytes]]:
        """The words of each sample."""
        ends = np.cumsum(self.lengths).tolist()
        return [
            self.words[end - length : end]
            for end, length in zip(ends, self.lengths.tolist(), strict=True)
        ]


def standardized(texts: np.ndarray, how: Any, encoding: str) -> list[bytes]:
    """Texts in small letters, without punctuation, of ASCII; or as a function says.

    >>> standardized(np.array(["Ärger, MORE."]), "lower", "utf-8")[0].decode()
    'Ärger, more.'
    """
    if callable(how):
        plain = np.array(as_text(as_bytes(texts, encoding), encoding))
        out = np.asarray(how(plain.reshape(texts.shape)))
        return as_bytes(out if is_text(out) else out.astype(str), encoding)
    raw = as_bytes(texts, encoding)
    lower = _LOWER if how in ("lower", "lower_and_strip_punctuation") else None
    drop = PUNCTUATION if how in STANDARDIZE and how != "lower" else b""
    if how is None:
        return raw
    joined = _END.join(raw)
    if joined.count(_END) == len(raw) - 1:  # all at once
        return joined.translate(lower, drop).split(_END)
    return [text.translate(lower, drop) for text in raw]


def split(texts: list[bytes], how: Any, encoding: str) -> list[Sequence[bytes]]:
    """The words of each text.

    >>> split([b"to be  or"], "whitespace", "utf-8")
    [[b'to', b'be', b'or']]
    """
    if how == "whitespace":
        return list(map(bytes.split, texts))
    if how == "character":
        return [[c.encode() for c in text.decode("utf-8", "replace")] for text in texts]
    rows = how(np.array(as_text(texts, encoding)))
    rows = rows.to_list() if hasattr(rows, "to_list") else rows  # of TensorFlow
    return [as_bytes(np.asarray(list(row), object), encoding) for row in rows]


def ngrams(rows: Sequence[Sequence[bytes]], widths: tuple[int, ...]) -> list[list]:
    """Neighbouring words joined by spaces, those of the first width first.

    >>> ngrams([[b"a", b"b", b"c"]], (1, 2))
    [[b'a', b'b', b'c', b'a b', b'b c']]
    """
    join: Callable[..., bytes] = b" ".join
    return [
        [
            join(row[i : i + width])
            for width in widths
            for i in range(len(row) - width + 1)
        ]
        for row in rows
    ]
