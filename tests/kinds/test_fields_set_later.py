"""Kind: a field that is set after its layer was made.

Why it happened: what a constructor made of its arguments (pairs of sizes, keys of its
own) was not made again. A layer whose field is set later works as one that was made
with that value.
"""

import numpy as np
import pytest

import carnyx as keras

L = keras.layers
IMAGE = np.arange(192.0, dtype="float32").reshape(1, 8, 8, 3)
STEPS = IMAGE.reshape(1, 64, 3)
ROWS = [
    (L.Conv2D, {"filters": 2, "kernel_size": 3}, "strides", 2, IMAGE),
    (L.Conv2D, {"filters": 2, "kernel_size": 3}, "dilation_rate", 2, IMAGE),
    (L.Conv2D, {"filters": 2, "kernel_size": 3}, "padding", "same", IMAGE),
    (L.Conv1D, {"filters": 2, "kernel_size": 3}, "strides", 2, STEPS),
    (L.MaxPooling2D, {"strides": 2}, "pool_size", 4, IMAGE),
    (L.MaxPooling2D, {}, "strides", 1, IMAGE),
    (L.AveragePooling1D, {"strides": 2}, "pool_size", 4, STEPS),
    (L.ZeroPadding1D, {}, "padding", 2, STEPS),
    (L.ZeroPadding2D, {}, "padding", 2, IMAGE),
    (L.Cropping1D, {}, "cropping", 2, STEPS),
    (L.Cropping2D, {"cropping": 1}, "cropping", ((1, 0), 2), IMAGE),
    (L.UpSampling2D, {}, "size", 3, IMAGE),
    (L.Dense, {"units": 2}, "activation", "relu", STEPS),
    (L.LeakyReLU, {}, "negative_slope", 0.5, IMAGE - 90),
]


@pytest.mark.parametrize(
    ("cls", "arguments", "name", "value", "x"),
    ROWS,
    ids=[f"{row[0].__name__}.{row[2]}" for row in ROWS],
)
def test_it_works_as_given_to_the_constructor(cls, arguments, name, value, x):
    layer = cls(**arguments)
    layer(x)
    setattr(layer, name, value)
    made = cls(**arguments | {name: value})
    made.build(x.shape)
    made.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(x), made(x))


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (L.Dropout, "rate"),
        (L.SpatialDropout1D, "rate"),
        (L.AlphaDropout, "rate"),
        (L.GaussianDropout, "rate"),
        (L.GaussianNoise, "stddev"),
    ],
)
def test_noise_that_was_none_is_some(cls, name):
    layer = cls(0.0)
    model = keras.Sequential([keras.Input((64, 3)), layer])
    assert np.array_equal(model(STEPS, training=True), STEPS)
    setattr(layer, name, 0.5)
    first, second = (model(STEPS + 1, training=True) for _ in range(2))
    assert not np.array_equal(first, STEPS + 1) and not np.array_equal(first, second)
