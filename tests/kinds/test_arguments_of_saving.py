"""What `save`, `load_weights` and the like are given is checked, and said by name.

Why it happened: a target that is no path failed deep inside with Python's own words,
and arguments of older ages, or of Keras's functions but not of ours, were a TypeError.
"""

import io

import numpy as np
import pytest

import carnyx as keras
from carnyx.errors import ArgumentError


def small(bias=0.0):
    layers = [keras.layers.Dense(2, name="a"), keras.layers.Dense(2, name="b")]
    inner = keras.Sequential([keras.Input((2,)), *layers], name="inner")
    model = keras.Sequential([keras.Input((2,)), inner, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.set_weights([np.full_like(w, bias) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("given", [None, 3, io.BytesIO(), b"m.keras", ["m.keras"]])
@pytest.mark.parametrize(
    "use",
    [
        lambda given: small().save(given),
        lambda given: small().save_weights(given),
        lambda given: small().load_weights(given),
        keras.saving.load_model,
    ],
    ids=["save", "save_weights", "load_weights", "load_model"],
)
def test_what_is_no_path(use, given):
    with pytest.raises(ArgumentError, match="expected a path"):
        use(given)


@pytest.mark.parametrize(
    "use",
    [
        lambda path: small().save(path / "m.keras", foo=1),
        lambda path: small().save_weights(path / "m.weights.h5", foo=1),
        lambda path: small().load_weights(path / "m.weights.h5", foo=1),
        lambda path: small().save(path / "m.keras", save_format="tf"),
        lambda path: small().save(path / "m", save_format="h5"),
        lambda path: small().save(path / "m", save_format="keras"),
    ],
)
def test_unknown_arguments_are_a_value_error(use, tmp_path):
    with pytest.raises(ValueError, match="foo|save_format"):
        use(tmp_path)


@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_save_format_is_deprecated(name, tmp_path):
    with pytest.warns(DeprecationWarning, match="save_format"):
        small().save(tmp_path / "new" / name, save_format=name[2:])
    assert keras.saving.load_model(tmp_path / "new" / name).count_params() == 15


def test_objects_to_skip_keep_what_they_have(tmp_path):
    path = tmp_path / "m.weights.h5"
    small(1.0).save_weights(path)
    for skip in ("inner", "a"):
        model = small(5.0)
        inner = model.get_layer("inner")
        left = inner if skip == "inner" else inner.get_layer("a")
        model.load_weights(path, objects_to_skip=[left])
        kept = {id(w) for w in left.weights}
        for weight in model.weights:
            assert np.unique(weight) == (5.0 if id(weight) in kept else 1.0)
    source = small(2.0)
    part = tmp_path / "part.weights.h5"
    keras.saving.save_weights(source, part, objects_to_skip=[source.layers[0]])
    with pytest.raises(ValueError, match="the file has 0"):
        small().load_weights(part)
    target = small(5.0)
    target.load_weights(part, objects_to_skip=[target.layers[0]])
    assert [np.unique(w)[0] for w in target.weights] == [5.0] * 4 + [2.0] * 2
    source.save_weights(tmp_path / "old.h5")
    with pytest.raises(ValueError, match="objects_to_skip"):
        target.load_weights(tmp_path / "old.h5", objects_to_skip=[target.layers[0]])


@pytest.mark.parametrize("name", ["x.keras", "x.h5", "x.weights.h5"])
def test_a_missing_file_is_what_python_calls_it(name, tmp_path):
    read = keras.models.load_model
    if "weights" in name:
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        read = model.load_weights
    for kind in (FileNotFoundError, ValueError):
        with pytest.raises(kind, match="is not there"):
            read(tmp_path / name)
