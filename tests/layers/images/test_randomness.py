"""What is drawn: its ranges, its seeds, and that prediction draws nothing."""

import numpy as np
import pytest

import carnyx as keras
from carnyx import layers

X = np.random.default_rng(0).uniform(0, 255, (400, 2, 3, 3)).astype("float32")

# layer, arguments, where the numbers are in the transformation, their range
DRAWS = [
    ("RandomBrightness", {"factor": 0.2}, "rgb_delta", (-51, 51)),
    ("RandomContrast", {"factor": 0.2}, "contrast_factor", (0.8, 1.2)),
    ("RandomContrast", {"factor": (0, 0.2)}, "contrast_factor", (1, 1.2)),
    ("RandomColorDegeneration", {"factor": 0.4}, "factor", (0, 0.4)),
    ("RandomHue", {"factor": 0.4}, "factor", (-0.2, 0.2)),
    ("RandomSaturation", {"factor": 0.5}, "factor", (0, 1)),
    ("RandomSharpness", {"factor": (0.2, 0.6)}, "factor", (0.2, 0.6)),
    ("RandomPosterization", {"factor": (2, 5)}, "shift_factor", (3, 6)),
    ("RandomPosterization", {"factor": 3}, "shift_factor", (5, 5)),
    ("Solarization", {"addition_factor": (0.2, 0.4)}, "additions", (51, 102)),
    ("RandomRotation", {"factor": (-0.1, 0.2)}, "angle", (-36, 72)),
    ("RandomZoom", {"height_factor": 0.3}, "height_zoom", (0.7, 1.3)),
    ("RandomTranslation", {"height_factor": 0, "width_factor": 1}, "translations",
     (-3, 3)),
    ("RandomShear", {"x_factor": 0.2, "y_factor": 0.2}, "shear_factor", (-0.2, 0.2)),
]  # fmt: skip


@pytest.mark.parametrize(
    "name, arguments, key, ends",
    DRAWS,
    ids=[r[0] for r in DRAWS],
)
def test_ranges(name, arguments, key, ends):
    """Uniform: all within, the ends nearly met, the mean in the middle."""
    layer = getattr(layers, name)(**arguments, seed=1)
    drawn = np.asarray(layer.get_random_transformation(X)[key], "float64")
    low, high = ends
    assert drawn.min() >= low - 1e-5 and drawn.max() <= high + 1e-5
    assert drawn.min() <= low + 0.1 * (high - low)
    assert drawn.max() >= high - 0.1 * (high - low)


@pytest.mark.parametrize(
    "name, key",
    [
        ("RandomInvert", "apply_inversion"),
        ("RandomErasing", "apply_erasing"),
        ("RandomPerspective", "apply_perspective"),
        ("RandomGaussianBlur", "should_apply_blur"),
        ("RandomElasticTransform", "apply_transform"),
    ],
)
def test_probabilities(name, key):
    layer = getattr(layers, name)(factor=(0.3, 0.3), seed=1)
    chosen = np.asarray(layer.get_random_transformation(X)[key])
    assert chosen.shape == (400,) and 0.2 < chosen.mean() < 0.4


def test_mixtures():
    how = layers.MixUp(0.3, seed=1).get_random_transformation(X)
    weight = np.asarray(how["mix_weight"])
    assert 0.4 < weight.mean() < 0.6
    assert abs(weight.var() - 1 / (4 * (2 * 0.3 + 1))) < 0.03  # of Beta(a, a)
    assert sorted(np.asarray(how["permutation_order"])) == list(range(400))
    labels = np.eye(400)
    mixed = np.asarray(layers.MixUp(0.3, seed=1).transform_labels(labels, how))
    np.testing.assert_allclose(mixed.sum(1), 1, rtol=1e-5)


SEEDED = [
    ("RandomFlip", {}), ("RandomCrop", {"height": 5, "width": 5}),
    ("RandomRotation", {"factor": 0.2}), ("RandomElasticTransform", {}),
    ("RandomColorJitter", {"brightness_factor": 0.3, "saturation_factor": 0.8}),
    ("RandomErasing", {}), ("CutMix", {}), ("AugMix", {}), ("RandAugment", {}),
]  # fmt: skip


@pytest.mark.parametrize("name, arguments", SEEDED)
def test_seeds(name, arguments):
    """The same from the same seed, alone and in a program; others the next time; in
    prediction nothing but sizes."""
    x = np.random.default_rng(2).uniform(0, 255, (4, 8, 9, 3)).astype("float32")
    one, two = (getattr(layers, name)(**arguments, seed=5) for _ in range(2))
    first = np.asarray(one(x))
    state = [v.value for v in two.non_trainable_variables]
    same, state = two.stateless_call([], state, x, training=True)
    np.testing.assert_allclose(same, first, atol=2e-3)
    assert np.abs(np.asarray(one(x)) - first).max() > 1
    assert np.isfinite(first).all()
    kept = np.asarray(one(x, training=False))
    if name != "RandomCrop":
        np.testing.assert_array_equal(kept, x)
    assert kept.shape == first.shape


def test_integers_and_single_images():
    x = np.random.default_rng(3).integers(0, 256, (2, 6, 6, 3)).astype("uint8")
    for name, arguments in [*SEEDED, ("AutoContrast", {}), ("Equalization", {})]:
        arguments = arguments if name == "RandomCrop" else arguments
        layer = getattr(layers, name)(**arguments)
        out, one = layer(x), layer(x[0])
        assert out.dtype == one.dtype == "float32"
        assert out.shape[1:] == one.shape
    assert layers.Resizing(3, 3)(x).dtype == "uint8"


def test_erasing_and_cutting():
    x = np.full((4, 20, 20, 3), 100.0, "float32")
    out = np.asarray(
        layers.RandomErasing((1.0, 1.0), (0.25, 0.25), fill_value=7.0, seed=1)(x)
    )
    share = (out == 7).mean((1, 2, 3))
    np.testing.assert_allclose(share, 0.25, atol=0.06)
    y = np.arange(4)[:, None, None, None] * np.ones((4, 20, 20, 1))
    both = layers.CutMix(seed=3)(
        {"images": y, "labels": np.eye(4), "segmentation_masks": y}
    )
    images, labels = np.asarray(both["images"]), np.asarray(both["labels"])
    np.testing.assert_array_equal(images, both["segmentation_masks"])
    kept = (images == y).mean((1, 2, 3))
    np.testing.assert_allclose(np.diag(labels), kept, atol=0.11)


def test_places_are_not_rounded_to_the_compute_dtype():
    """Of 200 columns, bfloat16 tells apart every second only."""
    x = np.linspace(0, 1, 200, dtype="float32")[None, None, :, None]
    for name, arguments in [
        ("RandomRotation", {"factor": (0.003, 0.003)}),
        ("RandomTranslation", {"height_factor": 0, "width_factor": (0.201, 0.201)}),
    ]:
        exact, coarse = (
            getattr(layers, name)(**arguments, fill_mode="nearest", dtype=dtype)(x)
            for dtype in ("float32", "mixed_bfloat16")
        )
        assert coarse.dtype == "bfloat16"
        np.testing.assert_allclose(coarse.astype("float32"), exact, atol=4e-3)


def test_a_call_is_compiled_once_and_again_for_other_attributes():
    layer = layers.RandomBrightness((0.1, 0.1), seed=1)
    x = np.zeros((1, 2, 2, 3), "float32")
    assert float(layer(x).max()) == pytest.approx(25.5)
    layer(x)
    (form,) = layer.__dict__["_compiled"]._variants.all
    traces = form.run._cache_size()
    layer(x)
    assert form.run._cache_size() == traces <= 2
    layer.factor = (0.2, 0.2)
    assert float(layer(x).max()) == pytest.approx(51)


def test_layers_written_for_keras():
    """By its protected names, with plain __init__, and as Keras calls them."""

    class Dim(layers.BaseImagePreprocessingLayer):
        _FACTOR_BOUNDS = (0, 1)

        def __init__(self, factor, seed=None, **kwargs):
            super().__init__(factor=factor, **kwargs)
            self.seed = seed
            self.generator = keras.random.SeedGenerator(seed)

        def get_random_transformation(self, data, training=True, seed=None):
            seed = seed or self._get_seed_generator(self.backend._backend)
            images = data["images"] if isinstance(data, dict) else data
            size = self.backend.shape(images)[0] if self._is_batched(images) else 1
            return self.backend.random.uniform((size, 1, 1, 1), *self.factor, seed=seed)

        def transform_images(self, images, transformation, training=True):
            images = self.backend.cast(images, self.compute_dtype)
            return self.backend.numpy.multiply(images, transformation)

        def transform_labels(self, labels, transformation, training=True):
            return labels

        def get_config(self):
            return {**super().get_config(), "factor": self.factor, "seed": self.seed}

    layer = Dim(0.5, seed=1)
    assert layer.factor == (0, 0.5)
    out = layer({"images": X, "labels": np.ones(400)})
    assert 0 < float(out["images"].max()) < 128
    assert layer(X[0]).shape == X[0].shape
    again = Dim.from_config(layer.get_config())
    np.testing.assert_array_equal(again(X), Dim(0.5, seed=1)(X))
    with pytest.raises(ValueError, match="factor=2; expected a number, or two"):
        Dim(2)
    with pytest.raises(ValueError, match="factor=0.5; it takes none"):
        layers.RandomFlip(factor=0.5)


def test_a_pipeline():
    chain = layers.Pipeline(
        [layers.RandomFlip(seed=1), layers.RandomContrast(0.2, seed=2),
         layers.Rescaling(1 / 255)]
    )  # fmt: skip
    parts = layers.Pipeline.from_config(chain.get_config()).layers
    out, x = np.asarray(chain(X[:4])), X[:4]
    for layer in parts:
        x = layer(x)
    np.testing.assert_allclose(out, x, atol=1e-5)
    assert [type(v).__name__ for v in chain.layers] == [type(v).__name__ for v in parts]
    np.testing.assert_allclose(chain(X[:4], training=False), X[:4] / 255, rtol=1e-6)
    model = keras.Sequential([keras.Input((2, 3, 3)), chain, layers.Flatten()])
    assert model.output_shape == (None, 18)
    for wrong in (3, [3]):
        with pytest.raises(ValueError, match="Pipeline got"):
            layers.Pipeline(wrong)


def test_augmentation_in_training_resumes_exactly(tmp_path):
    """Four epochs, and two and two from a file: the same weights."""

    def model():
        keras.utils.set_random_seed(1)
        net = keras.Sequential(
            [
                keras.Input((2, 3, 3)),
                layers.RandomFlip(seed=1),
                layers.RandomBrightness(0.3, seed=2),
                layers.Rescaling(1 / 255),
                layers.Flatten(),
                layers.Dense(1),
            ]
        )
        net.compile("sgd", "mse")
        return net

    x, y = X[:16], np.ones((16, 1))
    how = {"batch_size": 8, "verbose": 0, "shuffle": False}
    whole, half = model(), model()
    whole.fit(x, y, epochs=4, **how)
    half.fit(x, y, epochs=2, **how)
    half.save(tmp_path / "half.keras")
    again = keras.models.load_model(tmp_path / "half.keras")
    again.fit(x, y, epochs=2, **how)
    for a, b in zip(whole.get_weights(), again.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
