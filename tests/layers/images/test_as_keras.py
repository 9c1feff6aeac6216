"""Given the same transformation, images become what they become in Keras 3.15."""

import jax
import keras
import numpy as np
import pytest

from carnyx import layers

SIZE = (3, 11, 9, 3)
RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.uniform(0, 255, SIZE).astype("float32")
UNIT = (PIXELS / 255).astype("float32")
MASKS = RANDOM.integers(0, 5, (3, 11, 9, 1)).astype("int32")

ROWS = [
    ("RandomFlip", {"mode": "horizontal"}),
    ("RandomFlip", {"mode": "vertical"}),
    ("RandomFlip", {}),
    *[
        ("RandomRotation", {"factor": 0.4, "fill_mode": m, "interpolation": way})
        for m, way in [
            ("reflect", "bilinear"), ("wrap", "bilinear"), ("constant", "bilinear"),
            ("nearest", "bilinear"), ("constant", "nearest"),
        ]
    ],
    ("RandomZoom", {"height_factor": (-0.5, 0.5)}),
    ("RandomZoom", {"height_factor": 0.3, "width_factor": 0.4, "fill_mode": "wrap"}),
    ("RandomTranslation", {"height_factor": 0.4, "width_factor": 0.3}),
    ("RandomShear", {"x_factor": 0.5, "y_factor": 0.3, "fill_mode": "constant"}),
    ("RandomPerspective", {"scale": 0.4}),
    ("RandomBrightness", {"factor": 0.4}),
    ("RandomContrast", {"factor": (0.3, 0.5)}),
    ("RandomColorDegeneration", {"factor": (0.1, 0.8)}),
    ("RandomGrayscale", {}),
    ("RandomInvert", {}),
    ("RandomPosterization", {"factor": (2, 6)}),
    ("Solarization", {"addition_factor": 0.3, "threshold_factor": 0.6}),
    ("RandomHue", {"factor": 0.6}),
    ("RandomSaturation", {"factor": (0.1, 0.5)}),
    ("RandomSharpness", {"factor": 0.9}),
    ("RandomGaussianBlur", {"kernel_size": (3, 5)}),
    ("RandomErasing", {"fill_value": 7.0}),
    ("MixUp", {"alpha": 0.8}),
    ("CutMix", {}),
    ("RandAugment", {"num_ops": 4, "factor": 0.6}),
]  # fmt: skip
IN_BOTH_FORMATS = {
    "RandomFlip", "RandomTranslation", "RandomPerspective", "RandomContrast",
    "RandomGrayscale", "RandomHue", "RandomSharpness", "RandomErasing", "CutMix",
}  # fmt: skip
WAYS = [(False, *row) for row in ROWS]
WAYS += [(True, *row) for row in ROWS if row[0] in IN_BOTH_FORMATS]


def plain(tree):
    """For Keras: NumPy's arrays, and dicts in the order that they have."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    return np.asarray(tree) if isinstance(tree, jax.Array) else tree


def pair(name, arguments):
    ours = getattr(layers, name)(**arguments, seed=3)
    return ours, getattr(keras.layers, name)(**arguments, seed=3)


@pytest.mark.parametrize(
    "first, name, arguments", WAYS, ids=[f"{w[1]}-{i}" for i, w in enumerate(WAYS)]
)
def test_images_and_masks(first, name, arguments):
    more = {"data_format": "channels_first" if first else "channels_last"}
    ours, theirs = pair(name, arguments | more)
    x, masks = (v.transpose(0, 3, 1, 2) if first else v for v in (PIXELS, MASKS))
    # Keras's Equalization makes an image depend on those beside it.
    x, masks = (x[:1], masks[:1]) if name == "RandAugment" else (x, masks)
    how = ours.get_random_transformation(x)
    out = ours.transform_images(x, how)
    wanted = theirs.transform_images(x, plain(how))
    assert out.dtype == "float32" and out.shape == x.shape
    # Hues and homographies are divisions of small numbers; a 180° turn meets halves.
    np.testing.assert_allclose(out, wanted, rtol=1e-4, atol=5e-2)
    assert np.abs(np.asarray(out) - np.asarray(wanted)).mean() < 1e-3
    if name not in ("MixUp", "CutMix", "RandAugment"):  # see docs/differences.md
        out = ours.transform_segmentation_masks(masks, how)
        wanted = theirs.transform_segmentation_masks(masks, plain(how))
        assert np.mean(np.asarray(out) != np.asarray(wanted)) < 0.01


ALWAYS = [
    ("AutoContrast", {}),
    ("Equalization", {}),
    ("Equalization", {"bins": 40}),
    ("ContrastLimitedAdaptiveHistogramEqualization", {"tile_grid_size": (2, 3)}),
    ("ContrastLimitedAdaptiveHistogramEqualization", {"clip_limit": 1.5}),
]


@pytest.mark.parametrize("name, arguments", ALWAYS)
def test_what_is_done_always(name, arguments):
    """Image by image, in pixels of 8 bits and of the unit range."""
    for x, values in ((PIXELS, (0, 255)), (UNIT, (0, 1))):
        ours = getattr(layers, name)(**arguments, value_range=values)
        theirs = getattr(keras.layers, name)(**arguments, value_range=values)
        out = np.asarray(ours(x))
        for image, one in zip(x, out):
            wanted = np.asarray(theirs(image[None]))[0]
            assert (np.abs(one - wanted) > 2e-4 * values[1]).mean() < 0.01
        np.testing.assert_allclose(ours(x, training=False), out, rtol=1e-4, atol=1e-4)


def test_values_of_other_ranges():
    for name in ("RandomBrightness", "RandomHue", "Solarization", "RandomInvert"):
        factor = {} if name == "Solarization" else {"factor": 0.5}
        layer = getattr(layers, name)(**factor, value_range=(-1, 1), seed=1)
        out = np.asarray(layer(2 * UNIT - 1))
        assert out.min() >= -1.001 and out.max() <= 1.001, name
