"""Feeds of ready-made batches, and reading ahead."""

import itertools
import threading
import traceback

import jax
import numpy as np
import pytest

from carnyx._data import ArrayFeed, Feed, SequenceFeed, StreamFeed, adapt, prefetch
from carnyx.errors import DataError

X = np.arange(40.0).reshape(20, 2)
Y = np.arange(20)


class Batches:
    """As a `PyDataset`."""

    def __init__(self, count=5):
        self.count, self.events = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        rows = slice(4 * (index % 5), 4 * (index % 5) + 4)
        return X[rows], Y[rows]

    def on_epoch_begin(self):
        self.events.append("begin")

    def on_epoch_end(self):
        self.events.append("end")


class Loader:
    """Begins again whenever it is iterated over; batches are lists."""

    def __init__(self, count=5):
        self.count = count

    def __iter__(self):
        return (list(Batches()[i % 5]) for i in range(self.count))


def generator(count=5):
    return (Batches()[i % 5] for i in range(count))


def firsts(feed, epoch=0, start=0):
    return [int(batch[1][0]) // 4 for batch in feed.epoch(epoch, start)]


@pytest.mark.parametrize(
    "x, kind",
    [
        (X, ArrayFeed),
        ({"a": X}, ArrayFeed),
        (Batches(), SequenceFeed),
        (Loader(), StreamFeed),
        (generator(), StreamFeed),
        (itertools.repeat((X, Y)), StreamFeed),
    ],
)
def test_what_an_object_can_do_chooses_its_feed(x, kind):
    feed = adapt(x, steps=2)
    assert isinstance(feed, kind) and adapt(feed) is feed


@pytest.mark.parametrize(
    "item, parts",
    [
        (X, (True, False, False)),
        ((X,), (True, False, False)),
        ({"a": X, "b": Y}, (True, False, False)),
        ((X, Y), (True, True, False)),
        ([X, Y], (True, True, False)),
        ((X, Y, Y), (True, True, True)),
        (([X, Y], None, Y), (True, False, True)),
    ],
)
def test_a_batch_has_three_parts(item, parts):
    (batch,) = adapt(iter([item])).epoch(0)
    assert tuple(part is not None for part in batch) == parts
    dtypes = {leaf.dtype.name for leaf in jax.tree_util.tree_leaves(batch)}
    assert dtypes <= {"float32", "int32"}


def test_a_jax_array_stays_where_it_is():
    x = jax.numpy.ones((3, 2))
    assert next(adapt(iter([x])).epoch(0))[0] is x


@pytest.mark.parametrize("make", [generator, Batches, Loader])
def test_the_spec_takes_nothing_away(make):
    feed = adapt(make())
    x, y, w = feed.spec()
    assert (x.shape, x.dtype, y.shape, y.dtype, w) == (
        (None, 2), "float32", (None,), "int32", None,
    )  # fmt: skip
    assert firsts(feed) == [0, 1, 2, 3, 4]


def test_a_size_that_varies_is_unknown():
    feed = adapt(iter([np.ones((2, n, 3)) for n in (4, 5, 6)]))
    assert feed.spec()[0].shape == (None, None, 3)
    assert [b[0].shape[1] for b in feed.epoch(0)] == [4, 5, 6]


def test_an_endless_generator_goes_on_from_epoch_to_epoch():
    feed = adapt(generator(100), steps=3)
    feed.spec()
    assert feed.length == 3
    read = [
        list(prefetch(feed.epoch(e), lambda b: int(b[1][0]) // 4)) for e in range(4)
    ]
    assert read == [[0, 1, 2], [3, 4, 0], [1, 2, 3], [4, 0, 1]]


def test_a_loader_begins_again():
    feed = adapt(Loader())
    assert feed.length is None
    assert [firsts(feed, epoch) for epoch in range(3)] == [[0, 1, 2, 3, 4]] * 3
    assert firsts(feed, 3, 2) == [2, 3, 4]


def test_data_that_runs_out_is_told():
    feed = adapt(generator(4), steps=3)
    assert firsts(feed) == [0, 1, 2]
    with pytest.warns(UserWarning, match="after 1 of 3 batches in epoch 2"):
        assert firsts(feed, 1) == [3]
    assert firsts(feed, 2) == []


def test_batches_with_an_index_are_shuffled_by_seed_and_epoch():
    feed = adapt(Batches(), shuffle=True, seed=5)
    orders = [firsts(feed, epoch) for epoch in range(3)]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    again = adapt(Batches(), shuffle=True, seed=5)
    assert firsts(again, 2, 2) == orders[2][2:]


def test_fewer_steps_take_a_pass_over_batches_with_an_index_apart():
    feed = adapt(Batches(), steps=3)
    with pytest.warns(UserWarning, match="2 of 3 batches in epoch 2: Batches has 5"):
        assert [firsts(feed, e) for e in range(3)] == [[0, 1, 2], [3, 4], [0, 1, 2]]


def test_an_endless_sequence_counts_on():
    class Endless(Batches):
        num_batches = None

        def __getitem__(self, index):
            return super().__getitem__(index % 5)

    feed = adapt(Endless(), steps=3)
    assert [firsts(feed, e) for e in range(2)] == [[0, 1, 2], [3, 4, 0]]


def test_a_sequence_is_told_when_epochs_begin_and_end():
    source = Batches()
    feed = adapt(source)
    list(feed.epoch(0))
    batches = prefetch(feed.epoch(1), lambda b: b)
    next(batches)
    batches.close()
    assert source.events == ["begin", "end"] * 2


@pytest.mark.parametrize("make", [generator, Batches, Loader])
@pytest.mark.parametrize("steps", [None, 3])
def test_a_position_is_found_again(make, steps):
    feed: Feed = adapt(make(9), steps=steps)
    feed.spec()
    for epoch in range(2 if steps else 1):
        batches = feed.epoch(epoch)
        next(batches), next(batches)
        if epoch < (1 if steps else 0):
            list(batches)
    position = feed.position()
    rest = [batch[1].tolist() for batch in batches]
    again = adapt(make(9), steps=steps)
    again.restore(position)
    batches = again.epoch(position["epoch"], position["index"])
    assert [batch[1].tolist() for batch in batches] == rest != []


@pytest.mark.parametrize("steps", [None, 6])
@pytest.mark.parametrize("make", [generator, Batches, Loader])
def test_a_position_behind_the_reader(make, steps):
    feed = adapt(make(20), steps=steps)
    if steps:
        list(feed.epoch(0))
    batches = prefetch(feed.epoch(1), lambda b: b[1].tolist())
    next(batches), next(batches)
    position, rest = feed.position(index=2), list(batches)
    again = adapt(make(20), steps=steps)
    again.restore(position)
    batches = again.epoch(position["epoch"], position["index"])
    assert [batch[1].tolist() for batch in batches] == rest != []


def test_class_weights_reach_the_batches_of_a_source():
    feed = adapt(Batches(), class_weight={0: 5.0})
    weights = [batch[2].tolist() for batch in feed.epoch(0)]
    assert weights[0] == [5, 1, 1, 1] and weights[1] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"x": generator(), "y": Y}, "so y must come with its batches"),
        ({"x": Batches(), "sample_weight": Y}, "so sample_weight must come"),
        ({"x": iter([(X, Y[:3])])}, "In batch 0 of the source: .* x has 20, y has 3"),
        ({"x": iter([(X, Y, Y, Y)])}, "4 parts"),
        ({"x": iter([None])}, "gave None"),
        ({"x": iter([1.0])}, "In batch 0 of the source: x is a float|x is float"),
        ({"x": iter([])}, "gave no batch"),
        ({"x": Batches(0)}, "has no batches"),
        ({"x": iter([X, X[:, 0]])}, "different ranks"),
    ],
)
def test_what_does_not_fit_is_named(arguments, message):
    with pytest.raises(DataError, match=message):
        adapt(**arguments).spec()


def test_reading_ahead_keeps_order_and_depth():
    read = []

    def source():
        for i in range(10):
            read.append(i)
            yield i

    batches = prefetch(source(), lambda i: -i, depth=2)
    got = [next(batches)]
    for _ in range(1000):  # the reader never gets further than depth beyond us
        assert len(read) <= 4
    got += list(batches)
    assert got == [-i for i in range(10)] and read == list(range(10))


def test_an_error_of_the_source_comes_with_its_traceback():
    def broken():
        yield 1
        raise KeyError("lost")

    batches = prefetch(broken(), lambda b: b)
    assert next(batches) == 1
    with pytest.raises(KeyError, match="lost") as caught:
        next(batches)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert "broken" in [frame.name for frame in frames]


def test_an_error_of_the_transfer_comes_too():
    with pytest.raises(ZeroDivisionError):
        next(prefetch([1, 2], lambda b: b / 0))


def test_leaving_early_ends_the_thread_and_closes_the_source():
    closed = []

    def endless():
        try:
            yield from itertools.count()
        finally:
            closed.append(True)

    before = threading.active_count()
    batches = prefetch(endless(), lambda b: b)
    assert next(batches) == 0
    assert threading.active_count() == before + 1
    batches.close()
    assert threading.active_count() == before and closed == [True]


def test_a_generator_is_free_again_after_leaving_early():
    feed = adapt(generator(100), steps=10)
    batches = prefetch(feed.epoch(0), lambda b: b)
    next(batches)
    batches.close()
    assert len(list(feed.epoch(1))) == 10


def test_nothing_runs_before_the_first_batch_is_asked_for():
    before = threading.active_count()
    prefetch(iter([1]), lambda b: b)
    assert threading.active_count() == before


def test_a_generator_may_fill_the_same_buffer_again():
    def source():
        x = np.zeros((4, 2), "float32")
        for number in range(5):
            x[:] = number
            yield x, x

    feed = StreamFeed(source())
    feed.spec()
    batches = list(prefetch(feed.epoch(0), jax.device_put))
    assert [float(x[0, 0]) for x, _, _ in batches] == [0, 1, 2, 3, 4]
