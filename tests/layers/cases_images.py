"""Rows of layers on images: in prediction most do nothing, what they do in training is
tested in `tests/layers/images`."""

from dataclasses import replace

from tests.layers.cases import Case

IMAGE, FIRST = (None, 8, 7, 3), {"data_format": "channels_first"}
PLANES = (None, 3, 8, 7)
PIXELS = {"low": 0.0, "high": 255.0}
OF_FACTOR = ({"factor": "a"}, "factor='a'; expected a number, or two, from")
FILL = ({"fill_mode": "mirror"}, "expected one of 'reflect', 'wrap'")
WAY = ({"interpolation": "bicubic"}, "expected one of 'nearest', 'bilinear'")
RANGE = ({"value_range": 1}, "expected two numbers, the range of pixels")


def sized(name, arguments, *wrong, shape=IMAGE):
    """Rows of a layer that gives images another size: both formats, one image."""
    planes = (shape[0], shape[3], *shape[1:3])
    return [
        Case(name, arguments, shape, **PIXELS, wrong=wrong),
        Case(name, arguments | FIRST, planes, **PIXELS),
    ]


ROWS = [
    Case("Rescaling", {"scale": 0.5, "offset": -1.0}, (None, None, 4), masks=True),
    Case(
        "Rescaling",
        {"scale": [0.5, 1.0, 2.0]},
        IMAGE,
        wrong=(({"scale": "a"}, "expected a number, or one for each channel"),),
    ),
    *sized(
        "Resizing",
        {"height": 5, "width": 9},
        ({"height": 0}, "height=0; expected an integer above 0"),
        ({"interpolation": "area"}, "'bilinear', 'nearest', 'bicubic'"),
        ({"crop_to_aspect_ratio": 1, "pad_to_aspect_ratio": 1}, "one of them at most"),
    ),
    Case("Resizing", {"height": 4, "width": 4, "crop_to_aspect_ratio": True}, IMAGE),
    Case(
        "Resizing",
        {"height": 4, "width": 6, "pad_to_aspect_ratio": True, "fill_value": 3.0},
        IMAGE,
    ),
    Case(
        "Resizing",
        {"height": 4, "width": 6, "interpolation": "bicubic", "antialias": True},
        IMAGE,
    ),
    Case("Resizing", {"height": 4, "width": 6, "interpolation": "nearest"}, (8, 7, 3)),
    *sized(
        "CenterCrop",
        {"height": 5, "width": 4},
        ({"width": 1.5}, "width=1.5; expected an integer above 0"),
    ),
    Case("CenterCrop", {"height": 5, "width": 9}, IMAGE),
    Case("RandomCrop", {"height": 8, "width": 7, "seed": 1}, IMAGE),
    Case(
        "MaxNumBoundingBoxes",
        {"max_number": 3},
        IMAGE,
        config_only_ours=("fill_value",),
    ),
    Case(
        "RandomFlip",
        {"mode": "vertical", "seed": 1},
        IMAGE,
        wrong=(({"mode": "left"}, "expected one of 'horizontal', 'vertical'"),),
    ),
    Case("RandomRotation", {"factor": 0.2}, IMAGE, wrong=(OF_FACTOR, FILL, WAY)),
    Case("RandomRotation", {"factor": (-0.1, 0.3), "fill_mode": "wrap"}, IMAGE),
    Case(
        "RandomZoom",
        {"height_factor": 0.2, "width_factor": (-0.1, 0.3)},
        IMAGE,
        wrong=(
            ({"height_factor": -1}, "two, above -1.0, at most 1.0"),
            FILL,
            WAY,
        ),
    ),
    Case(
        "RandomTranslation",
        {"height_factor": 0.2, "width_factor": 0.3} | FIRST,
        PLANES,
        wrong=(({"width_factor": 2}, "two, from -1.0 to 1.0"), FILL, WAY),
    ),
    Case(
        "RandomShear",
        {"x_factor": (0.0, 0.2), "y_factor": (0.1, 0.3)},
        IMAGE,
        wrong=(({"y_factor": (-0.1, 0.2)}, "two, from 0 to 1"), FILL, WAY),
    ),
    Case(
        "RandomPerspective",
        {"factor": 0.5},
        IMAGE,
        wrong=(({"scale": 2.0}, "from 0 to 1"), WAY),
    ),
    Case("RandomElasticTransform", {"fill_mode": "mirror"}, IMAGE, wrong=(WAY, RANGE)),
    Case("RandomBrightness", {"factor": 0.2}, IMAGE, wrong=(OF_FACTOR, RANGE)),
    Case("RandomContrast", {"factor": (0.1, 0.2)}, IMAGE, wrong=(OF_FACTOR, RANGE)),
    Case("RandomColorDegeneration", {"factor": (0.1, 0.2)}, IMAGE, wrong=(OF_FACTOR,)),
    Case("RandomColorJitter", {"brightness_factor": 0.2, "hue_factor": 0.1}, IMAGE),
    Case("RandomErasing", {}, IMAGE, wrong=(({"fill_value": "a"}, "None for noise"),)),
    Case("RandomErasing", {"fill_value": (1, 2, 3), "scale": (0.1, 0.2)}, IMAGE),
    Case(
        "RandomGaussianBlur",
        {"kernel_size": (3, 5)},
        IMAGE,
        wrong=(({"kernel_size": 4}, "an odd integer, or two"),),
    ),
    Case(
        "RandomGrayscale",
        {"factor": 0.2},
        IMAGE,
        wrong=(({"factor": 1.5}, "from 0 to 1"),),
        config_only_ours=("seed",),
    ),
    Case("RandomHue", {"factor": 0.2}, IMAGE, wrong=(OF_FACTOR, RANGE)),
    Case("RandomInvert", {"factor": 0.2}, IMAGE, wrong=(OF_FACTOR, RANGE)),
    Case("RandomPosterization", {"factor": (3, 4)}, IMAGE, wrong=(OF_FACTOR, RANGE)),
    Case("RandomSaturation", {"factor": (0.1, 0.9)}, IMAGE, wrong=(OF_FACTOR, RANGE)),
    Case("RandomSharpness", {"factor": 0.3}, IMAGE, wrong=(OF_FACTOR, RANGE)),
    Case(
        "Solarization",
        {"threshold_factor": 0.5},
        IMAGE,
        wrong=(({"addition_factor": 2}, "two, from 0 to 1"), RANGE),
    ),
    Case("AugMix", {"alpha": 0.5}, IMAGE, wrong=(({"num_chains": 0}, "above 0"),)),
    Case(
        "RandAugment", {"num_ops": 3}, IMAGE, wrong=(({"num_ops": -1}, "at least 0"),)
    ),
    Case("AutoContrast", {}, IMAGE, **PIXELS, gradients=False, wrong=(RANGE,)),
    Case("AutoContrast", {"value_range": (-1, 1)}, IMAGE, gradients=False),
    Case(
        "Equalization",
        {"bins": 64},
        (1, 8, 7, 3),
        **PIXELS,
        gradients=False,
        always=True,
        wrong=(({"bins": 0}, "above 0"),),
    ),
    Case(
        "ContrastLimitedAdaptiveHistogramEqualization",
        {"tile_grid_size": (3, 2), "clip_limit": 2.0},
        IMAGE,
        **PIXELS,
        gradients=False,
        tolerance=1e-4,
        wrong=(({"tile_grid_size": 8}, "two integers above 0"),),
    ),
    Case("MixUp", {"alpha": 0.3}, IMAGE, wrong=(({"alpha": 0.0}, "above 0"),)),
    Case("CutMix", {}, IMAGE, wrong=(({"factor": 3}, "from 0 to 1"),)),
]

# Keras draws random numbers in prediction, and leaves them.
CASES = [replace(row, draws=True) for row in ROWS]
