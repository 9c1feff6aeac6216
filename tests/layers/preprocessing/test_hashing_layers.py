"""Hashes and bins: known values, and what may be given."""

import numpy as np
import pytest

import carnyx as keras
from carnyx.layers.preprocessing import _hashes

Hashing, Crossing = keras.layers.Hashing, keras.layers.HashedCrossing
NAMES = [["omar"], ["stringer"], ["marlo"], ["wire"], ["skywalker"]]


# Of FarmHash's and SipHash's own test vectors, and TensorFlow's bins of such texts.
@pytest.mark.parametrize(
    "text, fingerprint, keyed",
    [
        (b"", 0x9AE16A3B2F90404F, 0x726FDB47DD0E0E31),
        (b"a", 0xB3454265B6DF75E3, None),
        (b"carnyx", 0x5815145C69140632, None),
        (bytes(range(15)), None, 0xA129CA6149BE45E5),
    ],
)
def test_known_hashes(text, fingerprint, keyed):
    if fingerprint is not None:
        assert _hashes.fingerprint64([text]) == [fingerprint]
    if keyed is not None:
        key = 0x0706050403020100, 0x0F0E0D0C0B0A0908
        assert _hashes.siphash([text], key) == [keyed]


@pytest.mark.parametrize("length", [0, 1, 3, 4, 7, 8, 16, 17, 32, 33, 64, 65, 128, 300])
def test_a_text_has_the_same_hash_alone_and_among_others(length):
    text = bytes((7 * i + 3) % 256 for i in range(length))
    others = [b"x" * n for n in (5, 90, 0, 20, 200)]
    for hashes in (_hashes.fingerprint64, lambda t: _hashes.siphash(t, (3, 4))):
        assert hashes([*others, text])[-1] == hashes([text])[0]
    assert _hashes.fingerprint64([]).shape == _hashes.siphash([], (1, 2)).shape == (0,)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ({"num_bins": 2}, [0, 0, 1, 0, 0]),
        ({"num_bins": 3, "mask_value": "omar"}, [0, 1, 2, 1, 1]),
        ({"num_bins": 2, "salt": [133, 137]}, [0, 1, 0, 1, 0]),
        ({"num_bins": 2, "salt": [133, 133]}, [1, 1, 0, 0, 0]),
        ({"num_bins": 1, "mask_value": "omar"}, [0, 0, 0, 0, 0]),
    ],
)
def test_bins_of_texts_are_those_of_tensorflow(arguments, expected):
    assert Hashing(**arguments)(NAMES).ravel().tolist() == expected
    as_bytes = np.array([[n.encode()] for (n,) in NAMES], object)
    assert Hashing(**arguments)(as_bytes).ravel().tolist() == expected


def test_bins_of_numbers():
    assert Hashing(3)([0, 1, 2, 3, 4]).tolist() == [1, 0, 1, 0, 2]
    assert Hashing(3)(np.array([0.9, 1.2])).tolist() == [1, 0]
    assert Hashing(3, output_mode="count")([[0, 1], [2, 3]]).tolist() == [
        [1, 1, 0], [1, 1, 0],
    ]  # fmt: skip
    assert Hashing(4, dtype="int32")([1]).dtype == "int32"
    assert Hashing(4, output_mode="multi_hot")([[1]]).dtype == "float32"


def test_crossed_features():
    letters = np.array(["A", "B", "A", "B", "A"])
    numbers = np.array([101, 101, 101, 102, 102])
    bins = Crossing(5)((letters, numbers))
    assert bins.tolist() == [1, 4, 1, 1, 3]
    hot = Crossing(5, output_mode="one_hot")((letters[:, None], numbers[:, None]))
    assert hot.argmax(-1).tolist() == bins.tolist()
    assert Crossing(10)((np.array("A"), np.array(101))).shape == ()


@pytest.mark.parametrize(
    "make, inputs, words",
    [
        (lambda: Hashing(0), None, "num_bins=0; expected an integer above 0"),
        (lambda: Hashing(2, salt="a"), None, "an integer, or two of them"),
        (lambda: Hashing(2, dtype="float32"), None, "expected 'int32' or 'int64'"),
        (lambda: Hashing(2, output_mode="tf_idf"), None, "expected one of 'int'"),
        (lambda: Crossing(2, output_mode="count"), None, "expected one of 'int'"),
        (lambda: Crossing(2), np.ones(3), "at least two inputs"),
        (lambda: Crossing(2), [np.ones(3)], "at least two inputs"),
        (lambda: Crossing(2), [np.ones(3), np.ones(3)], "integers or texts"),
        (lambda: Crossing(2), [np.ones((3, 2), int)] * 2, r"\(batch, 1\)"),
    ],
)
def test_what_is_refused(make, inputs, words):
    with pytest.raises(ValueError, match=words):
        make()(inputs)


def test_configs_make_equal_layers():
    for layer in (
        Hashing(4, salt=3, mask_value="x"),
        Crossing(4, output_mode="one_hot"),
    ):
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
    assert Hashing(4).get_config()["salt"] is None
    assert set(Crossing(4).get_config()) == {
        "num_bins", "output_mode", "sparse", "name", "dtype",
    }  # fmt: skip
