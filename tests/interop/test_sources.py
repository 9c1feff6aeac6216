"""Data held by other libraries trains as the same data in NumPy arrays does.

`make test-interop` has all of these libraries; where one is missing, its tests skip.
"""

from __future__ import annotations

import datetime
import functools
import itertools
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import carnyx
from carnyx._data import adapt, prefetch
from carnyx.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(52, 6)).astype("float32")  # 6 full batches and a smaller one
X[X < 0] = 0  # so that it may be sparse
Y = RNG.integers(0, 3, 52).astype("int32")
SIZE = 8


def batches() -> list[Any]:
    return [(X[i : i + SIZE], Y[i : i + SIZE]) for i in range(0, 52, SIZE)]


# ---- sources: each gives x (and y) for `fit`


def pandas_frames():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(X, columns=list("abcdef")), pandas.Series(Y)


def pandas_nullable():
    pandas = pytest.importorskip("pandas")
    columns = {
        c: pandas.array(X[:, i], dtype="Float32") for i, c in enumerate("abcdef")
    }
    return pandas.DataFrame(columns), pandas.array(Y, dtype="Int32")


def polars_frames():
    polars = pytest.importorskip("polars")
    return polars.DataFrame(X, schema=list("abcdef")), polars.Series(Y)


def scipy_matrix():
    sparse = pytest.importorskip("scipy.sparse")
    return sparse.coo_matrix(X), Y


def scipy_batches():
    sparse = pytest.importorskip("scipy.sparse")
    return ((sparse.csr_array(x), y) for x, y in batches())


def torch_tensors():
    torch = pytest.importorskip("torch")
    return torch.tensor(X, requires_grad=True), torch.tensor(Y)


def torch_loader(**options):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(data, batch_size=SIZE, **options)


def torch_loader_of_workers():
    return torch_loader(num_workers=2, multiprocessing_context="forkserver")


def tf_tensors():
    tf = pytest.importorskip("tensorflow")
    return tf.constant(X), tf.constant(Y)


def tf_dataset(shuffled=False):
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((X, Y))
    data = data.shuffle(52, seed=3) if shuffled else data
    return data.batch(SIZE).prefetch(2)


def tf_sparse_batches():
    tf = pytest.importorskip("tensorflow")
    return tf_dataset().map(lambda x, y: (tf.sparse.from_dense(x), y))


def grain_map_dataset(shuffled=False):
    grain = pytest.importorskip("grain")
    data = grain.MapDataset.source(list(zip(X, Y, strict=True)))
    data = data.seed(5).shuffle() if shuffled else data
    return data.batch(SIZE)


def grain_iter_dataset(shuffled=False):
    return grain_map_dataset(shuffled).to_iter_dataset()


def grain_loader(shuffled=False):
    grain = pytest.importorskip("grain")
    from grain import python as pygrain

    return grain.DataLoader(
        data_source=list(zip(X, Y, strict=True)),
        sampler=pygrain.IndexSampler(
            52,
            shard_options=pygrain.NoSharding(),
            shuffle=shuffled,
            num_epochs=1,
            seed=1,
        ),
        operations=[pygrain.Batch(SIZE)],
    )


def hub_dataset():
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset.from_dict({"x": X, "label": Y})


def hub_columns():
    data = hub_dataset()
    return data["x"], data["label"]


def hub_arrays():
    data = hub_dataset().with_format("numpy")
    return data["x"], data["label"]


def hub_stream():
    return hub_dataset().to_iterable_dataset()


def h5_datasets():
    h5py = pytest.importorskip("h5py")
    file = h5py.File.in_memory() if hasattr(h5py.File, "in_memory") else None
    file = file or h5py.File("memory.h5", "w", driver="core", backing_store=False)
    return file.create_dataset("x", data=X), file.create_dataset("y", data=Y)


def keras_pydataset(workers=2):
    keras = pytest.importorskip("keras")

    class Given(keras.utils.PyDataset):
        def __len__(self):
            return 7

        def __getitem__(self, index):
            return batches()[index]

    return Given(workers=workers)


SOURCES = [
    pandas_frames, pandas_nullable, polars_frames, scipy_matrix, scipy_batches,
    torch_tensors, torch_loader, torch_loader_of_workers, tf_tensors, tf_dataset,
    tf_sparse_batches, grain_map_dataset, grain_iter_dataset, grain_loader,
    hub_dataset, hub_columns, hub_arrays, hub_stream, h5_datasets, keras_pydataset,
]  # fmt: skip
each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.__name__)


@pytest.fixture(autouse=True)
def _others_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@functools.cache
def _model() -> Any:
    layers = carnyx.layers
    model = carnyx.Sequential(
        [carnyx.Input((6,)), layers.Dense(5, "relu"), layers.Dense(3, "softmax")]
    )
    loss = "sparse_categorical_crossentropy"
    model.compile(carnyx.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    return model, [w.copy() for w in model.get_weights()]


def trained(x: Any, y: Any = None, **options: Any) -> dict[str, Any]:
    model, weights = _model()
    model.set_weights(weights)
    model.optimizer.iterations.assign(0)
    history = model.fit(
        x, y, batch_size=SIZE, shuffle=False, verbose=0, **options
    ).history
    return history | {
        "weights": np.concatenate([w.ravel() for w in model.get_weights()])
    }


def _given(source: Any) -> tuple[Any, Any]:
    made = source()
    return made if isinstance(made, tuple) else (made, None)


@each_source
def test_a_source_trains_as_the_arrays_do(source):
    got, wanted = trained(*_given(source)), trained(X, Y)
    for name, values in wanted.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-5, atol=1e-7)


@each_source
def test_a_source_validates_and_is_evaluated(source):
    wanted = trained(X, Y, validation_data=(X, Y))
    got = trained(X, Y, validation_data=source())
    np.testing.assert_allclose(got["val_loss"], wanted["val_loss"], rtol=1e-5)


# ---- positions


def _rest(feed: Any, position: Any) -> list[Any]:
    rest = feed.epoch(position["epoch"], position["index"])
    return [batch[1].tolist() for batch in rest]


@pytest.mark.parametrize("used", [1, 4, 6])
@pytest.mark.parametrize(
    "make",
    [
        lambda: tf_dataset(shuffled=True),
        lambda: torch_loader(shuffle=True),
        lambda: grain_map_dataset(True),
        lambda: grain_iter_dataset(True),
        lambda: grain_loader(True),
        hub_stream,
    ],
    ids=["tf", "torch", "grain-map", "grain-iter", "grain-loader", "hub-stream"],
)
def test_a_position_behind_the_reader_is_found_again(make, used):
    """The reader is ahead; what was used counts, in the third epoch."""
    source = make()
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(4)
    feed = adapt(source, batch_size=SIZE)
    feed.spec()
    for epoch in range(2):
        list(feed.epoch(epoch))
    reading = prefetch(feed.epoch(2), lambda b: b[1].tolist())
    list(itertools.islice(reading, used))
    position = feed.position(used, 2)
    rest = list(reading)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(99)
    again = adapt(make(), batch_size=SIZE)
    again.spec()
    again.restore(position)
    assert _rest(again, position) == rest and rest


@pytest.mark.parametrize("make", [lambda: tf_dataset(True), lambda: grain_loader(True)])
def test_an_epoch_begins_where_the_last_ended(make):
    feed = adapt(make())
    list(feed.epoch(0))
    position = feed.position(0, 1)
    again = adapt(make())
    again.restore(position)
    assert _rest(again, position) == [b[1].tolist() for b in feed.epoch(1)] != []


class Crash(carnyx.callbacks.Callback):
    def __init__(self, at):
        super().__init__()
        self.left = at

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise ConnectionError("the machine is gone")


@pytest.mark.parametrize("crash", [3, 7, 16])  # within an epoch, at its end, later
@pytest.mark.parametrize(
    "make",
    [
        lambda: grain_loader(True),
        lambda: grain_map_dataset(True),
        lambda: tf_dataset(True),
        lambda: torch_loader(shuffle=True),
        keras_pydataset,
    ],
    ids=["grain-loader", "grain-map", "tf", "torch", "keras"],
)
def test_a_job_that_was_cut_goes_on_exactly(make, crash, tmp_path):
    def job(folder, at):
        source = make()
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(4)
        model, weights = _model()
        model.set_weights(weights)
        model.optimizer.iterations.assign(0)
        backup = carnyx.callbacks.BackupAndRestore(
            folder, save_freq=1, delete_checkpoint=False
        )
        losses = model.fit(
            source, epochs=3, shuffle=False, verbose=0, callbacks=[Crash(at), backup]
        ).history["loss"]
        return losses, model.get_weights()

    losses, weights = job(tmp_path / "whole", -1)
    with pytest.raises(ConnectionError):
        job(tmp_path / "cut", crash)
    again, reached = job(tmp_path / "cut", -1)
    assert again == losses
    for mine, wanted in zip(reached, weights, strict=True):
        np.testing.assert_array_equal(mine, wanted)


# ---- what does not fit


def test_columns_that_are_no_numbers_are_named():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": [1, 2], "city": ["Rome", "Bern"]})
    with pytest.raises(DataError, match=r"dtype object in the columns \['city'\]"):
        adapt(frame)


def dates_in_pandas():
    pandas = pytest.importorskip("pandas")
    days = pandas.Series(pandas.date_range("2020-01-01", periods=3))
    for column in (days, days - days[0], days.dt.tz_localize("UTC")):
        yield pandas.DataFrame({"age": [1.0, 2.0, 3.0], "born": column})


def dates_in_polars():
    polars = pytest.importorskip("polars")
    day = datetime.datetime(2020, 1, 1)
    for value in (day, day.date(), datetime.timedelta(1)):
        for ages in ([1.0, 2.0, 3.0], [1, 2, 3]):
            yield polars.DataFrame({"age": ages, "born": [value] * 3})


@pytest.mark.parametrize("frames", [dates_in_pandas, dates_in_polars])
def test_dates_beside_numbers_are_no_numbers(frames):
    # Both libraries give an array in which a day is 1.6e18, or days since 1970.
    for frame in frames():
        with pytest.raises(DataError, match=r"columns \['born'\]"):
            adapt(frame, np.ones(3))


def test_text_in_polars_is_named_by_its_column_alone():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"age": [1.0], "town": ["Bern"], "old": [True]})
    with pytest.raises(DataError, match=r"columns \['town'\]"):
        adapt(frame, np.ones(1))
    with pytest.raises(DataError, match=r"Call x\.collect\(\)"):
        adapt(frame.lazy())


def test_a_pipeline_that_says_it_never_ends_needs_steps():
    tf = pytest.importorskip("tensorflow")
    endless = tf.data.Dataset.from_tensors((X, Y)).repeat()
    with pytest.raises(DataError, match=r"never ends.*steps_per_epoch"):
        adapt(endless)
    assert adapt(endless, steps=2).length == 2
    assert adapt(endless.take(3)).length == 3


def test_a_split_of_the_hub_has_to_be_chosen():
    datasets = pytest.importorskip("datasets")
    splits = datasets.DatasetDict({"train": hub_dataset()})
    with pytest.raises(DataError, match=r"choose a split: x\['train'\]"):
        adapt(splits)


def test_rows_of_the_hub_that_differ_are_told():
    datasets = pytest.importorskip("datasets")
    ragged = datasets.Dataset.from_dict({"x": [[1, 2], [3]], "label": [0, 1]})
    with pytest.raises(DataError, match="Rows of column 'x' have different sizes"):
        list(adapt(ragged).epoch(0))


def test_a_split_of_a_torch_dataset():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    left, right = carnyx.utils.split_dataset(data, left_size=0.5)
    got = np.concatenate([y for _, y in left.batch(8)] + [y for _, y in right.batch(8)])
    assert got.tolist() == Y.tolist()


def test_audio_files(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    for name, length in (("a", 800), ("b", 400)):
        (tmp_path / name).mkdir()
        wave = np.sin(np.arange(length) * 0.1).astype("float32")
        soundfile.write(tmp_path / name / "tone.wav", wave, 8000, subtype="FLOAT")
    make = functools.partial(
        carnyx.utils.audio_dataset_from_directory,
        tmp_path,
        shuffle=False,
        verbose=False,
    )
    ((sounds, labels),) = make()
    assert sounds.shape == (2, 800, 1) and labels.tolist() == [0, 1]
    np.testing.assert_allclose(sounds[0, :, 0], np.sin(np.arange(800) * 0.1), atol=1e-6)
    assert not sounds[1, 400:].any()
    ((sounds, _),) = make(sampling_rate=4000, output_sequence_length=100)
    assert sounds.shape == (2, 100, 1)
    middle = np.sin(np.arange(30, 70) * 0.2)
    np.testing.assert_allclose(sounds[0, 30:70, 0], middle, atol=0.05)
