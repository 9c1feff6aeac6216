"""IMDB: 50,000 film reviews as word numbers, half of them favourable.

References: Maas et al. 2011, "Learning Word Vectors for Sentiment Analysis",
ACL, https://aclanthology.org/P11-1015
"""

from __future__ import annotations

import numpy as np

from carnyx.datasets._pickles import read_npz
from carnyx.datasets._splits import FOLDER, Split, shuffled
from carnyx.datasets._words import as_objects, limited, moved, shorter, word_index
from carnyx.errors import UnknownArgumentError
from carnyx.utils.files import get_file

ORIGIN = FOLDER + "imdb.npz"
SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
WORDS_ORIGIN = FOLDER + "imdb_word_index.json"
WORDS_MD5 = "bfafd718b763782e994055a2d397834f"


def load_data(
    path: str = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
    **kwargs: int | None,
) -> tuple[Split, Split]:
    """`(x_train, y_train), (x_test, y_test)`: 25,000 reviews each, as lists of numbers.

    Shapes: x object (n,), a list of integers each; y int64 (n,), 1 for favourable

    Args:
        path: the file's name in the cache folder.
        num_words: words rarer than the first `num_words` become `oov_char`.
        skip_top: as do the `skip_top` most frequent.
        maxlen: only reviews of fewer words.
        seed: the order of the reviews; that of Keras for the same number.
        start_char: what every review begins with; None for nothing.
        oov_char: stands for a word that was left out; None leaves a gap.
        index_from: by how much the words' numbers are higher than in the word index.
        kwargs: `nb_words`, the older name of `num_words`.

    Raises:
        ArgumentError: where `maxlen` leaves no review.
    """
    if "nb_words" in kwargs:
        num_words = kwargs.pop("nb_words")
    if kwargs:
        raise UnknownArgumentError(
            f"imdb.load_data got {sorted(kwargs)}; expected path, num_words, skip_top, "
            "maxlen, seed, start_char, oov_char or index_from."
        )
    arrays = read_npz(get_file(path, ORIGIN, file_hash=SHA256))
    random = np.random.RandomState(seed)  # one for both parts, as in Keras
    parts = []
    for part in ("train", "test"):
        x, y = shuffled(random, arrays[f"x_{part}"], arrays[f"y_{part}"])
        parts.append(shorter(moved(x, start_char, index_from), y, maxlen))
    (x_train, y_train), (x_test, y_test) = parts
    texts = as_objects(limited(x_train + x_test, num_words, skip_top, oov_char))
    end = len(x_train)
    return (texts[:end], y_train), (texts[end:], y_test)


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """Words and their numbers from 1 on; in the data they are `index_from` higher."""
    return word_index(path, WORDS_ORIGIN, WORDS_MD5)
