"""Names in the places where Keras had them before, and what only stands there."""

import numpy as np
import pytest

import carnyx as keras

SAME = {
    "preprocessing.image": "array_to_img img_to_array load_img save_img",
    "preprocessing.sequence": "pad_sequences",
    "preprocessing": """image_dataset_from_directory text_dataset_from_directory
        timeseries_dataset_from_array""",
}


def find(path):
    found = keras
    for name in path.split("."):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize("module", SAME)
def test_helpers_are_those_of_utils(module):
    for name in SAME[module].split():
        assert getattr(find(module), name) is getattr(keras.utils, name)


@pytest.mark.parametrize("name", "Adagrad Adam Ftrl Optimizer RMSprop SGD".split())
def test_older_optimizers_are_those_of_today(name):
    assert getattr(keras.optimizers.legacy, name) is getattr(keras.optimizers, name)


@pytest.mark.parametrize("shape, size", [
    ((34, 50, 3), (20, 20)), ((2, 50, 34, 1), (10, 30)), ((7, 9, 3), (21, 9)),
])  # fmt: skip
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic"])
def test_smart_resize_is_that_of_keras(shape, size, interpolation, keras_oracle):
    x = np.random.default_rng(0).random(shape).astype("float32")
    theirs = keras_oracle.preprocessing.image.smart_resize(x, size, interpolation)
    ours = keras.preprocessing.image.smart_resize(x, size, interpolation)
    assert isinstance(ours, np.ndarray)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    first = keras.preprocessing.image.smart_resize(
        np.moveaxis(x, -1, -3), size, interpolation, data_format="channels_first"
    )
    np.testing.assert_allclose(np.moveaxis(first, -3, -1), ours, atol=1e-6)
