"""`carnyx.ops.image` against Keras 3.15 on JAX."""

import jax.numpy as jnp
import keras
import numpy as np
import pytest

import carnyx.ops.image as ours
from carnyx._core.symbol import KerasTensor
from tests.ops.parity import check, check_symbolic, same

rng = np.random.default_rng(0)
IMG = rng.uniform(size=(2, 8, 10, 3)).astype("float32")
ONE, FIRST = IMG[0].copy(), np.ascontiguousarray(IMG.transpose(0, 3, 1, 2))
BYTES = rng.integers(0, 256, (2, 5, 6, 3)).astype("uint8")
VOL = rng.uniform(size=(2, 4, 5, 6, 2)).astype("float32")
GREY = np.concatenate([IMG[..., :1]] * 3, -1)
AT = rng.uniform(-1, 9, (3, 4, 5)).astype("float32")
MOVE = np.array([1.1, 0.2, -1, -0.3, 0.9, 1.5, 0, 0], "float32")
MOVES = np.stack([MOVE, [1, 0, 2, 0, 1, -1, 0, 0]]).astype("float32")
START = np.array([[0, 0], [9, 0], [0, 7], [9, 7]], "float32")
END = START + np.array([[1, 2], [-1, 1], [0.5, -1], [-2, 0]], "float32")
M = jnp.asarray(MOVES)  # without a gradient: Keras reads its last two otherwise
FILLS = "constant nearest wrap mirror reflect".split()
CF = dict(data_format="channels_first")

ROWS = [
    *[(f, (IMG,), {}) for f in ("rgb_to_grayscale", "rgb_to_hsv", "hsv_to_rgb")],
    *[(f, (FIRST,), CF) for f in ("rgb_to_grayscale", "rgb_to_hsv", "hsv_to_rgb")],
    *[("rgb_to_grayscale", (x,), {}) for x in (BYTES, ONE, IMG[..., :1].copy())],
    ("rgb_to_hsv", (GREY,), {}),
    *[
        ("resize", (IMG, size), dict(interpolation=how, antialias=anti))
        for size, anti, hows in (
            ((5, 7), False, "bilinear nearest lanczos3"),
            ((12, 13), True, "bilinear lanczos5 bicubic"),
        )
        for how in hows.split()
    ],
    ("resize", (ONE, (6, 4)), dict(antialias=True)),
    ("resize", (FIRST, (6, 4)), CF),
    *[
        ("resize", (x, size), {key: True, "fill_value": 0.5, **how})
        for key in ("crop_to_aspect_ratio", "pad_to_aspect_ratio")
        for x, size, how in ((IMG, (4, 12), {}), (FIRST, (12, 4), CF), (ONE, (12, 4), {}))  # noqa: E501
    ],
    *[("resize", (BYTES, (9, 4), how), {}) for how in ("nearest", "bicubic")],
    *[("affine_transform", (IMG, M, "bilinear", fill), {}) for fill in FILLS],
    ("affine_transform", (IMG, M, "nearest", "reflect"), {}),
    ("affine_transform", (ONE, jnp.asarray(MOVE)), dict(fill_value=0.5)),
    ("affine_transform", (FIRST, M), CF),
    ("perspective_transform", (IMG, np.stack([START] * 2), np.stack([END, START])), {}),
    ("perspective_transform", (ONE, START, END), dict(interpolation="nearest")),
    ("perspective_transform", (FIRST[:1], START[None], END[None]), CF),
    *[
        ("map_coordinates", (VOL[0, ..., 0].copy(), AT, order), dict(fill_mode=f))
        for order in (0, 1)
        for f in FILLS
    ],
    ("scale_and_translate", (IMG, (2, 9, 7, 3), np.array([1.3, 0.5], "float32"),
                             np.array([0.5, -1], "float32"), (1, 2), "linear"), {}),
    ("extract_patches", (IMG, 3), {}),
    ("extract_patches", (IMG, (2, 3)), dict(strides=(1, 2), padding="same")),
    ("extract_patches", (ONE, 2), dict(strides=1, dilation_rate=2)),
    ("extract_patches", (FIRST, (3, 2)), CF),
    ("extract_patches", (VOL, (2, 2, 3)), {}),
    ("extract_patches_3d", (VOL, 2), {}),
    ("extract_patches_3d", (VOL[0].copy(), (2, 3, 1)), dict(strides=1)),
    ("pad_images", (IMG, 1, 2, 3, 4), {}),
    ("pad_images", (IMG, 1, 2), dict(target_height=20, target_width=30)),
    ("pad_images", (FIRST, None, 0, 2, 3, 11), CF),
    ("crop_images", (IMG, 1, 2, 3, 4), {}),
    ("crop_images", (ONE, 1, 2), dict(target_height=5, target_width=6)),
    ("crop_images", (FIRST, None, 0, 2, 3, 5), CF),
    ("gaussian_blur", (IMG, (3, 5), (0.7, 1.5), "channels_last"), {}),
    ("gaussian_blur", (ONE,), dict(data_format="channels_last")),
    ("gaussian_blur", (FIRST,), CF),
    ("sobel_edges", (IMG,), {}),
    ("sobel_edges", (FIRST,), CF),
    ("ssim", (IMG, IMG * 0.9), dict(filter_size=5)),
    ("ssim", (ONE * 255, ONE * 250), dict(filter_size=7, max_val=255.0)),
    ("ssim", (FIRST, FIRST**2), dict(filter_size=5, **CF)),
]  # fmt: skip
NO_GRADIENT = {"rgb_to_hsv"}  # kinks between the sixths


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_values_dtypes_and_gradients_are_those_of_keras(row):
    name, args, kwargs = row
    theirs = getattr(keras.ops.image, name)
    gradient = name not in NO_GRADIENT
    explicit = {**kwargs}
    if name in ("gaussian_blur", "sobel_edges") and len(args) < 4:
        explicit.setdefault("data_format", "channels_last")
    check(getattr(ours, name), theirs, args, explicit, 1e-4, gradient)


SYMBOLIC = {
    (row[0], str(row[2])): row
    for row in ROWS
    if row[1][0].ndim == 4 and row[1][0].dtype == "float32"
    # Keras infers otherwise than it computes, or the batch must be that of a transform.
    if row[0]
    not in ("affine_transform", "perspective_transform", "scale_and_translate", "ssim")
}


@pytest.mark.parametrize("row", SYMBOLIC.values(), ids=lambda row: row[0])
def test_static_shapes_of_an_unknown_batch_are_those_of_keras(row):
    name, args, kwargs = row
    check_symbolic(getattr(ours, name), getattr(keras.ops.image, name), args, kwargs)


def test_an_affine_transform_may_be_projective():
    # As documented; Keras on JAX multiplies c0 and c1 by the channel instead.
    p = np.array([1, 0, 0, 0, 1, 0, 0.05, 0], "float32")
    out = ours.affine_transform(ONE, p, "nearest")
    x = np.round(9 / (1 + 0.05 * 9)).astype(int)
    np.testing.assert_array_equal(out[0, 9], ONE[0, x])


def test_one_transform_serves_a_batch():
    same(ours.affine_transform(IMG, MOVE), ours.affine_transform(IMG, [MOVE, MOVE]))
    x = KerasTensor((None, 8, 10, 3))
    assert ours.affine_transform(x, MOVE).shape == x.shape
    assert ours.perspective_transform(x, START, END).shape == x.shape


def test_elastic_transform_moves_pixels_a_little_the_same_for_a_seed():
    ramp = np.tile(np.arange(32, dtype="float32")[:, None, None], (2, 1, 32, 3))
    out = ours.elastic_transform(ramp, alpha=20.0, sigma=3.0, seed=3)
    same(out, ours.elastic_transform(ramp, alpha=20.0, sigma=3.0, seed=3))
    moved = np.abs(out - ramp)
    assert out.shape == ramp.shape and 0.1 < moved[:, 8:-8].mean() < 10
    np.testing.assert_allclose(out[..., 0], out[..., 2])  # channels move together
    assert not np.allclose(out[0], out[1])  # images do not
    still = ours.elastic_transform(ramp, alpha=0.0, seed=3, fill_mode="nearest")
    np.testing.assert_allclose(still, ramp, atol=1e-5)
    first = ours.elastic_transform(ramp.transpose(0, 3, 1, 2), 20.0, 3.0, seed=3, **CF)
    np.testing.assert_allclose(first, out.transpose(0, 3, 1, 2), atol=1e-4)


def test_equal_images_are_alike():
    np.testing.assert_allclose(ours.ssim(IMG, IMG, filter_size=5), 1, rtol=1e-5)


ERRORS = [
    ("expected rank 3", "resize", (IMG[0, 0], (2, 2)), {}),
    ("expected 1 or 3", "rgb_to_grayscale", (VOL[0],), {}),
    ("expected floats", "rgb_to_hsv", (BYTES,), {}),
    ("expected one of", "resize", (IMG, (2, 2), "cubical"), {}),
    ("not both", "resize", (IMG, (2, 2)), dict(crop_to_aspect_ratio=True, pad_to_aspect_ratio=True)),  # noqa: E501
    ("at least 1, or 2 of them", "resize", (IMG, (2,)), {}),
    ("expected \\(8,\\)", "affine_transform", (IMG, MOVE[:6]), {}),
    ("expected both", "perspective_transform", (IMG, START, END[:3]), {}),
    ("exactly two", "pad_images", (IMG, 1), {}),
    ("to be negative", "crop_images", (IMG, 5, 0, 5, 0), {}),
    ("one row for each axis", "map_coordinates", (IMG, AT, 1), {}),
    ("order got 2", "map_coordinates", (VOL[0, ..., 0], AT, 2), {}),
    ("expected one", "ssim", (IMG, ONE), {}),
]  # fmt: skip


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: row[1])
def test_errors_say_what_they_got_and_what_is_expected(row):
    text, name, args, kwargs = row
    with pytest.raises(ValueError, match=text):
        getattr(ours, name)(*args, **kwargs)
