"""Reuters: 11,228 newswires of 1987 as word numbers, on 46 topics.

References: Lewis 1997, "Reuters-21578", doi:10.24432/C52G6M
"""

from __future__ import annotations

import numpy as np

from carnyx.datasets._pickles import read_npz
from carnyx.datasets._splits import FOLDER, Split, check_split, shuffled, split
from carnyx.datasets._words import as_objects, limited, moved, shorter, word_index
from carnyx.utils.files import get_file

ORIGIN = FOLDER + "reuters.npz"
SHA256 = "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
WORDS_ORIGIN = FOLDER + "reuters_word_index.json"
WORDS_MD5 = "4d44cc38712099c9e383dc6e5f11a921"
TOPICS = """
    cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade
    reserves ship cotton carcass crude nat-gas cpi money-fx interest gnp meal-feed alum
    oilseed gold tin strategic-metal livestock retail ipi iron-steel rubber heat jobs
    lei bop zinc orange pet-chem dlr gas silver wpi hog lead
"""


def load_data(
    path: str = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
) -> tuple[Split, Split]:
    """`(x_train, y_train), (x_test, y_test)`: newswires as lists of numbers.

    Shapes: x object (n,), a list of integers each; y int64 (n,), topics in 0 … 45

    Args:
        test_split: the share of the newswires in the test part.
        path, num_words, skip_top, maxlen, seed, start_char, oov_char, index_from: as
            for `imdb.load_data`.

    Raises:
        ArgumentError: where `maxlen` leaves no newswire, or `test_split` is no share.
    """
    check_split(test_split)
    arrays = read_npz(get_file(path, ORIGIN, file_hash=SHA256))
    x, y = shuffled(np.random.RandomState(seed), arrays["x"], arrays["y"])
    texts, y = shorter(moved(x, start_char, index_from), y, maxlen)
    x = as_objects(limited(texts, num_words, skip_top, oov_char))
    return split(x, y, test_split)


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
    """Words and their numbers from 1 on; in the data they are `index_from` higher."""
    return word_index(path, WORDS_ORIGIN, WORDS_MD5)


def get_label_names() -> tuple[str, ...]:
    """The topics, in the order of the labels.

    >>> get_label_names()[3]
    'earn'
    """
    return tuple(TOPICS.split())
