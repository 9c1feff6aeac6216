"""Which number each word has: of texts by a table, of integers by bisection."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from carnyx.errors import ArgumentError, MissingFileError
from carnyx.layers.preprocessing._texts import as_bytes, as_text
from carnyx.typing import ArrayLike

UNKNOWN, MASKED = -1, -2


class TextVocabulary:
    """Texts, numbered from 0.

    Args:
        mask: the text that is `MASKED`, or None.
    """

    holds_variables = False

    def __init__(
        self, tokens: Sequence[Any] = (), mask: Any = None, encoding: str = "utf-8"
    ) -> None:
        self.encoding = encoding
        self.tokens: list[str] = as_text(tokens, encoding)
        keys = as_bytes(self.tokens, encoding)
        self._numbers = dict(zip(keys, range(len(keys)), strict=True))
        if mask is not None:
            self._numbers[as_bytes([mask], encoding)[0]] = MASKED

    def __len__(self) -> int:
        return len(self.tokens)

    def find(self, values: ArrayLike) -> np.ndarray:
        """The number of each text, flat; `UNKNOWN` and `MASKED` are negative."""
        values = self.keys(values)
        found = map(self._numbers.get, values, itertools.repeat(UNKNOWN))
        return np.fromiter(found, np.int64, len(values))

    def keys(self, values: ArrayLike) -> list[bytes]:
        """The values as they are looked up and hashed."""
        if isinstance(values, list) and values and isinstance(values[0], bytes):
            return values
        return as_bytes(values, self.encoding)

    def count(self, values: ArrayLike) -> Counter:
        """How often each occurs."""
        return Counter(self.keys(values))

    def words(self) -> list[Any]:
        """The tokens as a user reads them."""
        return list(self.tokens)

    def learned(self, keys: Sequence[Any]) -> list[Any]:
        """Tokens of what was counted."""
        return as_text(keys, self.encoding)

    array_dtype: Any = object


class NumberVocabulary:
    """Integers, numbered from 0 in their order."""

    holds_variables = False
    array_dtype: Any = np.int64

    def __init__(self, tokens: Sequence[Any] = (), mask: Any = None) -> None:
        self.tokens = np.asarray(list(tokens), np.int64)
        self._order = np.argsort(self.tokens)
        self._sorted = self.tokens[self._order]
        self._mask = None if mask is None else int(mask)

    def __len__(self) -> int:
        return len(self.tokens)

    def find(self, values: ArrayLike) -> np.ndarray:
        values = self.keys(values)
        found = np.full(values.shape, UNKNOWN)
        if len(self.tokens):
            places = np.searchsorted(self._sorted, values)
            places = np.minimum(places, len(self.tokens) - 1)
            known = self._sorted[places] == values
            found[known] = self._order[places[known]]
        if self._mask is not None:
            found[values == self._mask] = MASKED
        return found

    def keys(self, values: ArrayLike) -> np.ndarray:
        return np.asarray(values).ravel().astype(np.int64)

    def count(self, values: ArrayLike) -> Counter:
        tokens, counts = np.unique(self.keys(values), return_counts=True)
        return Counter(dict(zip(tokens.tolist(), counts.tolist(), strict=True)))

    def words(self) -> list[Any]:
        return self.tokens.tolist()

    def learned(self, keys: Sequence[Any]) -> list[Any]:
        return list(keys)


def read_vocabulary(path: Any) -> list[str]:
    """The lines of a file.

    Raises:
        MissingFileError: where there is none.
    """
    file = Path(path)
    if not file.exists():
        raise MissingFileError(f"There is no vocabulary file {str(path)!r}.")
    lines = file.read_text("utf-8").replace("\r\n", "\n").split("\n")
    while lines and not lines[-1]:
        lines.pop()
    return lines


def check_tokens(tokens: Sequence[Any], mask: Any, oov: Any, special: list) -> None:
    """Refuse words that come twice, and special ones among the others."""
    if len(set(tokens)) < len(tokens):
        twice = [t for t, n in Counter(tokens).items() if n > 1]
        raise ArgumentError(
            f"The vocabulary has terms that come more than once: {twice[:10]}."
        )
    for what, token in (("mask", mask), ("OOV", oov)):
        if token is not None and token in tokens:
            raise ArgumentError(
                f"The {what} token {token!r} stands in the middle of the vocabulary. "
                f"Leave special tokens out, or begin with exactly these: {special}."
            )
