"""Layers that know words: given to them, or learned by counting."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from carnyx import config
from carnyx.configurable import at_least, field, one_of
from carnyx.errors import ArgumentError, VocabularyError
from carnyx.layers.input_spec import label
from carnyx.layers.preprocessing._encoding import (
    MODES,
    mode_in,
    modern_mode,
    refuse_sparse,
)
from carnyx.layers.preprocessing._has_vocabulary import HasVocabulary
from carnyx.layers.preprocessing._host import as_numpy
from carnyx.layers.preprocessing._vocabulary import (
    NumberVocabulary,
    TextVocabulary,
    check_tokens,
    read_vocabulary,
)
from carnyx.layers.preprocessing.hashing import as_salt
from carnyx.typing import ArrayLike, Data, Words


class KnowsWords(HasVocabulary, register=False):
    """The part of lookups that has the words, in the order of their numbers.

    Numbers are given out in this order: the mask (in mode `"int"`, if there is one),
    words that are not in the vocabulary, the vocabulary.
    """

    max_tokens: int | None = field(None, check=at_least(2, "an integer"))
    num_oov_indices: int = field(1, check=at_least(0, "an integer"))
    mask_token: Any = field(None)
    oov_token: Any = field(None)
    vocabulary: Any = field(None, config=False)
    idf_weights: ArrayLike = field(None, config=False)
    invert: bool = field(False)
    output_mode: str = field("int", modern_mode, check=mode_in(*MODES, "tf_idf"))
    pad_to_max_tokens: bool = field(False)
    sparse: bool = field(False)
    oov_method: str = field("floormod", check=one_of("floormod", "farmhash"))
    salt: Any = field(None, as_salt)

    _of_texts = True
    _learns = True  # no vocabulary was given

    def __post_init__(self) -> None:
        refuse_sparse(self)
        self._check_together()
        given, weights = self.vocabulary, self.idf_weights
        self._learns = given is None
        self._idf: np.ndarray | None = None
        self._size: int | None = None  # as encodings have it, once it is known
        self._words = self._new([])
        self.reset_state()
        # Kept as arrays: a list would be searched for layers with every new attribute.
        self.idf_weights = None if weights is None else np.asarray(weights, "float32")
        if given is None:
            return
        if isinstance(given, str | os.PathLike):
            self.vocabulary = None  # the file need not be there for whoever loads this
        else:
            self.vocabulary = as_numpy(given)
        self.set_vocabulary(given, weights)

    def _check_together(self) -> None:
        mode, name = self.output_mode, type(self).__name__
        if self.pad_to_max_tokens and self.max_tokens is None:
            raise ArgumentError(f"{name} got pad_to_max_tokens=True; give max_tokens.")
        if self.invert and mode != "int":
            raise ArgumentError(
                f"{name} got output_mode={mode!r} with invert=True; expected 'int'."
            )
        if self.idf_weights is not None and mode != "tf_idf":
            raise ArgumentError(
                f"{name} got idf_weights with output_mode={mode!r}; they are for "
                "'tf_idf'."
            )
        if self.salt is not None and not self._of_texts:
            if self.oov_method != "farmhash":
                raise ArgumentError(
                    f"{name} got a salt with oov_method={self.oov_method!r}; it is for "
                    "'farmhash'."
                )

    def _new(self, tokens: Words) -> TextVocabulary | NumberVocabulary:
        mask = None if self.invert else self.mask_token
        if self._of_texts:
            return TextVocabulary(tokens, mask, getattr(self, "encoding", "utf-8"))
        return NumberVocabulary(tokens, mask)

    # ---- the vocabulary ----------------------------------------------------------

    @property
    def _first_unknown(self) -> int:
        return int(self.mask_token is not None and self.output_mode == "int")

    @property
    def _first_token(self) -> int:
        return self._first_unknown + self.num_oov_indices

    def _special(self) -> list[Any]:
        masks = [self.mask_token] * self._first_unknown
        return masks + [self.oov_token] * self.num_oov_indices

    def vocabulary_size(self) -> int:
        """How many numbers there are, the special ones among them."""
        return len(self._words) + self._first_token

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The words in the order of their numbers.

        Args:
            include_special_tokens: whether to begin with the mask and unknown words,
                so that a word stands at its number.
        """
        special = self._special() if include_special_tokens else []
        return [*special, *self._words.words()]

    def set_vocabulary(self, vocabulary: Words, idf_weights: ArrayLike = None) -> None:
        """Take these words instead of what was given or learned.

        Args:
            vocabulary: with the special words at its beginning, or without them; or a
                file with one word in each line.
            idf_weights: one for each, in mode `"tf_idf"`.
        """
        self._check_weights(idf_weights)
        if isinstance(vocabulary, str | os.PathLike):
            vocabulary = read_vocabulary(vocabulary)
            vocabulary = vocabulary if self._of_texts else list(map(int, vocabulary))
        else:
            vocabulary = self._new(as_numpy(vocabulary).ravel().tolist()).words()
        if not vocabulary:
            raise ArgumentError(f"{label(self)} got an empty vocabulary.")
        special = self._special()
        begins = vocabulary[: len(special)] == special
        tokens = vocabulary[len(special) :] if begins else vocabulary
        oov = self.oov_token if self.invert else None
        check_tokens(tokens, self.mask_token, oov, special)
        size = len(special) + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ArgumentError(
                f"{label(self)} got a vocabulary of {size}, the special words among "
                f"them, but max_tokens is {self.max_tokens}."
            )
        self._words = self._new(tokens)
        self._fix_size()
        if idf_weights is not None:
            self._take_weights(np.asarray(idf_weights), len(vocabulary), bool(begins))

    def _check_weights(self, idf_weights: ArrayLike) -> None:
        wanted = self.output_mode == "tf_idf"
        if wanted and idf_weights is None:
            raise ArgumentError(
                f"{label(self)} got a vocabulary but no idf_weights, which "
                "output_mode='tf_idf' needs."
            )
        if idf_weights is not None and not wanted:
            raise ArgumentError(
                f"{label(self)} got idf_weights with output_mode={self.output_mode!r}; "
                "they are for 'tf_idf'."
            )

    def _take_weights(self, weights: np.ndarray, words: int, whole: bool) -> None:
        if weights.shape != (words,):
            raise ArgumentError(
                f"{label(self)} got idf_weights of shape {weights.shape} for a "
                f"vocabulary of {words}; expected one for each."
            )
        self._idf = self._padded(weights, 0 if whole else self._first_token)

    def _padded(self, weights: np.ndarray, front: int) -> np.ndarray:
        """With the mean weight for unknown words, and 0 for what is not there."""
        back = 0
        if self.pad_to_max_tokens and self.max_tokens is not None:
            back = max(self.max_tokens - front - len(weights), 0)
        mean = float(np.mean(weights)) if front else 0.0
        padded = np.pad(weights, (front, back), constant_values=(mean, 0.0))
        return padded.astype(config.floatx())

    def _fix_size(self) -> None:
        """Encodings have this size from now on."""
        size = self.vocabulary_size()
        grows = self.output_mode != "int" and not self.pad_to_max_tokens
        if grows and self._size not in (None, size):
            raise VocabularyError(
                f"{label(self)} had a vocabulary of {self._size}, so its outputs have "
                f"that size; the new one has {size}. Make another layer, or give "
                "max_tokens and pad_to_max_tokens=True."
            )
        self._size = size

    # ---- learning ----------------------------------------------------------------

    def reset_state(self) -> None:
        self._counts: Any = _Counts()

    def update_state(self, data: Data) -> None:
        """Count the words of a batch; each row of it is a document."""
        array = as_numpy(data)
        self.count(array, lambda: array.reshape(1, -1) if array.ndim < 2 else array)

    def count(self, words: Words, documents: Callable[[], Any]) -> None:
        """Count words.

        Args:
            documents: gives them by document; asked where it matters.
        """
        if not self._learns:
            raise ArgumentError(
                f"{label(self)} was given its vocabulary, so it does not adapt. Make "
                "it without one."
            )
        self._counts.words.update(self._words.count(words))
        if self.output_mode == "tf_idf":
            rows = documents()
            self._counts.documents += len(rows)
            for row in rows:
                self._counts.containing.update(set(self._words.count(row)))

    def finalize_state(self) -> None:
        counts = self._counts
        if self._learns and counts.words:
            for special in (self.mask_token, self.oov_token):
                if special is not None:
                    counts.words.pop(*self._new([]).keys([special]), None)
            order = sorted(counts.words.items(), key=lambda kv: kv[::-1], reverse=True)
            if self.max_tokens is not None:
                order = order[: max(self.max_tokens - self._first_token, 0)]
            keys = [key for key, _ in order]
            self._words = self._new(self._words.learned(keys))
            if self.output_mode == "tf_idf":
                self._idf = self._padded(counts.rarity(keys), self._first_token)
        self.reset_state()
        self._fix_size()

    def adapt(self, data: Data, steps: int | None = None) -> None:
        if isinstance(data, list | tuple):
            data = as_numpy(data)
        if isinstance(data, np.ndarray) and data.ndim == 1:
            data = data[:, None]  # each word is a document of its own
        super().adapt(data, steps)

    def take_saved(self, lines: list[str]) -> None:
        """The words of a file that was saved with the layer."""
        words = lines if self._of_texts else list(map(int, lines))
        if words[len(self._special()) :]:
            weights = None if self._idf is None else self._idf[: len(words)]
            self.set_vocabulary(words, weights)

    def expect_size(self, size: int | None) -> None:
        """How many words there will be, before they are read."""
        if self._size is None:
            self._size = size

    def _lookup(self) -> KnowsWords:
        return self


class _Counts:
    """Of words and documents, while a layer learns."""

    holds_variables = False

    def __init__(self) -> None:
        self.words: Counter = Counter()
        self.containing: Counter = Counter()  # in how many documents each word occurs
        self.documents = 0

    def rarity(self, keys: list[Any]) -> np.ndarray:
        """log(1 + documents / (1 + documents with the word))"""
        containing = np.array([self.containing[key] for key in keys], np.float64)
        return np.log(1 + self.documents / (1 + containing))
