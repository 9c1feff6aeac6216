"""A `Dataset` does what users of tf.data expect, with exact positions.

Why it happened: only what our own readers of folders need had been written, and
`cache` refused what they give, since they shuffle first. The expected elements come
from plain Python lists.
"""

import numpy as np
import pytest

from carnyx._data import Dataset, adapt
from carnyx.errors import ArgumentError, DataError


def numbers(count=10):
    return Dataset(count, lambda i: np.int32(i))


def values(dataset):
    return [int(v) for v in dataset]


ROWS = {
    "repeat": (lambda d: d.repeat(2), [*range(10), *range(10)]),
    "unbatch": (lambda d: d.batch(4).unbatch(), list(range(10))),
    "unbatch after map": (
        lambda d: d.batch(4).map(lambda x: x * 2).unbatch(), list(range(0, 20, 2))
    ),
    "filter": (lambda d: d.filter(lambda x: x % 3 == 0), [0, 3, 6, 9]),
    "concatenate": (lambda d: d.concatenate(numbers(3)), [*range(10), 0, 1, 2]),
    "enumerate": (
        lambda d: d.skip(5).enumerate(2).map(lambda i, x: i * 10 + x),
        [25, 36, 47, 58, 69],
    ),
    "zip": (
        lambda d: Dataset.zip(d, numbers(4)).map(lambda a, b: a + b), [0, 2, 4, 6]
    ),
    "zip of a tuple": (
        lambda d: Dataset.zip((d, d)).map(lambda a, b: a + b), list(range(0, 20, 2))
    ),
    "cache": (lambda d: d.map(lambda x: x + 0).cache(), list(range(10))),
    "take, skip": (lambda d: d.take(6).skip(2), [2, 3, 4, 5]),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_elements(name):
    make, expected = ROWS[name]
    dataset = make(numbers())
    assert values(dataset) == values(dataset) == expected
    assert dataset.cardinality() == len(dataset) == len(expected)
    assert [int(v) for v in dataset.as_numpy_iterator()] == expected
    assert dataset.reduce(0, lambda total, x: total + int(x)) == sum(expected)


@pytest.mark.parametrize("name", ROWS)
def test_shuffled_elements_and_their_positions(name):
    make, expected = ROWS[name]
    data = make(numbers().shuffle(seed=3))
    if name.startswith(("take", "zip", "enumerate")):
        expected = None  # which ones depends on the order
    batches = data.map(lambda x: (np.float32([x]), np.float32([x]))).batch(2)
    feed = adapt(batches)
    first, second = ([b[0].ravel().tolist() for b in feed.epoch(e)] for e in (0, 1))
    assert first != second
    for epoch in (first, second):
        assert expected is None or sorted(sum(epoch, [])) == sorted(expected)
    again = adapt(make(numbers().shuffle(seed=9)).map(
        lambda x: (np.float32([x]), np.float32([x]))
    ).batch(2))  # fmt: skip
    position = feed.position(1, 1)
    again.restore(position)
    assert [b[0].ravel().tolist() for b in again.epoch(1, 1)] == second[1:]


def test_cache_below_a_shuffle():
    made = []

    def make(i):
        made.append(i)
        return np.float32([i])

    data = Dataset(6, make).shuffle(seed=1).map(lambda x: x + 1).batch(2).prefetch(2)
    data.class_names = ["a"]
    kept = data.cache()
    assert kept.class_names == ["a"]
    passes = [np.concatenate(list(kept)).ravel().tolist() for _ in range(3)]
    assert sorted(made) == list(range(6))
    assert all(sorted(p) == [1, 2, 3, 4, 5, 6] for p in passes)
    assert passes[0] != passes[1] or passes[1] != passes[2]
    plain = [np.concatenate(list(data)).ravel().tolist() for _ in range(3)]
    assert passes == plain  # in the orders that it has without


def test_cache_right_after_a_shuffle():
    """As of a folder that is read sample by sample."""
    made = []
    data = Dataset(20, lambda i: made.append(i) or i).shuffle(seed=1)
    kept = data.cache()
    first, second = values(kept), values(kept)
    assert sorted(made) == sorted(first) == list(range(20))
    assert first != second and [first, second] == [values(data), values(data)]


def pairs(dataset):
    return dataset.map(lambda x: (np.float32([x]), np.float32([x])))


@pytest.mark.parametrize("count", [None, -1])
def test_repeat_without_an_end(count):
    data = numbers(3).repeat(count)
    assert values(data.take(8)) == [0, 1, 2, 0, 1, 2, 0, 1]
    assert data.cardinality() == data.batch(2).cardinality() == -1
    with pytest.raises(TypeError, match="no end"):
        len(data)
    for what in (data.shuffle, data.cache, lambda: data.filter(bool)):
        with pytest.raises(ArgumentError, match="then repeat"):
            what()
    with pytest.raises(DataError, match="Give steps_per_epoch"):
        adapt(pairs(data).batch(2))


def test_epochs_of_an_endless_dataset_follow_one_another():
    def feed(seed):
        return adapt(pairs(numbers(5).shuffle(seed=seed).repeat()).batch(2), steps=2)

    def read(source, epoch, start=0):
        return [v for b in source.epoch(epoch, start) for v in b[0].ravel().tolist()]

    first = feed(3)
    seen = [v for epoch in range(5) for v in read(first, epoch)]
    assert [sorted(seen[i : i + 5]) for i in (0, 5, 10, 15)] == [[0, 1, 2, 3, 4]] * 4
    again = feed(8)
    again.restore(first.position(1, 3))
    assert read(again, 3, 1) == seen[14:16]
