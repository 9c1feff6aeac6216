"""`StringLookup` and `IntegerLookup`."""

from __future__ import annotations

from typing import Any

from carnyx.configurable import field, one_of
from carnyx.layers.preprocessing.index_lookup import IndexLookup


class StringLookup(IndexLookup):
    """Texts as numbers, or with `invert` numbers as texts.

    Number 0 is what stands for nothing, if there is a `mask_token`; then come the words
    that are not in the vocabulary, then the vocabulary.

    Shapes: int: any -> the same; one_hot: (…, 1) -> (…, tokens), and (…, n) ->
        (…, n, tokens); multi_hot, count, tf_idf: (…, n) -> (…, tokens)

    Args:
        max_tokens: how many numbers there may be, the special ones among them.
        num_oov_indices: how many numbers unknown words share; with 0 they are errors.
        oov_token: the word for unknown ones where numbers become words.
        vocabulary: the words, or a file with one in each line; or call `adapt`.
        idf_weights: of the words, for mode `"tf_idf"`.
        output_mode: `"int"`, `"one_hot"` for each word; of all words in a sample, along
            the last axis: `"multi_hot"` says which occur, `"count"` how often,
            `"tf_idf"` how often, weighted by how rare the word is in all samples.
        pad_to_max_tokens: whether encodings are of `max_tokens` in any case.
        salt: an integer or two, for another hash of unknown words.

    >>> layer = StringLookup(vocabulary=["a", "b", "c", "d"])
    >>> layer([["a", "c", "d"], ["d", "z", "b"]]).tolist()
    [[1, 3, 4], [4, 0, 2]]
    >>> back = StringLookup(vocabulary=layer.get_vocabulary(), invert=True)
    >>> back([[1, 3], [4, 0]]).tolist()
    [['a', 'c'], ['d', '[UNK]']]
    """

    oov_token: Any = field("[UNK]")
    encoding: str = field("utf-8")

    field_order = (
        "max_tokens", "num_oov_indices", "mask_token", "oov_token", "vocabulary",
        "idf_weights", "invert", "output_mode", "pad_to_max_tokens", "sparse",
        "encoding", "salt", "oov_method", ...,
    )  # fmt: skip


class IntegerLookup(IndexLookup):
    """Integers as numbers without gaps, or with `invert` the integers again.

    As `StringLookup`, for integers.

    Shapes: as those of `StringLookup`

    Args:
        oov_method: how unknown integers share numbers: by `"floormod"`, or the hash of
            their digits, `"farmhash"`.
        salt: an integer or two, for another hash.

    >>> layer = IntegerLookup(vocabulary=[12, 36, 1138, 42])
    >>> layer([[12, 1138, 42], [42, 1000, 36]]).tolist()
    [[1, 3, 4], [4, 0, 2]]
    """

    oov_token: Any = field(-1)
    vocabulary_dtype: str = field("int64", check=one_of("int64"))

    field_order = (
        "max_tokens", "num_oov_indices", "mask_token", "oov_token", "vocabulary",
        "vocabulary_dtype", "idf_weights", "invert", "output_mode", "sparse",
        "pad_to_max_tokens", "oov_method", "salt", ...,
    )  # fmt: skip

    _of_texts = False


__all__ = ["IntegerLookup", "StringLookup"]
