"""The 40 architectures: layers, weights and outputs are those of Keras 3.15.

Keras's are recorded by `tools/write_application_layers.py`.
"""

from __future__ import annotations

import gzip
import importlib
import inspect
import json
import pickle

import h5py
import jax
import numpy as np
import pytest

import carnyx as keras
from tools.write_application_layers import SMALL, TARGET, outputs, recorded

applications = keras.applications
KERAS = json.loads(gzip.decompress(TARGET.read_bytes()))
NAMES = sorted(KERAS["layers"])


@pytest.mark.parametrize("name", NAMES)
def test_layers_and_weights_have_the_names_order_and_shapes_of_keras(name):
    keras.utils.clear_session()
    with keras.abstract():  # 3 GB of weights need no values for that
        model = getattr(applications, name)(weights=None)
    assert recorded(model) == KERAS["layers"][name]


def computed(model):
    """The model as a function of images, compiled with as little effort as can be."""
    values = [
        [v.value for v in vs]
        for vs in (model.trainable_variables, model.non_trainable_variables)
    ]
    forward = jax.jit(lambda values, x: model.stateless_call(*values, x)[0])

    def predict(images):
        quick = {"xla_backend_optimization_level": 0}
        return forward.lower(values, images).compile(quick)(values, images)

    return predict


@pytest.mark.parametrize("name", sorted(SMALL))
def test_outputs_of_one_of_each_family_are_those_of_keras(name):
    with keras.abstract():
        model = getattr(applications, name)(**SMALL[name])
    keras.materialize(model)
    expected = np.array(KERAS["outputs"][name])
    given = np.array(outputs(model, lambda x: computed(model)(x)))
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(given, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_those_of_keras(name, keras_oracle):
    ours, theirs = getattr(applications, name), getattr(keras_oracle.applications, name)

    def arguments(function):
        return [
            (p.name, p.default) for p in inspect.signature(function).parameters.values()
        ]

    assert arguments(ours) == arguments(theirs)
    assert ours.__name__ == ours.__qualname__ == name
    assert ours.__doc__ and "References: " in ours.__doc__
    assert pickle.loads(pickle.dumps(ours)) is ours


def test_submodules_have_the_names_of_keras(keras_oracle):
    for module, theirs in vars(keras_oracle.applications).items():
        if inspect.ismodule(theirs):
            public = {n for n in vars(theirs) if not n.startswith("_")}
            assert public <= set(vars(getattr(applications, module))), module


# ---- what all have


def test_pooling_in_place_of_the_top():
    shape = (32, 32, 3)
    with keras.abstract():
        model = applications.MobileNet(shape, 0.25, include_top=False, weights=None)
        means = applications.MobileNet(
            shape, 0.25, include_top=False, weights=None, pooling="avg"
        )
        open_sized = applications.ResNet50(False, None, pooling="max")
    assert model.output_shape == (None, 1, 1, 256) and model.name == "mobilenet_0.25_32"
    assert means.output_shape == (None, 256)
    assert open_sized.input_shape == (None, None, None, 3)
    assert open_sized.output_shape == (None, 2048)


def test_an_input_tensor_is_the_image():
    image = keras.Input((40, 40, 4))
    hidden = keras.layers.Conv2D(3, 2, name="before")(image)
    with keras.abstract():
        model = applications.MobileNetV2(
            alpha=0.35, include_top=False, weights=None, input_tensor=hidden
        )
    assert model.inputs[0] is image
    assert model.layers[1].name == "before"


def test_channels_first_has_the_same_weights():
    keras.config.set_image_data_format("channels_first")
    try:
        with keras.abstract():
            model = applications.MobileNetV2((3, 64, 32), 0.35, weights=None)
            assert model.get_layer("block_1_pad").output.shape[2:] == (33, 17)
            with pytest.raises(ValueError, match="is for channels last"):
                applications.DenseNet121(weights=None)
    finally:
        keras.config.set_image_data_format("channels_last")
    with keras.abstract():
        other = applications.MobileNetV2((64, 32, 3), 0.35, weights=None)
    shapes = [[w.shape for w in m.weights] for m in (model, other)]
    assert shapes[0] == shapes[1] and model.input_shape == (None, 3, 64, 32)


def test_nasnet_of_unknown_size_has_the_weights_of_a_known_one():
    with keras.abstract():
        known = applications.NASNetMobile((33, 33, 3), False, None)
        open_sized = applications.NASNetMobile((None, None, 3), False, None)
    shapes = [[w.shape for w in m.weights] for m in (known, open_sized)]
    assert shapes[0] == shapes[1]


def test_convolutions_begin_with_other_numbers_each():
    model = applications.MobileNet((32, 32, 3), 0.25, weights=None, classes=2)
    first, second = (model.get_layer(f"conv_pw_{i}").kernel.numpy() for i in (8, 9))
    assert first.shape == second.shape and not np.allclose(first, second)


def test_a_file_is_loaded_and_a_model_is_saved(tmp_path):
    def make(weights):
        return applications.MobileNet(
            (32, 32, 3), 0.25, weights=weights, classes=3, name="small"
        )

    model = make(None)
    path = tmp_path / "small.weights.h5"
    model.save_weights(path)
    x = np.random.RandomState(0).rand(2, 32, 32, 3)
    again = make(path)
    model.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    for other in (again, loaded):
        np.testing.assert_allclose(model.predict(x), other.predict(x), rtol=1e-6)


def test_a_file_of_published_weights_is_loaded(tmp_path, keras_oracle):
    """Their layout: layers at the root, as Keras 2 wrote weights alone."""
    options = SMALL["MobileNet"]
    theirs = keras_oracle.applications.MobileNet(**options)
    expected = outputs(theirs, theirs.predict)
    layout = importlib.import_module("keras.src.legacy.saving.legacy_h5_format")
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        layout.save_weights_to_hdf5_group(file, theirs)
    ours = applications.MobileNet(**options | {"weights": tmp_path / "weights.h5"})
    given = [w.numpy() for w in ours.weights]
    assert all(map(np.array_equal, given, theirs.get_weights()))
    assert np.allclose(expected, KERAS["outputs"]["MobileNet"], atol=1e-3)


def test_layers_that_keras_keeps_beside_a_network_go_through_files(keras_oracle):
    source = keras_oracle.src.applications
    for module, cls, arguments in (
        ("inception_resnet_v2", "CustomScaleLayer", {"scale": 0.3}),
        ("convnext", "LayerScale", {"init_values": 0.5, "projection_dim": 4}),
    ):
        ours = getattr(getattr(applications, module), cls)(name="x", **arguments)
        theirs = getattr(getattr(source, module), cls)(name="x", **arguments)
        record = keras_oracle.saving.serialize_keras_object(theirs)
        assert keras.saving.serialize_keras_object(ours)["module"] == record["module"]
        for reader, written in (
            (keras, record),
            (keras_oracle, keras.saving.serialize_keras_object(ours)),
        ):
            read = reader.saving.deserialize_keras_object(written)
            assert {k: getattr(read, k) for k in arguments} == arguments
    record |= {"class_name": "ConvNeXtTiny", "registered_name": "ConvNeXtTiny"}
    with pytest.raises(keras.errors.UnsafeModelError):
        keras.saving.deserialize_keras_object(record)


WRONG = [
    ({"weights": "imagnet"}, "weights got 'imagnet'.*Did you mean 'imagenet'"),
    ({"weights": "no/such/file.h5"}, "the path of a file that exists"),
    (
        {"classes": 3},
        "classes got 3; the classifier of the weights 'imagenet' has 1000",
    ),
    ({"classifier_activation": "relu"}, "classifier_activation got 'relu'.*'softmax'"),
    ({"pooling": "mean", "weights": None}, "pooling got 'mean'; expected 'avg', 'max'"),
    ({"input_shape": (32, 32, 3)}, r"weights 'imagenet' are for \(224, 224, 3\)"),
    ({"input_shape": (31, 31, 3), "weights": None}, "width of at least 32"),
    ({"input_shape": (32, 32), "weights": None}, "expected three numbers"),
    ({"input_shape": (None, 32, 3), "weights": None}, "have to be known"),
    ({"input_shape": (64, 64, 1), "include_top": False}, "are for 3 channels"),
]


@pytest.mark.parametrize("arguments, message", WRONG)
def test_what_cannot_be_is_refused_before_any_layer_is_made(arguments, message):
    with pytest.raises(ValueError, match=message):
        applications.ResNet50(**arguments)


def test_an_input_tensor_that_is_none_is_refused():
    with pytest.raises(
        TypeError, match="input_tensor got ndarray; expected a symbolic"
    ):
        applications.ResNet50(weights=None, input_tensor=np.ones((1, 32, 32, 3)))
    with pytest.raises(ValueError, match="Leave input_shape out"):
        applications.ResNet50(
            weights=None,
            input_tensor=keras.Input((64, 64, 3)),
            input_shape=(32, 32, 3),
        )


def test_the_first_layers_scale_the_image_where_they_are_asked_to():
    """By each channel's mean and deviation of ImageNet, or to -1 … 1."""
    x = np.linspace(0, 255, 2 * 32 * 32 * 3).reshape(2, 32, 32, 3).astype("float32")
    deviation = 255 * np.array([0.229, 0.224, 0.225])
    by_channel = (x - 255 * np.array([0.485, 0.456, 0.406])) / deviation
    for name, expected, last in (
        ("ConvNeXtTiny", by_channel, "convnext_tiny_prestem_normalization"),
        ("EfficientNetV2B0", by_channel, "normalization"),
        ("EfficientNetV2S", x / 128 - 1, "rescaling"),
        ("MobileNetV3Small", x / 127.5 - 1, "rescaling"),
    ):
        keras.utils.clear_session()
        options = {"weights": None, "include_top": False, "input_shape": (32, 32, 3)}
        with keras.abstract():
            make = getattr(applications, name)
            model = make(**options)
            bare = make(**options, include_preprocessing=False)
        scaled = keras.Model(model.input, model.get_layer(last).output)
        np.testing.assert_allclose(scaled(x), expected, rtol=1e-4, atol=1e-4)
        assert last not in [layer.name for layer in bare.layers]


def test_published_weights_of_mobilenets_are_for_some_widths_and_sizes():
    with pytest.raises(ValueError, match="alpha got 0.4; the weights 'imagenet' are"):
        applications.MobileNetV2(alpha=0.4)
    with pytest.raises(ValueError, match="alpha and depth_multiplier got 1.0 and 2"):
        applications.MobileNet(depth_multiplier=2)
    with pytest.raises(ValueError, match="alpha and minimalistic got 0.75 and True"):
        applications.MobileNetV3Small(alpha=0.75, minimalistic=True)
    with pytest.raises(ValueError, match="have to be known"):
        applications.NASNetLarge((None, None, 3))
    with pytest.warns(UserWarning, match="4 channels"), keras.abstract():
        applications.VGG16(False, None, input_shape=(32, 32, 4))
