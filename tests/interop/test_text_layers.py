"""Layers on texts against Keras, which computes them with TensorFlow.

The same arguments, data and calls: words, numbers, encodings, configs, and files both
ways.
"""

import json
import os
import string

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

import carnyx  # noqa: E402

RNG = np.random.default_rng(0)
LETTERS = np.array([*string.ascii_letters, *" \t\n.,;!?-_'()[]", "å", "ß", "Ä", "漢"])
TEXTS = ["".join(RNG.choice(LETTERS, n)) for n in [0, 1, 5, 30, 80, 200, 30, 30, 12]]
TEXTS += ["the cat sat. The CAT ran!", "a  dog\tran", "dog dog cat", "", "  "]
WORDS = np.array([["a", "b", "zz"], ["c", "å", "a"], ["", "q", "[UNK]"]], object)
NUMBERS = np.array([[3, 500, -7], [0, 3, 12], [99, 1000, 5]])


def both(name, arguments):
    return tuple(getattr(k.layers, name)(**arguments) for k in (carnyx, keras))


def assert_equal(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(
        ours.astype("float64"), theirs.astype("float64"), rtol=1e-6
    )


LONG = {"salt": [3, 1 << 62]}
HASHING = [
    {"num_bins": 7}, {"num_bins": 1 << 30}, {"num_bins": 1 << 30, **LONG},
    {"num_bins": 5, "salt": 133}, {"num_bins": 5, "output_mode": "multi_hot"},
    {"num_bins": 5, "output_mode": "count"}, {"num_bins": 5, "output_mode": "one_hot"},
]  # fmt: skip


@pytest.mark.parametrize("arguments", HASHING, ids=str)
def test_hashing(arguments):
    ours, theirs = both("Hashing", arguments)
    for inputs in (np.array(TEXTS, object)[:, None], WORDS, NUMBERS, NUMBERS / 3):
        assert_equal(ours(inputs), theirs(inputs))
    check_config(ours, theirs)


@pytest.mark.parametrize("mode", ["int", "one_hot"])
def test_crossing(mode):
    ours, theirs = both("HashedCrossing", {"num_bins": 1000, "output_mode": mode})
    words, numbers = WORDS.reshape(-1, 1), NUMBERS.reshape(-1, 1)
    for inputs in (
        (words, numbers), (numbers, words), (words, words), (numbers, numbers),
        (numbers, numbers, words), (words[:, 0], words[:, 0]),
    ):  # fmt: skip
        assert_equal(ours(inputs), theirs(inputs))
    check_config(ours, theirs)


MODES = [
    {}, {"output_mode": "one_hot"}, {"output_mode": "multi_hot"},
    {"output_mode": "count"}, {"output_mode": "tf_idf"},
    {"output_mode": "count", "max_tokens": 4},
    {"output_mode": "tf_idf", "max_tokens": 40, "pad_to_max_tokens": True},
]  # fmt: skip
LOOKUPS = [
    *MODES, {"num_oov_indices": 3}, {"num_oov_indices": 3, "salt": 5},
    {"max_tokens": 3},
    {"num_oov_indices": 2, "output_mode": "count"},
]  # fmt: skip


@pytest.mark.parametrize("arguments", LOOKUPS, ids=str)
@pytest.mark.parametrize("mask", [False, True], ids=["", "masked"])
def test_string_lookup(arguments, mask):
    arguments = arguments | ({"mask_token": ""} if mask else {})
    ours, theirs = both("StringLookup", arguments)
    for layer in (ours, theirs):
        layer.adapt(WORDS[:2])
    assert ours.get_vocabulary() == theirs.get_vocabulary()
    assert_equal(ours(WORDS), theirs(WORDS))
    check_config(ours, theirs)


@pytest.mark.parametrize("arguments", LOOKUPS, ids=str)
@pytest.mark.parametrize("mask", [False, True], ids=["", "masked"])
def test_integer_lookup(arguments, mask):
    arguments = dict(arguments)
    if "salt" in arguments:
        arguments["oov_method"] = "farmhash"
    arguments |= {"mask_token": 0} if mask else {}
    ours, theirs = both("IntegerLookup", arguments)
    for layer in (ours, theirs):
        layer.adapt(NUMBERS[:2])
    assert ours.get_vocabulary() == [int(v) for v in theirs.get_vocabulary()]
    assert_equal(ours(NUMBERS), theirs(NUMBERS))
    check_config(ours, theirs)


TEXT = [
    *(m for m in MODES if m.get("output_mode") != "one_hot"),
    {"output_sequence_length": 3}, {"standardize": None}, {"standardize": "lower"},
    {"standardize": "strip_punctuation"}, {"split": "character"}, {"ngrams": 2},
    {"ngrams": (2, 3), "output_mode": "count"}, {"max_tokens": 6},
    {"split": None, "output_mode": "count"}, {"split": "character", "ngrams": 3},
]  # fmt: skip


@pytest.mark.parametrize("arguments", TEXT, ids=str)
def test_text_vectorization(arguments):
    ours, theirs = both("TextVectorization", arguments)
    for layer in (ours, theirs):
        layer.adapt(TEXTS)
    assert ours.get_vocabulary() == theirs.get_vocabulary()
    for inputs in (np.array(TEXTS, object), np.array(TEXTS, object)[:, None]):
        assert_equal(ours(inputs), theirs(inputs))
    check_config(ours, theirs)


def check_config(ours, theirs):
    """Each reads what the other wrote, and gives it back."""
    config = json.loads(json.dumps(ours.get_config() | {"name": "it"}))
    other = json.loads(json.dumps(theirs.get_config() | {"name": "it"}))
    for key in ("dtype", "salt"):  # a policy or its name; a number or two
        config.pop(key, None), other.pop(key, None)
    assert config == other
    type(theirs).from_config(ours.get_config())
    type(ours).from_config(theirs.get_config())


FILES = [
    ("StringLookup", {"output_mode": "tf_idf"}, WORDS[:2], "string"),
    ("StringLookup", {"mask_token": ""}, WORDS[:2], "string"),
    ("StringLookup", {"vocabulary": ["a", "b"]}, WORDS[:2], "string"),
    ("IntegerLookup", {"output_mode": "count"}, NUMBERS, "int64"),
    ("TextVectorization", {"output_mode": "tf_idf"}, TEXTS, "string"),
    ("TextVectorization", {"output_sequence_length": 4}, TEXTS, "string"),
    ("Discretization", {"num_bins": 3}, NUMBERS.astype("float32"), "float32"),
    ("Normalization", {}, NUMBERS.astype("float32"), "float32"),
]


@pytest.mark.parametrize("name, arguments, data, dtype", FILES)
def test_files_both_ways(name, arguments, data, dtype, tmp_path):
    inputs = np.array(TEXTS, object)[:, None] if isinstance(data, list) else data
    path = tmp_path / "model.keras"
    for writer, reader in ((carnyx, keras), (keras, carnyx)):
        layer = getattr(writer.layers, name)(**arguments)
        if "vocabulary" not in arguments:
            layer.adapt(data)
        x = writer.Input(inputs.shape[1:], dtype=dtype)
        writer.Model(x, layer(x)).save(path)
        again = reader.models.load_model(path).layers[-1]
        assert_equal(again(inputs), layer(inputs))
        if hasattr(layer, "get_vocabulary"):
            words = [str(w) for w in layer.get_vocabulary()]
            assert [str(w) for w in again.get_vocabulary()] == words


def test_in_tf_data():
    import tensorflow as tf

    layer = carnyx.layers.TextVectorization(output_sequence_length=4)
    texts = tf.data.Dataset.from_tensor_slices(TEXTS).batch(4)
    layer.adapt(texts)
    out = np.concatenate([batch.numpy() for batch in texts.map(layer)])
    assert_equal(out, layer(TEXTS))
    crossing = carnyx.layers.HashedCrossing(7)
    pairs = tf.data.Dataset.from_tensor_slices((WORDS[:, 0], NUMBERS[:, 0])).batch(3)
    (out,) = pairs.map(lambda a, b: crossing((a, b)))
    assert out.shape == (3,)
    assert_equal(out, crossing((WORDS[:, 0], NUMBERS[:, 0])))
    scaled = carnyx.layers.Normalization(mean=1.0, variance=4.0)
    (out,) = tf.data.Dataset.from_tensors(np.ones((2, 3), "float32")).map(scaled)
    assert_equal(out, np.zeros((2, 3)))


def test_feature_spaces(tmp_path):
    """The same encodings, and files both ways."""
    data = {
        "a": np.arange(12.0), "b": NUMBERS[:, 0].repeat(4), "c": WORDS[:, 1].repeat(4),
        "d": np.arange(12), "e": np.arange(12.0) / 7,
    }  # fmt: skip
    kinds = {
        "a": "float_normalized", "b": "integer_categorical", "c": "string_categorical",
        "d": "integer_hashed", "e": "float_discretized",
    }  # fmt: skip
    spaces = []
    for library in (carnyx, keras):
        space = library.utils.FeatureSpace(
            kinds, crosses=[("b", "c")], num_discretization_bins=4
        )
        space.adapt(data)
        space.save(tmp_path / f"{library.__name__}.keras")
        spaces.append(space)
    assert_close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5)  # noqa: E731
    expected = np.asarray(spaces[1](data))
    assert_close(spaces[0](data), expected)
    for writer, reader in ((carnyx, keras), (keras, carnyx)):
        again = reader.models.load_model(tmp_path / f"{writer.__name__}.keras")
        assert_close(again(data), expected)


def test_feature_spaces_in_tf_data():
    import tensorflow as tf

    data = {"a": np.arange(12.0), "c": WORDS[:, 1].repeat(4)}
    space = carnyx.utils.FeatureSpace(
        {"a": "float_normalized", "c": "string_categorical"}, output_mode="dict"
    )
    rows = tf.data.Dataset.from_tensor_slices(data)
    space.adapt(rows)
    (out,) = rows.batch(12).map(space)
    for name, value in space(data).items():
        np.testing.assert_allclose(out[name], value, atol=1e-6)
    single = next(iter(rows.map(space)))
    assert single["c"].shape == space(data)["c"].shape[1:]


def test_fit_on_texts_of_other_libraries():
    tf, torch = pytest.importorskip("tensorflow"), pytest.importorskip("torch")
    words = carnyx.layers.TextVectorization(output_mode="count")
    words.adapt(TEXTS)
    x, y = np.array(TEXTS, object), np.arange(float(len(TEXTS)))
    carnyx.utils.set_random_seed(0)
    model = carnyx.Sequential([words, carnyx.layers.Dense(1)])
    model.compile(carnyx.optimizers.SGD(0.0), "mse")
    expected = model.evaluate(x, y, batch_size=4, verbose=0)
    pandas = pytest.importorskip("pandas")
    rows = torch.utils.data.DataLoader(list(zip(TEXTS, y.tolist())), batch_size=4)
    for source in (
        tf.data.Dataset.from_tensor_slices((x, y)).batch(4), rows,
    ):  # fmt: skip
        assert model.evaluate(source, verbose=0) == pytest.approx(expected, rel=1e-5)
    column = pandas.Series(TEXTS)
    assert model.evaluate(column, y, verbose=0) == pytest.approx(expected, rel=1e-5)
