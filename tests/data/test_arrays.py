"""Feeds of arrays: what the batches hold, in which order, and in which dtypes."""

import jax.numpy as jnp
import numpy as np
import pytest

from carnyx import config, tree
from carnyx._data import ArrayFeed, adapt, train_validation_split
from carnyx.errors import DataError

X = np.arange(22.0).reshape(11, 2)
Y = np.arange(11)


def targets(feed, epoch=0, start=0):
    return [batch[1].tolist() for batch in feed.epoch(epoch, start)]


class Frame:
    """As a frame of pandas: columns by name, an array if asked."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, column):
        raise AssertionError("columns are no batches")

    def __array__(self, *_, **__):
        return self.data


SOURCES = {
    "numpy": X,
    "jax": jnp.asarray(X, "float32"),
    "frame": Frame(X),
    "mixed frame": Frame(X.astype(object)),
    "fortran": np.asfortranarray(X),
    "dict": {"b": X, "a": [X[:, 0], (X[:, 1],)]},
    "list": [X, X[:, :1]],
    "memory map": None,
}


@pytest.mark.parametrize("shuffle", [False, True, "batch"])
@pytest.mark.parametrize("source", SOURCES)
def test_an_epoch_is_every_sample_once_with_its_target(source, shuffle, tmp_path):
    x = SOURCES[source]
    if source == "memory map":
        x = np.memmap(tmp_path / "x", "float32", "w+", shape=X.shape)
        x[:] = X
    feed = adapt(x, Y, Y / 2, batch_size=4, shuffle=shuffle)
    assert (feed.length, feed.batch_size, feed.num_samples) == (3, 4, 11)
    batches = list(feed.epoch(0))
    assert [len(y) for _, y, _ in batches] == [4, 4, 3]
    assert sorted(np.concatenate([y for _, y, _ in batches])) == list(range(11))
    for bx, y, w in batches:
        whole = tree.map_structure(lambda v, y=y: np.asarray(v)[y].astype("float32"), x)
        for got, expected in zip(tree.flatten(bx), tree.flatten(whole), strict=True):
            np.testing.assert_array_equal(got, expected)
            assert got.dtype == "float32"
        np.testing.assert_array_equal(w, y.astype("float32") / 2)


@pytest.mark.parametrize(
    "given, expected",
    [
        ("float64", "float32"),
        ("float16", "float32"),
        ("bfloat16", "float32"),
        ("int64", "int32"),
        ("uint64", "uint32"),
        ("int8", "int8"),
        ("uint8", "uint8"),
        ("bool", "bool"),
        ("complex128", "complex64"),
    ],
)
def test_dtypes_that_reach_the_model(given, expected):
    feed = adapt(np.ones((3, 2), jnp.dtype(given)), batch_size=2, shuffle=True)
    (x, y, w), _ = feed.epoch(0)
    assert (x.dtype, y, w) == (expected, None, None)
    spec, *others = feed.spec()
    assert (spec.shape, spec.dtype, others) == ((None, 2), expected, [None, None])
    chunk, *_ = feed.chunk(0, 0, 1, 2)
    assert chunk.dtype == expected


def test_floats_follow_floatx():
    config.set_floatx("bfloat16")
    try:
        assert next(adapt(X).epoch(0))[0].dtype == jnp.bfloat16
    finally:
        config.set_floatx("float32")


@pytest.mark.parametrize("shuffle", [True, "batch"])
def test_order_is_a_function_of_seed_and_epoch(shuffle):
    feed = adapt(X, Y, batch_size=4, shuffle=shuffle, seed=7)
    first, second = targets(feed, 0), targets(feed, 1)
    assert first != second
    again = adapt(X, Y, batch_size=4, shuffle=shuffle, seed=7)
    assert targets(again, 1) == second and targets(again, 0) == first
    assert targets(adapt(X, Y, batch_size=4, shuffle=shuffle, seed=8), 0) != first


def test_order_is_that_of_the_documented_generator():
    order = np.random.Generator(np.random.PCG64([7, 3])).permutation(11)
    feed = adapt(X, Y, batch_size=11, shuffle=True, seed=7)
    assert targets(feed, 3) == [order.tolist()]


def test_shuffling_batches_keeps_their_samples_together():
    feed = adapt(X, Y, batch_size=4, shuffle="batch", seed=1)
    for epoch in range(3):
        sets = [set(t) for t in targets(feed, epoch)]
        assert sets == [{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10}]


@pytest.mark.parametrize("shuffle", [False, True, "batch"])
@pytest.mark.parametrize("steps", [None, 2])
def test_going_on_from_a_position_is_the_same_epoch(shuffle, steps):
    feed = adapt(X, Y, batch_size=3, steps=steps, shuffle=shuffle)
    batches = feed.epoch(5)
    next(batches)
    position, rest = feed.position(), [batch[1].tolist() for batch in batches]
    assert (position["epoch"], position["index"]) == (5, 1)
    again = adapt(X, Y, batch_size=3, steps=steps, shuffle=shuffle)
    again.restore(position)
    assert targets(again, position["epoch"], position["index"]) == rest


@pytest.mark.parametrize("shuffle", [False, True, "batch"])
@pytest.mark.parametrize("steps", [None, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_chunks_are_stacked_batches(shuffle, steps, dtype):
    x = X.astype(dtype)
    feed = adapt({"a": x}, Y, None, 3, steps, shuffle)
    assert isinstance(feed, ArrayFeed) and feed.full_batches(0) == (steps or 3)
    for epoch, start, count, capacity in [(0, 0, 2, 2), (4, 1, 1, 3), (5, 0, 1, 1)]:
        inputs, y, w = feed.chunk(epoch, start, count, capacity)
        assert inputs["a"].shape == (capacity, 3, 2) and w is None
        expected = list(feed.epoch(epoch, start))[:count]
        for i, (bx, by, _) in enumerate(expected):
            np.testing.assert_array_equal(inputs["a"][i], bx["a"])
            np.testing.assert_array_equal(y[i], by)
        assert not inputs["a"][count:].any() and not y[count:].any()


@pytest.mark.parametrize("shuffle", [False, True])
def test_fewer_steps_take_a_pass_apart(shuffle):
    feed = adapt(X, Y, batch_size=4, steps=2, shuffle=shuffle)
    assert isinstance(feed, ArrayFeed) and feed.length == 2
    assert [feed.full_batches(epoch) for epoch in range(4)] == [2, 0, 2, 0]
    with pytest.warns(UserWarning, match="1 of 2 batches in epoch 2: .* 3 batches"):
        epochs = [sum(targets(feed, epoch), []) for epoch in range(6)]
    assert [len(e) for e in epochs] == [8, 3] * 3
    for first, second in zip(epochs[::2], epochs[1::2]):
        assert sorted(first + second) == list(range(11))
        assert shuffle or first + second == list(range(11))


def test_steps_without_batch_size_divide_the_samples():
    feed = adapt(X, Y, steps=4)
    assert (feed.batch_size, feed.length) == (3, 4)
    assert adapt(X, Y).batch_size == 32


def test_more_steps_than_there_are_is_told():
    with pytest.warns(UserWarning, match="5 steps .* 11 samples .* 4 make 3"):
        assert adapt(X, Y, batch_size=4, steps=5).length == 3


def test_nothing_is_cast_as_a_whole():
    x = np.zeros((100_000, 20))
    feed = adapt(x, batch_size=4)
    assert feed._leaves[0] is x


@pytest.mark.parametrize(
    "y, expected",
    [
        (np.array([0, 2, 1, 5]), [0.5, 3, 2, 1]),
        (np.array([[0], [2], [1], [5]]), [0.5, 3, 2, 1]),
        (np.array([0.0, 2.0, 1.0, 5.0]), [0.5, 3, 2, 1]),
        (np.eye(6)[[0, 2, 1, 5]], [0.5, 3, 2, 1]),
    ],
)
def test_class_weights_become_sample_weights(y, expected):
    feed = adapt(X[:4], y, class_weight={0: 0.5, 1: 2.0, 2: 3})
    weights = next(feed.epoch(0))[2]
    assert weights.tolist() == expected and weights.dtype == "float32"


def test_one_array_of_weights_serves_all_outputs():
    feed = adapt(X, {"a": Y, "b": X}, Y)
    assert set(next(feed.epoch(0))[2]) == {"a", "b"}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"y": Y[:4]}, "x has 11, y has 4"),
        ({"x": {"a": X, "b": X[:2]}}, r"x\['a'\] has 11, x\['b'\] has 2"),
        ({"x": X[:0]}, "x has no samples"),
        ({"x": [1, 2]}, "x is a list of numbers"),
        ({"x": "images"}, "x is 'images'"),
        ({"x": None}, "x is None"),
        ({"x": 3}, "x is 3; expected arrays"),
        ({"x": np.array(["a"] * 11)}, "x has dtype <U1; a model takes numbers"),
        ({"x": np.array(["a", None])}, "x has dtype object"),
        ({"x": np.zeros(11, "datetime64[D]")}, "x has dtype datetime"),
        ({"x": np.array(1.0)}, "x is a single value"),
        ({"batch_size": 0}, "batch_size got 0"),
        ({"steps": 1.5}, "steps got 1.5"),
        (
            {"class_weight": {0: 1}, "sample_weight": Y},
            "class_weight and sample_weight",
        ),
        ({"class_weight": {0: 1}, "y": [Y, Y]}, "one array of targets"),
        ({"class_weight": {0: 1}, "y": None}, "one array of targets"),
        ({"y": [Y, Y], "sample_weight": [Y]}, "different forms"),
        ({"y": [Y, Y], "sample_weight": X}, "one number a sample"),
    ],
)
def test_what_does_not_fit_is_named(arguments, message):
    with pytest.raises(DataError, match=message):
        adapt(**({"x": X, "y": Y} | arguments))


def test_validation_is_the_last_part_as_in_keras(keras_oracle):
    from keras.src.trainers.data_adapters import array_slicing

    data = ({"a": X, "b": jnp.asarray(Y)}, Y, None)
    for split in (0.1, 0.2, 0.5, 0.75):
        ours = train_validation_split(data, split)
        theirs = array_slicing.train_validation_split(data, split)
        for got, expected in zip(tree.flatten(ours), tree.flatten(theirs), strict=True):
            if expected is not None:
                np.testing.assert_array_equal(got, expected)
        assert ours[0][2] is ours[1][2] is None


@pytest.mark.parametrize(
    "data, split, message",
    [
        ((X, Y), 1.5, "between 0 and 1"),
        ((X[:1], Y[:1]), 0.5, "leaves a part empty"),
        ((iter([X]), None), 0.5, "needs arrays; got list_iterator"),
        ((X, Y[:3]), 0.5, "numbers of samples differ"),
    ],
)
def test_a_split_that_cannot_be(data, split, message):
    with pytest.raises(DataError, match=message):
        train_validation_split(data, split)
