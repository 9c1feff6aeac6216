"""What `adapt` learns does not depend on what the data came in."""

import numpy as np
import pytest

import carnyx as keras
from carnyx import layers
from carnyx._data import Dataset

RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(3, 2, (37, 4)).astype("float32")
WORDS = RNG.choice(["a", "b", "c", "d e"], (37, 1), p=[0.4, 0.3, 0.2, 0.1])
IDS = RNG.choice([3, 500, 71], (37, 1), p=[0.5, 0.3, 0.2])


def make(kind):
    """A layer, its data, and what it has learned."""
    if kind == "Normalization":
        return layers.Normalization(), NUMBERS, lambda x: np.stack(x.get_weights()[:2])
    if kind == "Discretization":
        layer = layers.Discretization(num_bins=5, epsilon=1e-3)
        return layer, NUMBERS, lambda x: np.array(x.bin_boundaries)
    if kind == "IntegerLookup":
        return layers.IntegerLookup(), IDS, lambda x: np.array(x.get_vocabulary())
    name, mode = kind.split("-")
    layer = getattr(layers, name)(output_mode=mode)
    words = lambda x: np.array(x.get_vocabulary())  # noqa: E731
    weights = lambda x: words(x) if mode == "int" else x._lookup()._idf  # noqa: E731
    return layer, WORDS, weights


KINDS = [
    "Normalization", "Discretization", "IntegerLookup", "StringLookup-int",
    "StringLookup-tf_idf", "TextVectorization-int", "TextVectorization-tf_idf",
]  # fmt: skip


class Sequence(keras.utils.PyDataset):
    def __init__(self, data):
        super().__init__()
        self.data = data

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.data[10 * index : 10 * index + 10], np.zeros(10)


def sources(data, tmp_path):
    parts = [data[i : i + 10] for i in range(0, len(data), 10)]
    yield "generator", (part for part in parts)
    yield "pairs", ((part, np.zeros(len(part))) for part in parts)
    yield "PyDataset", Sequence(data)
    stacked = Dataset(len(data), lambda i: data[i]).batch(10)
    yield "Dataset", stacked.map(lambda x: np.reshape(x, (len(x), -1)))
    if data.dtype.kind == "f":
        np.save(tmp_path / "data.npy", data)
        yield "mapped", np.load(tmp_path / "data.npy", mmap_mode="r")
        yield "list of arrays", parts
    else:
        yield "list", data.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_sources(kind, tmp_path):
    layer, data, learned = make(kind)
    layer.adapt(data)
    expected = learned(layer)
    for name, source in sources(data, tmp_path):
        layer, _, _ = make(kind)
        layer.adapt(source)
        if expected.dtype.kind == "f":
            tolerance = 0.2 if kind == "Discretization" else 1e-5
            np.testing.assert_allclose(
                learned(layer), expected, tolerance, err_msg=name
            )
        else:
            assert learned(layer).tolist() == expected.tolist(), name


def test_normalization_learns_the_moments():
    layer = layers.Normalization()
    layer.adapt(NUMBERS)
    np.testing.assert_allclose(layer.mean[0], NUMBERS.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.variance[0], NUMBERS.var(0), rtol=1e-5)
    out = np.asarray(layer(NUMBERS))
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(0), 1, atol=1e-5)
    far = np.float32(1e4) + NUMBERS  # where float32 would lose the variance
    layer.adapt([far[:20], far[20:]])
    np.testing.assert_allclose(layer.variance[0], far.var(0, dtype="float64"), 1e-3)


def test_adapting_again_begins_anew():
    layer = layers.Normalization()
    layer.adapt(NUMBERS)
    layer.adapt(NUMBERS + 5)
    np.testing.assert_allclose(layer.mean[0], NUMBERS.mean(0) + 5, rtol=1e-5)
    words = layers.StringLookup()
    words.adapt(["a", "a", "b"])
    words.adapt(["c"])
    assert words.get_vocabulary() == ["[UNK]", "c"]


def test_discretization_puts_as_many_into_each_bin():
    layer = layers.Discretization(num_bins=4)
    layer.adapt(np.arange(1000.0))
    counts = np.bincount(np.asarray(layer(np.arange(1000.0))))
    assert counts.tolist() == pytest.approx([250] * 4, abs=15)
    again = layers.Discretization.from_config(layer.get_config())
    assert again.bin_boundaries == layer.bin_boundaries and again.num_bins == 4


@pytest.mark.parametrize(
    "layer, data, error, words",
    [
        (layers.Normalization(), iter([42]), TypeError, "samples along its first axis"),
        (layers.Normalization(), iter([]), ValueError, "no batches"),
        (layers.Normalization(), object(), TypeError, "expected an array, a list"),
        (layers.Normalization(mean=1, variance=1), NUMBERS, ValueError, "nothing to"),
        (layers.Normalization(), np.array(["a"], object), ValueError, "dtype object"),
        (
            layers.Normalization(), iter([NUMBERS, NUMBERS[:, :2]]), ValueError,
            r"shape \(37, 2\)",
        ),
        (layers.Discretization([1.0]), NUMBERS, ValueError, "nothing to adapt"),
        (layers.StringLookup(vocabulary=["a"]), WORDS, ValueError, "does not adapt"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned(layer, data, error, words):
    with pytest.raises(error, match=words):
        layer.adapt(data)


def test_steps_end_a_source_that_does_not():
    def endless():
        while True:
            yield ["cat", "dog"]

    layer = layers.StringLookup()
    layer.adapt(endless(), steps=3)
    assert layer.get_vocabulary() == ["[UNK]", "dog", "cat"]
    with pytest.raises(ValueError, match="steps=3 with an array"):
        layer.adapt(WORDS, steps=3)
