"""The data sets that are downloaded: made-up files in Keras's formats, read by both."""

import gzip
import io
import json
import pickle
import tarfile

import numpy as np
import pytest

import carnyx
from carnyx.datasets import (
    _cifar,
    _splits,
    _words,
    boston_housing,
    california_housing,
    cifar10,
    cifar100,
    fashion_mnist,
    imdb,
    reuters,
)
from carnyx.datasets._pickles import read_npz

RANDOM = np.random.default_rng(0)


def lists(count, same_length=False):
    sizes = RANDOM.integers(2, 9, count)
    out = np.empty(count, object)
    out[:] = [RANDOM.integers(1, 40, 5 if same_length else n).tolist() for n in sizes]
    return out


def npz(path, **arrays):
    np.savez(path, **arrays)


def tar(path, folder, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def batch(rows, **labels):
    data = RANDOM.integers(0, 256, (rows, 3072)).astype("uint8")
    content = {b"data": data, **{k.encode(): v for k, v in labels.items()}}
    return pickle.dumps(content, protocol=3)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of files as they lie at the origins, with few rows."""
    folder = tmp_path_factory.mktemp("origin")
    table = {"x": RANDOM.random((50, 8)), "y": RANDOM.random(50)}
    npz(folder / "boston_housing.npz", **table)
    npz(folder / "california_housing.npz", **table)
    labels = RANDOM.integers(0, 2, (2, 30))
    npz(folder / "imdb.npz", x_train=lists(30), y_train=labels[0],
        x_test=lists(30), y_test=labels[1])  # fmt: skip
    npz(folder / "reuters.npz", x=lists(40), y=RANDOM.integers(0, 46, 40))
    for name in ("imdb_word_index.json", "reuters_word_index.json"):
        (folder / name).write_text(json.dumps({"the": 1, "and": 2}))
    for part, rows in (("train", 5), ("t10k", 3)):
        pixels = RANDOM.integers(0, 256, rows * 784).astype("uint8").tobytes()
        contents = {"images-idx3": bytes(16) + pixels}
        contents["labels-idx1"] = bytes(8) + bytes(range(rows))
        for kind, content in contents.items():
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    tar(folder / "cifar-10-python.tar.gz", "cifar-10-batches-py",
        {name: batch(2, labels=[1, 9]) for name in names})  # fmt: skip
    parts = {n: batch(2, fine_labels=[99, 1], coarse_labels=[19, 2]) for n in
             ("train", "test")}  # fmt: skip
    tar(folder / "cifar-100-python.tar.gz", "cifar-100-python", parts)
    return folder


@pytest.fixture
def cache(files, tmp_path, monkeypatch):
    """An empty cache; the origins are those files, unchecked."""
    from carnyx.utils.files import get_file

    def local(fname, origin, **options):
        origin = (files / origin.rsplit("/")[-1]).as_uri()
        options["file_hash"] = None
        return get_file(fname, origin, cache_dir=tmp_path, **options)

    monkeypatch.setenv("CARNYX_HOME", str(tmp_path))
    for module in (_splits, _words, imdb, reuters, fashion_mnist, cifar10, cifar100):
        monkeypatch.setattr(module, "get_file", local)
    return tmp_path


def arrays_of(split):
    return [a for part in split for a in part]


TABLES = [
    ("boston_housing", {}),
    ("boston_housing", {"test_split": 0.5, "seed": 3}),
    ("california_housing", {}),
    ("california_housing", {"version": "small", "test_split": 0}),
    ("imdb", {}),
    ("imdb", {"num_words": 20, "skip_top": 2}),
    ("imdb", {"start_char": None, "oov_char": None, "num_words": 30}),
    ("imdb", {"start_char": None, "index_from": 0, "maxlen": 5, "seed": 7}),
    ("reuters", {}),
    ("reuters", {"num_words": 20, "skip_top": 4, "oov_char": None}),
    ("reuters", {"maxlen": 6, "test_split": 0.4}),
    ("reuters", {"start_char": None, "index_from": 0, "seed": 9}),
]


@pytest.mark.parametrize("name, options", TABLES)
def test_the_same_rows_in_the_same_order_as_keras(
    name, options, cache, files, keras_oracle, monkeypatch
):
    module = getattr(keras_oracle.src.datasets, name)
    monkeypatch.setattr(module, "get_file", lambda *a, **k: str(files / f"{name}.npz"))
    ours = arrays_of(getattr(carnyx.datasets, name).load_data(**options))
    theirs = arrays_of(module.load_data(**options))
    for a, b in zip(ours, theirs, strict=True):
        assert a.tolist() == b.tolist()


def test_fashion_mnist_skips_the_headers(cache):
    (x, y), (x_test, y_test) = fashion_mnist.load_data()
    assert x.shape == (5, 28, 28) and x_test.shape == (3, 28, 28) and x.any()
    assert y.tolist() == [0, 1, 2, 3, 4] and y_test.tolist() == [0, 1, 2]


def test_cifar_has_channels_where_the_config_says(cache, monkeypatch):
    (x, y), (x_test, y_test) = cifar10.load_data()
    assert x.shape == (10, 32, 32, 3) and x_test.shape == (2, 32, 32, 3)
    assert y.shape == (10, 1) and y.dtype == y_test.dtype == x.dtype == "uint8"
    monkeypatch.setattr(_cifar.config, "image_data_format", lambda: "channels_first")
    first = cifar10.load_data()[0][0]
    np.testing.assert_array_equal(first.transpose(0, 2, 3, 1), x)


def test_cifar_100_has_two_kinds_of_label(cache):
    assert cifar100.load_data()[1][1].tolist() == [[99], [1]]
    assert cifar100.load_data("coarse")[0][1].tolist() == [[19], [2]]
    with pytest.raises(ValueError, match="'fine' or 'coarse'"):
        cifar100.load_data("medium")


def test_the_word_index_and_the_topics(cache, keras_oracle):
    assert imdb.get_word_index() == reuters.get_word_index() == {"the": 1, "and": 2}
    assert reuters.get_label_names() == keras_oracle.datasets.reuters.get_label_names()


def test_texts_of_one_length_stay_lists():
    assert _words.as_objects([[1, 2], [3, 4]]).shape == (2,)


@pytest.mark.parametrize("call, words", [
    (lambda: boston_housing.load_data(test_split=1), "test_split got 1"),
    (lambda: california_housing.load_data("huge"), "'large' or 'small'"),
    (lambda: reuters.load_data(test_split="0.2"), "test_split got '0.2'"),
    (lambda: imdb.load_data(words=3), r"got \['words'\]"),
    (lambda: imdb.load_data(maxlen=1), "no text is shorter"),
])  # fmt: skip
def test_wrong_arguments_are_refused(call, words, cache):
    with pytest.raises(ValueError, match=words):
        call()


class Evil:
    def __reduce__(self):
        return print, ("ran",)


def test_a_tampered_file_runs_nothing(tmp_path, capsys):
    rows = np.empty(1, object)
    rows[0] = Evil()
    np.savez(tmp_path / "imdb.npz", x_train=rows)
    with pytest.raises(carnyx.errors.FileError, match=r"asks for builtins\.print"):
        read_npz(tmp_path / "imdb.npz")
    assert not capsys.readouterr().out


@pytest.mark.parametrize("name", [
    "boston_housing", "california_housing", "imdb", "reuters", "cifar10", "cifar100",
    "fashion_mnist",
])  # fmt: skip
def test_files_and_hashes_are_those_of_keras(name, keras_oracle, monkeypatch):
    """So that a file that Keras has fetched is found, and a published one accepted."""
    asked = []

    def note(fname=None, origin=None, file_hash=None, cache_subdir="datasets", **_):
        asked.append((fname, origin, file_hash, cache_subdir))
        raise OSError

    ours, theirs = (
        getattr(carnyx.datasets, name),
        getattr(keras_oracle.src.datasets, name),
    )
    for module in (ours, theirs, _splits):
        if hasattr(module, "get_file"):
            monkeypatch.setattr(module, "get_file", note)
    for module in (ours, theirs):
        with pytest.raises(OSError):
            module.load_data()
    if name == "fashion_mnist":  # in another order
        asked = [{a[0].replace("images-idx3", "labels-idx1"), *a[3:]} for a in asked]
    assert asked[0] == asked[1]
