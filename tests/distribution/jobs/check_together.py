"""What two processes do together, checked in both."""

import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest

import carnyx as keras

random.seed(os.getpid())  # scripts that draw differently shuffle alike all the same
keras.distribution.initialize()
keras.distribution.initialize()  # does nothing

import jax  # noqa: E402

folder, index = Path(sys.argv[1]), jax.process_index()
DataParallel = keras.distribution.DataParallel
rng = np.random.default_rng(0)
x, y = rng.normal(size=(40, 6)).astype("float32"), np.arange(40) % 3


def model(width=8):
    made = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(width, activation="relu"),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    made.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def data_parallel_is_in_force():
    distribution = keras.distribution.distribution()
    assert isinstance(distribution, DataParallel)
    assert distribution.num_model_replicas == jax.device_count() == 2
    assert (distribution.num_processes, distribution.data_shard_id) == (2, index)


def files_and_messages_come_from_one():
    keras.distribution.set_distribution(DataParallel(shard_parameters=True))
    own = folder / f"of-{index}"  # each its own, to see who writes
    one = model()
    one.summary()
    one.fit(
        x,
        y,
        epochs=3,
        validation_data=(x, y),
        verbose=2,
        callbacks=[
            keras.callbacks.CSVLogger(folder / f"log-{index}.csv"),
            keras.callbacks.TensorBoard(own / "board", histogram_freq=1),
            keras.callbacks.ModelCheckpoint(
                own / "{epoch}.keras", save_best_only=True, verbose=1
            ),
            keras.callbacks.EarlyStopping("loss", patience=0, min_delta=9, verbose=1),
        ],
    )
    assert one.history.epoch == [0, 1]
    one.save(own / "model.keras")
    files = {p.name for p in own.rglob("*") if p.is_file()}
    if index:
        assert not files and not (folder / "log-1.csv").exists()
    else:
        assert {"1.keras", "2.keras", "model.keras"} < files
        assert any("tfevents" in name for name in files)
        assert (folder / "log-0.csv").read_text().count("\n") == 3
    with pytest.raises(keras.errors.FileError, match=r"exists|could not save"):
        one.save(folder / "of-0" / "model.keras", overwrite=False)


def one_alone_may_look():
    keras.distribution.set_distribution(DataParallel())
    one = model()

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if index == 0:  # reads what it has, and nobody else needs to
                assert np.isfinite(self.model.get_weights()[0]).all()
                self.model.save(folder / "looked.keras")

    one.fit(x, y, batch_size=10, epochs=2, verbose=0, callbacks=[Look()])
    # every step is its own program in both, though one alone asked for that
    one.fit(x, y, batch_size=10, verbose=0, callbacks=[Look()] if index == 0 else None)


def what_differs_is_an_error_in_both():
    keras.distribution.set_distribution(DataParallel())
    part = x[index::2][: 20 - index], y[index::2][: 20 - index]
    with pytest.raises(keras.errors.ArgumentError, match=r"num_samples is 20 .* 19"):
        model().fit(*part, verbose=0)
    with pytest.raises(keras.errors.ArgumentError, match="epochs is 1 .* 2 in process"):
        model().fit(x, y, epochs=1 + index, verbose=0)
    for freq, match in (
        (1 + index, "validation_freq is 1 .* 2 in process"),
        ([2, 4 + index], r"validation_freq is \[2, 4\] .* \[2, 5\] in process"),
    ):
        with pytest.raises(keras.errors.ArgumentError, match=match):
            model().fit(
                x, y, validation_data=(x, y), validation_freq=freq, verbose=0, epochs=2
            )
    for option in ({"delete_checkpoint": index == 0}, {"keep": 1 + index}):
        keep = keras.callbacks.BackupAndRestore(folder / "never", **option)
        with pytest.raises(keras.errors.ArgumentError, match="backups is .*keep"):
            model().fit(x, y, verbose=0, callbacks=[keep])
    part = x[index::2], y[index::2]  # as many, and others
    for verbose in (0, 2):
        with pytest.raises(keras.errors.DataError, match="has other samples"):
            model().fit(*part, verbose=verbose)
        with pytest.raises(keras.errors.DataError, match="auto_shard_dataset=False"):
            model().evaluate(*part, verbose=verbose)
        with pytest.raises(keras.errors.DataError, match="has other samples"):
            model().predict(part[0], verbose=verbose)
    with pytest.raises(keras.errors.ArgumentError, match=r"num_samples is 8 .* 6"):
        model().predict(x[: 8 - 2 * index], verbose=0)
    with pytest.raises(keras.errors.ArgumentError, match=r"length is 1 .* 2 in"):
        model().predict(x[:8] if index == 0 else x, verbose=0)

    class Shuffled(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            rows = (np.arange(8 * i, 8 * i + 8) + index) % 40
            return x[rows], y[rows]

    with pytest.raises(keras.errors.DataError, match="has other samples"):
        model().fit(Shuffled(), verbose=0, shuffle=False)

    def some():  # the second process has fewer
        for i in range(4 - index):
            yield x[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8]

    errors = keras.errors.DataError, keras.errors.ProcessError  # whoever is first
    with pytest.raises(errors, match="0 samples"):
        model().fit(some(), verbose=0)
    keras.distribution.set_distribution(DataParallel(auto_shard_dataset=False))
    one = model()
    one.fit(some(), verbose=0)  # each its own: all of it is used
    assert int(one.optimizer.iterations) == 4


def logs_that_are_no_single_numbers():
    keras.distribution.set_distribution(DataParallel())
    one = model()
    one.compile("sgd", "categorical_crossentropy", metrics=[keras.metrics.F1Score()])
    history = one.fit(x, np.eye(3)[y], batch_size=20, verbose=0).history
    assert history["f1_score"][0].shape == (3,)


def each_reads_what_its_devices_take():
    class Lazy:
        shape, dtype, rows = x.shape, x.dtype, 0

        def __getitem__(self, rows):
            part = x[rows]
            self.rows += len(part)
            return part

    keras.distribution.set_distribution(DataParallel())
    lazy, one = Lazy(), model()
    one.fit(lazy, y, batch_size=8, epochs=3, verbose=0)
    assert lazy.rows == 3 * 40 / 2 + 2  # one is compared, one is looked at
    expected = model()
    expected.set_weights(one.get_weights())
    got = one.predict(lazy, batch_size=9, verbose=0)
    np.testing.assert_allclose(got, expected.predict(x, verbose=0), rtol=1e-5)


def steps_on_single_batches():
    keras.distribution.set_distribution(DataParallel())
    one, size = model(), 8 - 2 * index
    loss, _ = one.train_on_batch(x[:9], y[:9])
    assert np.isfinite(loss)
    before = one.get_weights()
    for step in (one.train_on_batch, one.test_on_batch):
        with pytest.raises(keras.errors.DataError, match="6 samples, .* process 0 8"):
            step(x[:size], y[:size])
        with pytest.raises(keras.errors.DataError, match="has other samples"):
            step(x[index::2], y[index::2])
    with pytest.raises(keras.errors.DataError, match="has other samples"):
        one.predict_on_batch(x[index::2])
    with pytest.raises(keras.errors.DataError, match="6 samples, .* process 0 8"):
        one.predict_on_batch(x[:size])
    np.testing.assert_array_equal(before[0], one.get_weights()[0])
    assert one.predict_on_batch(x[:9]).shape == (9, 3)
    keras.distribution.set_distribution(DataParallel(auto_shard_dataset=False))
    one = model()
    size = 3 + 2 * index
    loss, _ = one.train_on_batch(x[:size], y[:size])
    assert np.isfinite(loss)
    assert one.predict_on_batch(x[:size]).shape == (size, 3)
    assert one.predict(x[:size], verbose=0).shape == (size, 3)


for check in list(globals().values()):
    if getattr(check, "__module__", "") == "__main__" and callable(check):
        if check is not model and not isinstance(check, type):
            print("check", check.__name__, flush=True)
            check()
print("all is well")
