"""Models as folders (`zipped=False`): the files of a `.keras` archive, unpacked."""

import os

import numpy as np
import pytest

import carnyx as keras
from carnyx.errors import FileError, UnsafeModelError

X = np.random.default_rng(0).random((4, 3)).astype("float32")


def build():
    layers = keras.layers
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(X, X[:, :1], verbose=0)
    return model


def test_a_model_and_its_state_of_training(tmp_path):
    model = build()
    model.save(tmp_path / "model", zipped=False)
    assert sorted(os.listdir(tmp_path / "model")) == [
        "config.json", "metadata.json", "model.weights.h5",
    ]  # fmt: skip
    assert os.listdir(tmp_path) == ["model"]
    again = keras.saving.load_model(tmp_path / "model")
    np.testing.assert_array_equal(again(X), model(X))
    assert again.optimizer.iterations == model.optimizer.iterations
    other = build()
    other.load_weights(tmp_path / "model")
    np.testing.assert_array_equal(other(X), model(X))


def test_keras_reads_it_and_it_reads_those_of_keras(tmp_path, keras_oracle):
    model = build()
    model.save(tmp_path / "ours", zipped=False)
    theirs = keras_oracle.saving.load_model(tmp_path / "ours")
    np.testing.assert_allclose(theirs(X), model(X), rtol=1e-6)
    theirs.save(tmp_path / "theirs", zipped=False)
    again = keras.saving.load_model(tmp_path / "theirs")
    np.testing.assert_allclose(again(X), model(X), rtol=1e-6)


def test_another_model_takes_its_place_and_nothing_else_is_lost(tmp_path):
    for _ in range(2):
        model = build()
        model.save(tmp_path / "model", zipped=False)
    np.testing.assert_array_equal(
        keras.saving.load_model(tmp_path / "model")(X), model(X)
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(FileError, match="holds no model, so it is not replaced"):
        model.save(tmp_path / "mine", zipped=False)
    assert os.listdir(tmp_path / "mine") == ["thesis.txt"]
    assert sorted(os.listdir(tmp_path)) == ["mine", "model"]


def test_what_its_name_may_be(tmp_path):
    with pytest.raises(ValueError, match="should not end in .keras"):
        build().save(tmp_path / "model.keras", zipped=False)
    with pytest.raises(ValueError, match="or zipped=False for a folder"):
        build().save(tmp_path / "model")


def test_a_link_in_it_is_not_followed(tmp_path):
    build().save(tmp_path / "model", zipped=False)
    secret = tmp_path / "secret"
    secret.write_bytes((tmp_path / "model" / "model.weights.h5").read_bytes())
    (tmp_path / "model" / "model.weights.h5").unlink()
    (tmp_path / "model" / "model.weights.h5").symlink_to(secret)
    with pytest.raises(UnsafeModelError, match="'model.weights.h5' is a link"):
        keras.saving.load_model(tmp_path / "model")


def test_a_file_that_is_missing_is_named(tmp_path):
    build().save(tmp_path / "model", zipped=False)
    (tmp_path / "model" / "metadata.json").unlink()
    with pytest.raises(FileError, match="metadata.json: this file is missing"):
        keras.saving.load_model(tmp_path / "model")
