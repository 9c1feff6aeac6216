"""Words as numbers, by a vocabulary that is given or learned; and back again."""

from __future__ import annotations

from typing import Any

import numpy as np

from carnyx import config
from carnyx.errors import ArgumentError, VocabularyError
from carnyx.layers.input_spec import label
from carnyx.layers.preprocessing._encoding import bags, encoded_on_host, encoded_shape
from carnyx.layers.preprocessing._knows_words import KnowsWords
from carnyx.layers.preprocessing._texts import need_text, number_texts
from carnyx.layers.preprocessing._vocabulary import MASKED, UNKNOWN
from carnyx.layers.preprocessing.hashing import bins_of
from carnyx.typing import ArrayLike, DTypeLike, Shape


class IndexLookup(KnowsWords, register=False):
    """Base of lookups: the number of each word, or the word of each number."""

    @property
    def output_dtype(self) -> DTypeLike:  # type: ignore[override]
        if self.invert:
            return "string" if self._of_texts else "int64"
        return "int64" if self.output_mode == "int" else config.floatx()

    def on_host(self, inputs: np.ndarray) -> np.ndarray:
        if self.invert:
            return self._words_of(inputs)
        if self._of_texts:
            need_text(inputs, self)
        numbers = self.numbers(inputs).reshape(inputs.shape)
        return numbers if self.output_mode == "int" else self.encoded(numbers)

    def encoded(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers of words in the form that the output has."""
        mode = "count" if self.output_mode == "tf_idf" else self.output_mode
        encoded = encoded_on_host(numbers, mode, self._depth(), config.floatx())
        return self._weighted(encoded)

    def numbers(self, values: ArrayLike) -> np.ndarray:
        """The number of each word, flat; masked ones are negative where they count for
        nothing."""
        found = self._words.find(values)
        numbers = found + self._first_token
        if self.mask_token is not None:
            numbers[found == MASKED] = 0 if self.output_mode == "int" else -1
        unknown = np.flatnonzero(found == UNKNOWN)
        if unknown.size:
            numbers[unknown] = self._first_unknown + self._shared(values, unknown)
        return numbers

    def _shared(self, values: ArrayLike, unknown: np.ndarray) -> Any:
        """Which of the numbers for unknown words each of them gets."""
        if self.num_oov_indices == 1:
            return 0
        keys: Any = self._words.keys(values)
        if self._of_texts:
            keys = [keys[i] for i in unknown.tolist()]
        else:
            keys = keys[unknown]
        if not self.num_oov_indices:
            raise ArgumentError(
                f"{label(self)} got {keys[0]!r}, which is not in its vocabulary, and "
                "num_oov_indices=0 leaves no number for unknown words. With "
                "num_oov_indices=1 they all have one."
            )
        if not self._of_texts and self.oov_method == "floormod":
            return keys % self.num_oov_indices
        texts = keys if self._of_texts else number_texts(keys)
        return bins_of(texts, self.num_oov_indices, self.salt)

    def _words_of(self, inputs: np.ndarray) -> np.ndarray:
        words = [*self._special(), *self._words.words(), self.oov_token]
        table = np.array(words, self._words.array_dtype)
        numbers = inputs.astype(np.int64)
        unknown = (numbers < 0) | (numbers >= len(words))
        return table[np.where(unknown, len(words) - 1, numbers)]

    def bagged(self, rows: np.ndarray, numbers: np.ndarray, count: int) -> np.ndarray:
        """Encodings of `count` samples, for words that belong to these rows."""
        mode = "multi_hot" if self.output_mode == "multi_hot" else "count"
        bag = bags(rows, numbers, count, mode, self._depth())
        return self._weighted(bag.astype(config.floatx()))

    def _weighted(self, encoded: np.ndarray) -> np.ndarray:
        if self.output_mode != "tf_idf":
            return encoded
        if self._idf is None:
            raise VocabularyError(
                f"{label(self)} has no idf_weights yet: call adapt(data)."
            )
        return encoded * self._idf

    def _depth(self) -> int:
        depth = self.max_tokens if self.pad_to_max_tokens else self._size
        if depth is None:
            raise VocabularyError(
                f"{label(self)} has no vocabulary yet, so its outputs have no size. "
                "Call adapt(data) first, or give a vocabulary."
            )
        return depth

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        depth = self.max_tokens if self.pad_to_max_tokens else self._size
        return encoded_shape(input_shape, self.output_mode, depth)


__all__: list[str] = []
