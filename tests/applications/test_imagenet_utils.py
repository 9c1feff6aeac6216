"""Scaling of images and names of classes, against Keras 3.15."""

from __future__ import annotations

import gzip
import json
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import carnyx as keras
from carnyx.applications import _building, imagenet_utils
from tools.write_application_layers import TARGET, calls, download, stop

KERAS = json.loads(gzip.decompress(TARGET.read_bytes()))
applications = keras.applications
MODES = ("caffe", "tf", "torch")
IMAGES = np.random.RandomState(0).uniform(0, 255, (2, 5, 4, 3)).astype("float32")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("kind", ["float", "integer", "tensor", "one", "symbol"])
def test_images_are_scaled_as_in_keras(mode, data_format, kind, keras_oracle):
    x = IMAGES if data_format == "channels_last" else np.moveaxis(IMAGES, -1, 1)
    x = x.astype("uint8") if kind == "integer" else x
    x = x[0] if kind == "one" else x
    theirs = keras_oracle.applications.imagenet_utils.preprocess_input
    expected = theirs(x.astype("float32"), data_format, mode)
    ours = imagenet_utils.preprocess_input
    if kind == "symbol":
        image = keras.Input(x.shape[1:])
        given = keras.Model(image, ours(image, data_format, mode)).predict(x, verbose=0)
    else:
        given = ours(
            jnp.asarray(x) if kind == "tensor" else x.copy(), data_format, mode
        )
    assert str(given.dtype) == "float32"
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_an_array_of_floats_is_written_over_and_no_other(mode):
    for x, written in ((IMAGES.copy(), True), (IMAGES.astype("uint8"), False)):
        before = x.copy()
        y = imagenet_utils.preprocess_input(x, mode=mode)
        assert np.shares_memory(x, y) == written
        assert np.array_equal(x, before) != written
    fixed = IMAGES.copy()
    fixed.flags.writeable = False
    assert not np.shares_memory(
        imagenet_utils.preprocess_input(fixed, mode=mode), fixed
    )


def test_bytes_on_the_device_do_not_wrap_around():
    x = np.array([[[10, 20, 30]]], "uint8")
    given = imagenet_utils.preprocess_input(jnp.asarray(x))
    np.testing.assert_allclose(given[0, 0], [-73.939, -96.779, -113.68], rtol=1e-5)


def test_each_family_scales_as_keras_does(keras_oracle):
    for module in vars(keras_oracle.applications):
        theirs = getattr(
            getattr(keras_oracle.applications, module), "preprocess_input", 0
        )
        ours = getattr(getattr(applications, module, None), "preprocess_input", None)
        if theirs and ours:
            given, expected = ours(IMAGES.copy()), theirs(IMAGES.copy())
            np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)
            with pytest.raises(ValueError, match="data_format got 'last'"):
                ours(IMAGES.copy(), "last")


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="mode='tensorflow'; expected 'caffe', 'tf'"):
        imagenet_utils.preprocess_input(IMAGES, mode="tensorflow")


# ---- downloads


@pytest.fixture
def index(tmp_path, monkeypatch):
    """The names of classes, as if they had been downloaded."""
    names = {str(i): [f"n{i:08}", f"thing_{i}"] for i in range(1000)}
    (tmp_path / "names.json").write_text(json.dumps(names))
    monkeypatch.setattr(
        imagenet_utils, "get_file", lambda *_, **__: str(tmp_path / "names.json")
    )
    imagenet_utils.class_names.cache_clear()
    yield
    imagenet_utils.class_names.cache_clear()


@pytest.mark.usefixtures("index")
def test_predictions_are_decoded_likeliest_first():
    scores = np.zeros((2, 1000), "float32")
    scores[0, [7, 3]] = 0.6, 0.4
    scores[1, 999] = 1
    first, second = applications.resnet.decode_predictions(scores, top=2)
    assert [row[:2] for row in first] == [
        ("n00000007", "thing_7"),
        ("n00000003", "thing_3"),
    ]
    assert first[0][2] == np.float32(0.6)
    assert second[0] == ("n00000999", "thing_999", 1.0) and len(second) == 2
    assert len(applications.vgg16.decode_predictions(jnp.asarray(scores))[0]) == 5


def test_predictions_of_other_classes_are_refused():
    with pytest.raises(ValueError, match=r"got predictions of shape \(2, 10\)"):
        imagenet_utils.decode_predictions(np.ones((2, 10)))


def test_without_a_network_the_error_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setenv("CARNYX_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    imagenet_utils.class_names.cache_clear()
    place = "imagenet_class_index.json .*on another machine and put it at"
    with pytest.raises(OSError, match=place):
        imagenet_utils.decode_predictions(np.ones((1, 1000)))
    with pytest.raises(ValueError, match="vgg16_weights.*notop.h5 .md5 6d6bbae1"):
        applications.VGG16(include_top=False, input_shape=(32, 32, 3))


def test_published_weights_are_those_of_keras(monkeypatch):
    monkeypatch.setattr(_building, "get_file", stop)
    wanted = calls(sorted(KERAS["layers"]))
    assert len(wanted) == len(KERAS["downloads"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the weights are for another size
        for (name, arguments), expected in zip(wanted, KERAS["downloads"]):
            given = download(getattr(applications, name), arguments)
            assert given == expected, name
