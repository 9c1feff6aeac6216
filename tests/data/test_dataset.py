"""`Dataset`: transformations, orders, positions, training."""

import threading

import numpy as np
import pytest

import carnyx
from carnyx._data import Dataset, adapt
from carnyx.errors import ArgumentError, DataError

N = 13


def numbers(count=N):
    return Dataset(count, lambda i: (np.float32([i, -i]), np.int32(i)))


def order(dataset):
    return [int(y) for _, y in dataset]


def test_elements_and_batches():
    data = numbers().batch(5)
    shapes = [(x.shape, y.tolist()) for x, y in data]
    assert shapes[0] == ((5, 2), [0, 1, 2, 3, 4]) and shapes[2] == (
        (3, 2),
        [10, 11, 12],
    )
    assert len(data) == 3 and len(numbers().batch(5, drop_remainder=True)) == 2
    x, y = data.element_spec
    assert (x.shape, x.dtype, y.shape) == ((None, 2), "float32", (None,))
    assert numbers().batch(5, True).element_spec[1].shape == (5,)
    assert numbers().element_spec[1].shape == ()


def test_map_take_skip_select():
    data = numbers().map(lambda x, y: (x, y * 2)).skip(2).take(4)
    assert order(data) == [4, 6, 8, 10] and len(data) == 4
    assert order(data.take(-1)) == order(data) and len(data.take(9)) == 4
    assert order(numbers().select([5, 1])) == [5, 1]
    doubled = Dataset(3, lambda i: i).map(lambda i: i * 2)
    assert list(doubled) == [0, 2, 4]


@pytest.mark.parametrize("size", [None, 1, 4, 50])
def test_every_pass_has_another_order_of_all(size):
    data = numbers().shuffle(size, seed=3)
    first, second = order(data), order(data)
    assert sorted(first) == sorted(second) == list(range(N))
    assert (first == second) == (size == 1)
    assert order(numbers().shuffle(size, seed=3)) == first
    if size == 4:  # what stands at place i was among the first i + 4
        assert all(value < place + 4 for place, value in enumerate(first))
    same = numbers().shuffle(size, seed=3, reshuffle_each_iteration=False)
    assert order(same) == order(same) == first


def test_elements_are_kept_or_made_ahead():
    made = []
    data = Dataset(6, lambda i: made.append(i) or i).cache()
    assert list(data) == list(data) == list(range(6)) and sorted(made) == list(range(6))
    with pytest.raises(ArgumentError, match="Cache first, then shuffle"):
        data.shuffle().repeat(2).cache()
    both = threading.Barrier(2, timeout=20)
    met = Dataset(4, lambda i: both.wait() * 0 + i).map(
        lambda i: i, num_parallel_calls=2
    )
    assert list(met.prefetch(2)) == [0, 1, 2, 3]


def test_rows_of_differing_lengths():
    data = Dataset(3, lambda i: np.ones(i + 1, "int32"))
    with pytest.raises(DataError, match="use `padded_batch`"):
        list(data.batch(2))
    first, last = data.padded_batch(2)
    assert first.tolist() == [[1, 0], [1, 1]] and last.tolist() == [[1, 1, 1]]
    words = Dataset(2, lambda i: "ab"[i]).batch(2)
    assert next(iter(words)).tolist() == ["a", "b"]
    assert words.element_spec.dtype == "string"


@pytest.mark.parametrize("steps", [None, 2])
def test_a_position_of_a_shuffled_dataset(steps):
    feed = adapt(numbers().shuffle().batch(3), steps=steps)
    seen = [[b[1].tolist() for b in feed.epoch(e)] for e in range(2)]
    assert len(seen[0]) == (steps or 5) and seen[0] != seen[1]
    list(feed.epoch(1))
    position = feed.position(1, 1)
    again = adapt(numbers().shuffle().batch(3), steps=steps)
    again.restore(position)
    assert [b[1].tolist() for b in again.epoch(1, 1)] == seen[1][1:]


def test_it_trains_as_its_arrays(tmp_path):
    x, y = (np.stack(part) for part in zip(*numbers(), strict=True))
    model = carnyx.Sequential([carnyx.Input((2,)), carnyx.layers.Dense(1)])
    model.compile("sgd", "mse")
    start = model.get_weights()
    data = numbers().map(lambda x, y: (x / 9, y)).batch(4)
    got = model.fit(data, epochs=2, validation_data=data, verbose=0).history
    model.set_weights(start)
    wanted = model.fit(
        x / 9, y, batch_size=4, shuffle=False, epochs=2, validation_data=(x / 9, y),
        verbose=0,
    ).history  # fmt: skip
    for name, values in wanted.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-5)


class Stop(carnyx.callbacks.Callback):
    """Ends the job as a crash would, in the middle of an epoch."""

    def __init__(self, at):
        super().__init__()
        self.at, self.seen = at, 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        if self.seen == self.at:
            raise ConnectionError("the machine is gone")


class Batches(carnyx.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        rows = np.arange(3) + 3 * index
        return np.stack([rows, -rows], 1) / 20, rows


@pytest.mark.parametrize(
    "make",
    [
        lambda: numbers().shuffle().map(lambda x, y: (x / 20, y)).batch(3),
        lambda: Batches(workers=2),
        lambda: (batch for _ in range(9) for batch in Batches()),
        lambda: zip(np.ones((50, 3, 2)), np.ones((50, 3))),
    ],
    ids=["dataset", "pydataset", "generator", "zip"],
)
@pytest.mark.parametrize("crash", [7, 10])  # within an epoch, at its end
def test_a_job_that_was_cut_goes_on_exactly(make, crash, tmp_path):
    def job(folder, *callbacks):
        carnyx.utils.set_random_seed(1)
        model = carnyx.Sequential([carnyx.Input((2,)), carnyx.layers.Dense(1)])
        model.compile(carnyx.optimizers.Adam(0.1), "mse")
        backup = carnyx.callbacks.BackupAndRestore(
            folder, save_freq=1, delete_checkpoint=False
        )
        data = make()
        steps = None if hasattr(data, "__len__") else 5
        history = model.fit(
            data, epochs=4, steps_per_epoch=steps, verbose=0,
            callbacks=[*callbacks, backup],
        ).history  # fmt: skip
        return history["loss"], model.get_weights()

    losses, weights = job(tmp_path / "whole")
    with pytest.raises(ConnectionError):
        job(tmp_path / "cut", Stop(crash))
    again, reached = job(tmp_path / "cut", Stop(-1))
    assert again == losses
    for mine, wanted in zip(reached, weights, strict=True):
        np.testing.assert_array_equal(mine, wanted)
