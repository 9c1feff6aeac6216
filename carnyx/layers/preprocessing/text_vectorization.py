"""`TextVectorization`: sentences as the numbers of their words."""

from __future__ import annotations

from typing import Any

import numpy as np

from carnyx import config, registry
from carnyx.configurable import field
from carnyx.errors import ArgumentError, ShapeError
from carnyx.layers.input_spec import label
from carnyx.layers.preprocessing._adapting import batches
from carnyx.layers.preprocessing._encoding import refuse_sparse
from carnyx.layers.preprocessing._has_vocabulary import HasVocabulary
from carnyx.layers.preprocessing._host import as_numpy
from carnyx.layers.preprocessing._splitting import (
    SPLIT,
    STANDARDIZE,
    Rows,
    ngrams,
    split,
    standardized,
)
from carnyx.layers.preprocessing._texts import need_text
from carnyx.layers.preprocessing.lookups import StringLookup
from carnyx.typing import ArrayLike, Data, DTypeLike, Shape, Words


def _one_of_or_function(*names: str) -> Any:
    def check(value: ArrayLike) -> str | None:
        good = value in names if isinstance(value, str) else callable(value)
        return None if good else f"one of {', '.join(map(repr, names))}, or a function"

    return check


def _revived(value: ArrayLike) -> Any:
    if registry.is_serialized(value):
        return registry.deserialize_keras_object(value)
    return value


def _widths(value: ArrayLike) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_widths(value: ArrayLike) -> str | None:
    several = value if isinstance(value, tuple | list) else (value,)
    good = all(isinstance(n, int) and n > 0 for n in several)
    return None if good else "an integer above 0, or a tuple of them"


class TextVectorization(HasVocabulary):
    """Texts as the numbers of their words, or as bags of words.

    Texts are put into small letters and freed of punctuation (of ASCII), split at white
    space, joined to n-grams, and looked up: 0 pads, 1 stands for unknown words.

    Shapes: int: (batch,) or (batch, 1) -> (batch, length), that of the longest text in
        the batch unless `output_sequence_length` says it; else (batch, max_tokens), or
        as many as the vocabulary has

    Args:
        max_tokens: how many numbers there may be, the special ones among them.
        standardize: `"lower_and_strip_punctuation"`, `"lower"`, `"strip_punctuation"`,
            None, or a function of an array of texts.
        split: `"whitespace"`, `"character"`, None for texts that are words already, or
            a function from an array of texts to a list of words for each.
        ngrams: up to how many words are joined, or which numbers of them.
        output_mode: `"int"`, `"multi_hot"`, `"count"` or `"tf_idf"`.
        vocabulary: the words, or a file with one in each line; or call `adapt`.

    >>> layer = TextVectorization(output_sequence_length=4)
    >>> layer.adapt(["The sky is blue.", "The grass is green."])
    >>> layer.get_vocabulary()
    ['', '[UNK]', 'the', 'is', 'sky', 'green', 'grass', 'blue']
    >>> layer(["Is the sea blue?", "Green!"]).tolist()
    [[3, 2, 1, 7], [5, 0, 0, 0]]
    """

    max_tokens: int | None = field(None)
    standardize: Any = field(
        "lower_and_strip_punctuation", _revived, check=_one_of_or_function(*STANDARDIZE)
    )
    split: Any = field("whitespace", _revived, check=_one_of_or_function(*SPLIT))
    ngrams: Any = field(None, _widths, check=_is_widths)
    output_mode: str = field("int")
    output_sequence_length: int | None = field(None)
    pad_to_max_tokens: bool = field(False)
    vocabulary: Any = field(None, config=False)
    idf_weights: ArrayLike = field(None, config=False)
    sparse: bool = field(False)
    ragged: bool = field(False)
    encoding: str = field("utf-8")

    def __post_init__(self) -> None:
        refuse_sparse(self)
        if self.ragged:
            raise ArgumentError(
                "TextVectorization got ragged=True; outputs are padded here. Leave it "
                "out, and mask what is 0."
            )
        self._lookup_layer = StringLookup(
            max_tokens=self.max_tokens,
            vocabulary=self.vocabulary,
            idf_weights=self.idf_weights,
            pad_to_max_tokens=self.pad_to_max_tokens,
            mask_token="",
            output_mode=self.output_mode,
            encoding=self.encoding,
        )
        lookup = self._lookup_layer
        self.output_mode = lookup.output_mode
        self.vocabulary, self.idf_weights = lookup.vocabulary, lookup.idf_weights
        if self.output_mode != "int" and self.output_sequence_length is not None:
            raise ArgumentError(
                f"TextVectorization got output_sequence_length="
                f"{self.output_sequence_length} with output_mode={self.output_mode!r}; "
                "it is for 'int'."
            )

    def _lookup(self) -> StringLookup:
        return self._lookup_layer

    # ---- the vocabulary ----------------------------------------------------------

    def adapt(
        self, data: Data, batch_size: int | None = None, steps: int | None = None
    ) -> None:
        """Learn the words of texts, the most frequent first.

        Args:
            data: texts, or anything that gives batches of them; of batches `(x, y)`, x
                is taken. It is read once.
            batch_size: how many texts of an array to look at together.
            steps: how many batches to take of a source that has no end.
        """
        self._adapt(batches(data, steps, self._lists_are_data, batch_size or 1 << 14))

    def update_state(self, data: Data) -> None:
        words = self._preprocess(as_numpy(data))
        if isinstance(words, Rows):
            self._lookup_layer.count(words.words, words.lists)
        else:
            self._lookup_layer.count(words, lambda: _documents(words))

    def finalize_state(self) -> None:
        self._lookup_layer.finalize_state()

    def reset_state(self) -> None:
        self._lookup_layer.reset_state()

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The words in the order of their numbers, as `StringLookup` gives them."""
        return self._lookup_layer.get_vocabulary(include_special_tokens)

    def set_vocabulary(self, vocabulary: Words, idf_weights: ArrayLike = None) -> None:
        """Take these words, as `StringLookup` does."""
        self._lookup_layer.set_vocabulary(vocabulary, idf_weights)

    def vocabulary_size(self) -> int:
        """How many numbers there are."""
        return self._lookup_layer.vocabulary_size()

    # ---- calling -----------------------------------------------------------------

    def _preprocess(self, texts: np.ndarray) -> Rows | np.ndarray:
        """The words of the texts; without a split, an array of their shape."""
        need_text(texts, self)
        clean = standardized(texts, self.standardize, self.encoding)
        widths = self.ngrams
        if isinstance(widths, int):
            widths = tuple(range(1, widths + 1))
        if self.split is not None:
            if texts.ndim > 1 and texts.shape[texts.ndim - 1] != 1:
                raise ShapeError(
                    f"{label(self)} got texts of shape {texts.shape} to split; "
                    "expected (batch,) or (batch, 1). Join several texts of a sample, "
                    "or give them to several calls."
                )
            rows: Any = split(clean, self.split, self.encoding)
            return Rows.of(ngrams(rows, widths) if widths else rows)
        words = np.empty(len(clean), object)
        words[:] = clean
        shape: Any = texts.shape
        words = words.reshape(shape)
        if not widths:
            return words
        return np.array(ngrams(words.reshape(-1, shape[-1]).tolist(), widths))

    def on_host(self, inputs: np.ndarray) -> np.ndarray:
        words = self._preprocess(inputs)
        lookup = self._lookup_layer
        if not isinstance(words, Rows):
            out = lookup.on_host(words)
            return self._fitted(out) if self.output_mode == "int" else out
        numbers = lookup.numbers(words.words)
        if self.output_mode in ("int", "one_hot"):
            padded = self._padded(words, numbers)
            if self.output_mode == "int":
                return padded if inputs.ndim else padded[0]
            return lookup.encoded(padded)
        count = len(words.lengths)
        out = lookup.bagged(words.number(), numbers, count)
        return out if inputs.ndim else out[0]

    def _padded(self, rows: Rows, numbers: np.ndarray) -> np.ndarray:
        """One row a sample; what is not there is 0, or in encodings nothing."""
        width = self.output_sequence_length
        if width is None:
            width = int(rows.lengths.max(initial=0))
        nothing = 0 if self.output_mode == "int" else -1
        out = np.full((len(rows.lengths), width), nothing)
        place = rows.place()
        fits = place < width
        out[rows.number()[fits], place[fits]] = numbers[fits]
        return out

    def _fitted(self, numbers: np.ndarray) -> np.ndarray:
        """Of the length that is asked for."""
        width = self.output_sequence_length
        if width is None:
            return numbers
        numbers = numbers[..., :width]
        ends = [(0, 0)] * (numbers.ndim - 1) + [(0, width - numbers.shape[-1])]
        return np.pad(numbers, ends)

    @property
    def output_dtype(self) -> DTypeLike:  # type: ignore[override]
        return "int64" if self.output_mode == "int" else config.floatx()

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = tuple(input_shape)
        if self.split is not None:
            shape = (*shape[:1], self.output_sequence_length)
        elif self.output_mode == "int":
            length = self.output_sequence_length
            return shape if length is None else (*shape[:-1], length)
        return self._lookup_layer.compute_output_shape(shape)


def _documents(words: np.ndarray) -> np.ndarray:
    return words.reshape(-1, 1) if words.ndim < 2 else words


__all__ = ["TextVectorization"]
