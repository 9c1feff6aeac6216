"""Data that are slow or wrong: what is said of them, and when."""

import time
import warnings

import numpy as np
import pytest

import carnyx
from carnyx._data import adapt, checks, prefetch
from carnyx._data.feed import Waiting
from carnyx.errors import DataError

X = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
Y = np.zeros(24, "float32")


def model():
    model = carnyx.Sequential([carnyx.Input((3,)), carnyx.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def batches(x, y):
    return ((x[i : i + 4], y[i : i + 4]) for i in range(0, len(x), 4))


class Sequence(carnyx.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return 6

    def __getitem__(self, index):
        rows = slice(4 * index, 4 * index + 4)
        return self.x[rows], Y[rows]


def spoiled():
    x = X.copy()
    x[13, 2] = np.nan
    return x


@pytest.mark.parametrize(
    "source", [Sequence, lambda x: (x, Y)], ids=["by index", "arrays"]
)
def test_nan_in_the_inputs_is_found_when_the_loss_tells(source):
    data = source(spoiled())
    x, y = data if isinstance(data, tuple) else (data, None)
    message = (
        r"The loss became nan. Batch 3 of epoch 1 of .* has NaN or infinite values "
        r"in x: "
        r"1 of 12 values, the first at \(1, 2\)"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        size = {"batch_size": 4} if y is not None else {}
        model().fit(x, y, **size, shuffle=False, verbose=0, epochs=3)
    assert len(caught) == 1


def test_a_stream_is_watched_once_the_loss_is_nan():
    x = np.concatenate([spoiled(), spoiled()])
    with pytest.warns(UserWarning, match="Batch 9 of generator has NaN.*x: 1 of 12"):
        model().fit(batches(x, np.zeros(48)), steps_per_epoch=6, epochs=2, verbose=0)


def test_no_state_is_kept_after_the_loss_became_nan(monkeypatch):
    monkeypatch.setattr("carnyx._training.kept._PART", 1e9)  # ever time to
    x = np.concatenate([spoiled(), spoiled()])
    with pytest.warns(UserWarning, match="Batch 9 of generator has NaN") as said:
        model().fit(batches(x, np.zeros(48)), steps_per_epoch=6, epochs=2, verbose=0)
    assert len(said) == 1


def test_a_loss_that_diverges_by_itself_blames_no_data():
    net = model()
    net.layers[0].set_weights([np.full((3, 1), np.nan), np.zeros(1)])
    with pytest.warns(UserWarning, match="Before the first step .*kernel'") as said:
        net.fit(X, Y, verbose=0)
    assert len(said) == 1


def test_a_batch_that_does_not_fit_the_model_is_named():
    def source():
        yield X[:4], Y[:4]
        yield X[4:8], Y[4:8]
        yield X[8:12, :2], Y[8:12]

    with pytest.raises(Exception) as caught:
        model().fit(source(), verbose=0)
    notes = "".join(caught.value.__notes__)
    assert (
        "in step 2 of the epoch" in notes and "x float32(4, 2), y float32(4,)" in notes
    )


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: batches(X, Y[:22]), "In batch 5 of the source: .* x has 4, y has 2"),
        (lambda: iter([(X, Y[:0])]), "In batch 0 of the source: y has no samples"),
        (lambda: iter([]), "gave no batch: it is empty or at its end"),
    ],
)
def test_sizes_that_differ_and_nothing_at_all(make, message):
    with pytest.raises(DataError, match=message):
        model().fit(make(), verbose=0)


def test_waiting_is_what_the_device_waits():
    waiting = Waiting()

    def source():
        time.sleep(0.4)  # what a source does before its first batch is not counted
        yield 1
        time.sleep(0.4)
        yield 1

    busy_until = time.perf_counter() + 0.7
    list(
        prefetch(
            source(), abs, waiting=waiting,
            idle=lambda: time.perf_counter() > busy_until,
        )
    )  # fmt: skip
    assert 0.02 < waiting.seconds < 0.3


def test_a_slow_source_is_shown_and_told_once(capsys):
    feed = adapt(Sequence(X))
    feed.waiting.begin()
    assert str(feed.waiting) == ""
    feed.waiting.seconds, feed.waiting._since = 4.0, time.perf_counter() - 10
    assert str(feed.waiting) == "waiting for data 40%"
    feed.waiting.end()
    with pytest.warns(
        UserWarning, match="waited 40% .* Sequence is slower than the mo"
    ):
        checks.tell_of_waiting(feed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checks.tell_of_waiting(feed)


def test_the_bar_shows_the_waiting(capsys):
    class Slow(Sequence):
        def __getitem__(self, index):
            time.sleep(0.1)
            return super().__getitem__(index)

    model().fit(Slow(X), verbose=2)
    assert "- waiting for data " in capsys.readouterr().out
