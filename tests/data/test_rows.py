"""Arrays that are read a batch at a time: mapped files, HDF5, sparse matrices."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import carnyx
from carnyx._data import adapt, rows, train_validation_split
from carnyx.errors import DataError

X = np.random.default_rng(0).normal(size=(50, 3)).astype("float32")
X[X < 0] = 0
Y = np.arange(50)
ROOT = Path(__file__).resolve().parents[2]


class Lazy:
    """As an `h5py.Dataset` or `HDF5Matrix`: reads slices, and counts them."""

    def __init__(self, array):
        self.array, self.reads = array, []
        self.shape, self.dtype = array.shape, array.dtype

    def __len__(self):
        return len(self.array)

    def __getitem__(self, key):
        assert isinstance(key, slice)
        self.reads.append((key.start, key.stop))
        return self.array[key]


def mapped(tmp_path):
    np.save(tmp_path / "x.npy", X)
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def stored(tmp_path):
    h5py = pytest.importorskip("h5py")
    return h5py.File(tmp_path / "x.h5", "w").create_dataset("x", data=X)


def sparse(tmp_path):
    return pytest.importorskip("scipy.sparse").csc_matrix(X)


def lazy(tmp_path):
    return Lazy(X)


@pytest.fixture(params=[mapped, stored, sparse, lazy], ids=lambda f: f.__name__)
def source(request, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "LARGE", 100)
    return request.param(tmp_path)


@pytest.mark.parametrize("shuffle", [False, True, "batch"])
@pytest.mark.parametrize("steps", [None, 3])
def test_batches_are_those_of_an_array(source, shuffle, steps):
    feed = adapt(source, Y, batch_size=8, shuffle=shuffle, steps=steps, seed=3)
    plain = adapt(X, Y, batch_size=8, shuffle=shuffle, steps=steps, seed=3)
    assert feed.reads and not plain.reads
    for epoch in range(2):
        for got, wanted in zip(feed.epoch(epoch), plain.epoch(epoch), strict=True):
            np.testing.assert_array_equal(got[0], wanted[0])
            np.testing.assert_array_equal(got[1], wanted[1])
    for got, wanted in zip(feed.chunk(1, 1, 2, 4)[:2], plain.chunk(1, 1, 2, 4)[:2]):
        np.testing.assert_array_equal(got, wanted)


def test_a_part_for_validation_is_not_read(source):
    (x, y), (vx, vy) = train_validation_split((source, Y), 0.2)
    assert isinstance(vx, rows.Rows) and (len(x), len(vx)) == (40, 10)
    (batch,) = adapt(vx, vy, batch_size=10).epoch(0)
    np.testing.assert_array_equal(batch[0], X[40:])


def test_fit_reads_it(source):
    model = carnyx.Sequential([carnyx.Input((3,)), carnyx.layers.Dense(1)])
    model.compile("sgd", "mse")
    start = model.get_weights()
    got = model.fit(source, Y, epochs=2, shuffle=False, verbose=0).history["loss"]
    model.set_weights(start)
    wanted = model.fit(X, Y, epochs=2, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_predict_reads_ahead_but_not_too_far():
    model = carnyx.Sequential([carnyx.Input((3,)), carnyx.layers.Dense(1)])
    batches = iter([X[i : i + 10] for i in range(0, 50, 10)])
    got = model.predict(batches, steps=3, verbose=0)
    np.testing.assert_array_equal(next(batches), X[30:40])
    np.testing.assert_allclose(got, model.predict(X, verbose=0)[:30], rtol=1e-5)


def test_single_batches_of_a_sparse_matrix(tmp_path):
    model = carnyx.Sequential([carnyx.Input((3,)), carnyx.layers.Dense(1)])
    model.compile("sgd", "mse")
    matrix = sparse(tmp_path)
    got = model.predict_on_batch(matrix)
    np.testing.assert_allclose(got, model.predict_on_batch(X), rtol=1e-6)
    assert np.isfinite(model.train_on_batch(matrix, Y))


def test_neighbours_are_read_in_one_piece_and_in_order():
    source = Lazy(X)
    list(adapt(source, batch_size=25).epoch(0))
    assert source.reads == [(0, 25), (25, 50)]
    source.reads.clear()
    read = adapt(source, batch_size=25, shuffle=True, seed=1)
    list(read.epoch(0))
    firsts = [first for first, _ in source.reads]
    cut = next(i for i in range(1, len(firsts)) if firsts[i] < firsts[i - 1])
    assert firsts[:cut] == sorted(firsts[:cut]) and len(firsts) < 50


def test_a_private_copy_of_a_mapped_file_keeps_its_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "LARGE", 100)
    np.save(tmp_path / "x.npy", X)
    source = np.load(tmp_path / "x.npy", mmap_mode="c")
    source[:] = 7
    for epoch in range(2):
        for batch in adapt(source, batch_size=8).epoch(epoch):
            assert (batch[0] == 7).all()


def test_a_single_value_is_no_data():
    with pytest.raises(DataError, match="is a single value"):
        adapt(Lazy(np.zeros(())))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_mapped_file_larger_than_memory_stays_outside(tmp_path):
    """3 GB (a sparse file), and less than 600 MB of added resident memory."""
    job = """
import sys, numpy as np, carnyx as keras
def resident():
    text = open("/proc/self/status").read()
    return int(text.split("VmHWM:")[1].split()[0]) / 1024
np.memmap(sys.argv[1], "float32", "w+", shape=(12000, 65536)).flush()
x = np.memmap(sys.argv[1], "float32", "r", shape=(12000, 65536))
y = np.zeros(12000, "float32")
model = keras.Sequential([keras.Input((65536,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.train_on_batch(x[:40], y[:40])
before = resident()
for shuffle in (False, True):
    model.fit(x, y, batch_size=40, shuffle=shuffle, steps_per_epoch=100, verbose=0)
print(resident() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", job, str(tmp_path / "x")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < 600
