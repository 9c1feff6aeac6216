"""Kind: what callbacks that users wrote remember, after a resume.

Why it happened: only attributes that a class names were kept in backups, and callbacks
written for Keras name none. So counters, best values and lists of a job that was killed
began anew, silently, where everything else went on exactly.
"""

import numpy as np
import pytest

import carnyx as keras
from carnyx.callbacks import Callback, EarlyStopping

X = np.random.default_rng(0).random((12, 3)).astype("float32")


class Killed(Exception):
    pass


class Kill(Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise Killed


def run(folder, callback, kill=-1, epochs=4):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(
        X, X[:, :1], batch_size=4, epochs=epochs, verbose=0, resume=folder,
        callbacks=[callback, Kill(kill)],
    )  # fmt: skip
    return callback


def resumed(folder, make):
    with pytest.raises(Killed):
        run(folder, make(), kill=2)
    return run(folder, make())


class Keeps(Callback):
    seen = 0

    def __init__(self, every=1):
        super().__init__()
        self.every, self.best, self.log, self.sums = every, np.inf, [], np.zeros(2)
        self.by_epoch, self.pairs, self.epochs = {}, (), set()
        self.nested = {"a": [{"b": ()}]}
        self.unknown = None

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        self.sums += [1, logs["loss"]]

    def on_epoch_end(self, epoch, logs=None):
        self.best = min(self.best, logs["loss"])
        self.log.append(np.float32(epoch))
        self.by_epoch[epoch] = self.best
        self.pairs += ((epoch, "x"),)
        self.epochs.add(epoch)
        self.nested["a"].append({"b": (epoch, [epoch])})
        self.unknown = object()


def test_everything_that_is_data_goes_on(tmp_path):
    whole, again = run(tmp_path / "whole", Keeps()), resumed(tmp_path / "cut", Keeps)
    for name in ("seen", "best", "log", "by_epoch", "pairs", "epochs", "nested"):
        assert getattr(again, name) == getattr(whole, name), name
        assert type(getattr(again, name)) is type(getattr(whole, name)), name
    np.testing.assert_array_equal(again.sums, whole.sums)


def test_what_a_constructor_is_given_is_that_of_the_new_run(tmp_path):
    with pytest.raises(Killed):
        run(tmp_path, Keeps(every=1), kill=2)
    again = run(tmp_path, Keeps(every=7))
    assert again.every == 7 and again.seen == 12


def test_one_of_ours_with_more_of_ones_own(tmp_path):
    class More(EarlyStopping):
        def __init__(self):
            super().__init__(monitor="loss", patience=9)
            self.log = []

        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            self.log.append(epoch)

    again = resumed(tmp_path, More)
    assert again.log == [0, 1, 2, 3] and again.best_epoch == 3


def test_what_a_class_names_is_all(tmp_path):
    class Says(Callback):
        _state = ("kept",)
        kept = left = 0

        def on_epoch_end(self, epoch, logs=None):
            self.kept += 1
            self.left += 1

    again = resumed(tmp_path, Says)
    assert (again.kept, again.left) == (4, 2)


def test_one_that_knows_nothing_of_ours(tmp_path):
    class Foreign:
        """As a callback of Keras's: hooks, and two methods."""

        def __init__(self):
            self.count = 0

        def set_model(self, model):
            self.model = model

        def set_params(self, params):
            self.params = params

        def on_epoch_end(self, epoch, logs=None):
            self.count += 1

    assert resumed(tmp_path, Foreign).count == 4


def test_two_of_a_class(tmp_path):
    both = [Keeps(1), Keeps(2)]
    keras.utils.set_random_seed(1)
    with pytest.raises(Killed):
        fit_with([*both, Kill(2)], tmp_path)
    again = [Keeps(1), Keeps(2)]
    fit_with(again, tmp_path)
    assert [c.seen for c in again] == [12, 12]


def fit_with(callbacks, folder):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], 4, 4, verbose=0, resume=folder, callbacks=callbacks)
