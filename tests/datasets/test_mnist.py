"""MNIST from Keras's cache format, without a network."""

import hashlib

import numpy as np
import pytest

from carnyx.datasets import mnist


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and an origin that is not there."""
    monkeypatch.setenv("CARNYX_HOME", str(tmp_path))
    monkeypatch.setattr(mnist, "ORIGIN", (tmp_path / "gone" / "mnist.npz").as_uri())
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"


def put(file, monkeypatch, **arrays):
    np.savez(file, **arrays)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(mnist, "SHA256", digest)


def test_reads_the_file_that_keras_keeps_in_its_cache(cache, monkeypatch):
    x, y = np.arange(2 * 28 * 28, dtype="uint8").reshape(2, 28, 28), np.uint8([3, 7])
    arrays = dict(x_train=x, y_train=y, x_test=x[:1], y_test=y[:1])
    put(cache / "mnist.npz", monkeypatch, **arrays)
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    np.testing.assert_array_equal(x_train, x)
    np.testing.assert_array_equal(y_train, y)
    np.testing.assert_array_equal(x_test, x[:1])
    np.testing.assert_array_equal(y_test, y[:1])


def test_without_file_and_network_the_error_says_where_to_put_it(cache):
    with pytest.raises(OSError, match="put it at") as error:
        mnist.load_data()
    assert str(cache / "mnist.npz") in str(error.value)
    assert mnist.SHA256 in str(error.value)


def test_another_file_of_that_name_is_not_trusted(cache):
    np.savez(cache / "mnist.npz", x_train=np.zeros(1))
    with pytest.raises(OSError, match="could not be downloaded"):
        mnist.load_data()


def test_a_pickle_inside_the_file_is_refused(cache, monkeypatch):
    bad = np.array([{"a": 1}], dtype=object)
    put(cache / "mnist.npz", monkeypatch, x_train=bad, y_train=bad)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        mnist.load_data()


def test_the_checksum_is_the_one_that_keras_verifies(keras_oracle, monkeypatch):
    asked = {}
    module = __import__("sys").modules[keras_oracle.datasets.mnist.load_data.__module__]
    monkeypatch.setattr(module, "get_file", lambda *a, **k: asked.update(k) or "")
    with pytest.raises(OSError):
        keras_oracle.datasets.mnist.load_data()
    assert asked["file_hash"] == mnist.SHA256
    assert asked["origin"] == mnist.ORIGIN
