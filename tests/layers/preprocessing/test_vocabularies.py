"""Lookups: numbers of words, and words of numbers."""

import numpy as np
import pytest

from carnyx import errors, layers
from carnyx.layers import IntegerLookup, StringLookup

ABC = ["a", "b", "c"]


@pytest.mark.parametrize(
    "arguments, inputs, expected",
    [
        ({}, ["b", "z", "a"], [2, 0, 1]),
        ({"mask_token": ""}, ["b", "z", ""], [3, 1, 0]),
        ({"num_oov_indices": 0}, [["c"], ["a"]], [[2], [0]]),
        ({"output_mode": "one_hot"}, ["b", "z"], [[0, 0, 1, 0], [1, 0, 0, 0]]),
        ({"output_mode": "multi_hot"}, [["b", "b", "z"]], [[1, 0, 1, 0]]),
        ({"output_mode": "count"}, [["b", "b", "z"]], [[1, 0, 2, 0]]),
        ({"output_mode": "count", "mask_token": "a"}, [["a", "b", "z"]], None),
        (
            {"output_mode": "count", "pad_to_max_tokens": True, "max_tokens": 6},
            [["c"]], [[0, 0, 0, 1, 0, 0]],
        ),
        (
            {"output_mode": "tf_idf", "idf_weights": [1, 2, 3]},
            [["b", "b", "z"]], [[2, 0, 4, 0]],
        ),
    ],
)  # fmt: skip
def test_texts(arguments, inputs, expected):
    if expected is None:  # the mask is among the words
        with pytest.raises(ValueError, match="mask token 'a' stands in the middle"):
            StringLookup(vocabulary=ABC, **arguments)
        return
    layer = StringLookup(vocabulary=ABC, **arguments)
    assert layer(inputs).tolist() == expected
    again = StringLookup.from_config(layer.get_config())
    assert again(inputs).tolist() == expected
    assert again.get_config() == layer.get_config()


def test_masks_count_for_nothing_in_encodings():
    layer = StringLookup(vocabulary=ABC, mask_token="", output_mode="count")
    assert layer([["", "a", "z"]]).tolist() == [[1, 1, 0, 0]]
    assert layer.get_vocabulary() == ["[UNK]", "a", "b", "c"]


def test_integers():
    layer = IntegerLookup(vocabulary=[12, -5, 1138])
    assert layer(np.array([[12, 1138], [7, -5]])).tolist() == [[1, 3], [0, 2]]
    several = IntegerLookup(vocabulary=[12], num_oov_indices=3)
    assert several([12, 4, 5, -1]).tolist() == [3, 1, 2, 2]
    hashed = IntegerLookup(vocabulary=[12], num_oov_indices=3, oov_method="farmhash")
    assert hashed([0, 1, 2]).tolist() == layers.Hashing(3)([0, 1, 2]).tolist()
    back = IntegerLookup(vocabulary=layer.get_vocabulary(), invert=True)
    assert back([0, 1, 2, 9]).tolist() == [-1, 12, -5, -1]
    large = IntegerLookup(vocabulary=[1 << 40])
    assert large(np.array([1 << 40, 0])).tolist() == [1, 0]


def test_unknown_texts_share_numbers_by_their_hash():
    layer = StringLookup(vocabulary=ABC, num_oov_indices=4)
    unknown = ["x", "y", "z", "å"]
    assert layer(unknown).tolist() == layers.Hashing(4)(unknown).tolist()
    salted = StringLookup(vocabulary=ABC, num_oov_indices=4, salt=7)
    assert salted(unknown).tolist() == layers.Hashing(4, salt=7)(unknown).tolist()


def test_numbers_become_words():
    layer = StringLookup(vocabulary=ABC, mask_token="", invert=True)
    assert layer([[0, 1, 2], [4, 5, -1]]).tolist() == [
        ["", "[UNK]", "a"], ["c", "[UNK]", "[UNK]"],
    ]  # fmt: skip


def test_learned_words_are_in_the_order_of_their_counts():
    layer = StringLookup(max_tokens=4)
    layer.adapt(["b", "a", "b", "d", "c", "d", "[UNK]"])
    assert layer.get_vocabulary() == ["[UNK]", "d", "b", "c"]
    assert layer.get_vocabulary(include_special_tokens=False) == ["d", "b", "c"]
    assert layer.vocabulary_size() == 4


def test_rare_words_weigh_more():
    layer = StringLookup(output_mode="tf_idf")
    layer.adapt([["a", "a"], ["a", "b"], ["a", "c"]])
    assert layer.get_vocabulary() == ["[UNK]", "a", "c", "b"]
    weights = np.log(1 + 3 / (1 + np.array([3, 1, 1])))
    expected = [weights.mean(), 2 * weights[0], 0, weights[2]]
    np.testing.assert_allclose(layer([["a", "a", "b", "z"]])[0], expected, 1e-6)


def test_files(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("a\nbé\nc\n", "utf-8")
    layer = StringLookup(vocabulary=str(path))
    assert layer(["bé", "c", "z"]).tolist() == [2, 3, 0]
    assert layer.get_config()["vocabulary"] is None
    path.write_text("\n[UNK]\na\nb", "utf-8")  # as they are saved
    assert StringLookup(vocabulary=path, mask_token="")(["a"]).tolist() == [2]
    path.write_text("5\n7\n")
    assert IntegerLookup(vocabulary=path)([7]).tolist() == [2]
    with pytest.raises(errors.MissingFileError, match="no vocabulary file"):
        StringLookup(vocabulary=str(tmp_path / "none.txt"))
    with pytest.raises(errors.UnsafeModelError, match="asks for the vocabulary file"):
        StringLookup.from_config({"vocabulary": "/etc/passwd"})


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: StringLookup(vocabulary=["a", "a"]), "more than once: .'a'"),
        (lambda: StringLookup(vocabulary=[]), "empty vocabulary"),
        (lambda: StringLookup(max_tokens=1), "an integer of at least 2"),
        (lambda: StringLookup(max_tokens=2, vocabulary=ABC), "vocabulary of 4"),
        (lambda: StringLookup(num_oov_indices=-1), "of at least 0"),
        (lambda: StringLookup(pad_to_max_tokens=True), "give max_tokens"),
        (lambda: StringLookup(invert=True, output_mode="count"), "expected 'int'"),
        (lambda: StringLookup(idf_weights=[1.0]), "are for 'tf_idf'"),
        (lambda: StringLookup(output_mode="tf_idf", vocabulary=ABC), "no idf_weights"),
        (lambda: StringLookup(sparse=True), "outputs are dense"),
        (lambda: IntegerLookup(vocabulary=[1], salt=3), "it is for 'farmhash'"),
        (lambda: IntegerLookup(vocabulary_dtype="int32"), "one of 'int64'"),
        (lambda: StringLookup(oov_method="md5"), "one of 'floormod', 'farmhash'"),
        (lambda: StringLookup(output_mode="count")([["a"]]), "no vocabulary yet"),
        (lambda: StringLookup(vocabulary=ABC)([1]), "array of int64; expected texts"),
        (
            lambda: StringLookup(vocabulary=ABC, num_oov_indices=0)(["z"]),
            "not in its vocabulary",
        ),
        (
            lambda: StringLookup(
                output_mode="tf_idf", vocabulary=ABC, idf_weights=[1.0, 2.0]
            ),
            r"shape \(2,\) for a vocabulary of 3",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_an_encoding_keeps_its_size():
    layer = StringLookup(output_mode="multi_hot")
    layer.adapt(["a", "b"])
    with pytest.raises(RuntimeError, match="had a vocabulary of 3"):
        layer.adapt(["a"])
    with pytest.raises(RuntimeError, match="no vocabulary yet"):
        StringLookup(output_mode="multi_hot")([["a"]])
