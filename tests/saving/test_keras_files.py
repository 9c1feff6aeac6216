"""Files that Keras 3.15 wrote open here, and ours there; training goes on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import carnyx
from tests.saving.builders import BUILDERS, inputs_for, train

CLOSE = {"rtol": 1e-5, "atol": 1e-6}
TRAINED = {"rtol": 1e-3, "atol": 1e-4}
OWN = ("subclassed", "own_layer")  # classes that must be registered in the reader
# Keras cannot read its own HDF5 files of recorded ops; embeddings' masks are such.
IN_H5 = [n for n in BUILDERS if n not in ("subclassed", "recorded_ops", "recurrent")]
WAYS = ["keras to carnyx", "carnyx to keras", "carnyx to carnyx"]
TRAINS = ("sequential", "functional")  # the others fill their state


@dataclass
class Record:
    """What one library saved, and what it did before and after."""

    folder: Path
    x: np.ndarray
    outputs: np.ndarray
    weights: list[np.ndarray]
    state: list[np.ndarray]
    after: list[np.ndarray] | None
    json: str


def weights_of(model):
    return [np.asarray(v.value) for v in model.weights]


def state_of(model):
    optimizer = model.optimizer if model.compiled else None
    return [np.asarray(v.value) for v in getattr(optimizer, "variables", [])]


def record(library, name, folder):
    library.utils.clear_session()
    library.utils.set_random_seed(3)
    model, x = BUILDERS[name][0](library), inputs_for(name)
    for layer in model.layers:
        if layer.__class__.__name__ == "BatchNormalization":
            layer.moving_mean.assign(np.full(layer.moving_mean.shape, 0.3))
    if name in TRAINS:
        train(model, x)
    elif model.compiled:
        model.optimizer.build(model.trainable_variables)
        for i, variable in enumerate(model.optimizer.variables):
            variable.assign(np.full(variable.shape, 2 * i + 1))
    model.save(folder / "m.keras")
    model.save_weights(folder / "m.weights.h5")
    if name in IN_H5:
        model.save(folder / "m.h5")
    saved = Record(
        folder,
        x,
        np.asarray(model(x)),
        weights_of(model),
        state_of(model),
        None,
        model.to_json(),
    )
    if name in TRAINS:
        train(model, x)
        saved.after = weights_of(model)
    return saved


@pytest.fixture(scope="module")
def libraries(keras_oracle):
    return {"keras": keras_oracle, "carnyx": carnyx}


@pytest.fixture(scope="module")
def records(libraries, tmp_path_factory):
    made: dict[Any, Record] = {}

    def get(library, name):
        if (library, name) not in made:
            folder = tmp_path_factory.mktemp(f"{library}-{name}")
            made[library, name] = record(libraries[library], name, folder)
        return made[library, name]

    return get


def check(model, saved, trains, state_too=True):
    np.testing.assert_allclose(np.asarray(model(saved.x)), saved.outputs, **CLOSE)
    for a, b in zip(saved.weights, weights_of(model), strict=True):
        np.testing.assert_array_equal(a, b)
    if not state_too:
        return
    state = state_of(model)
    assert len(state) == len(saved.state) != 1
    for a, b in zip(saved.state, state, strict=True):
        np.testing.assert_array_equal(a, b)
    if trains and saved.after is not None:
        train(model, saved.x)
        for a, b in zip(saved.after, weights_of(model), strict=True):
            np.testing.assert_allclose(a, b, **TRAINED)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BUILDERS)
def test_keras_archive(name, way, libraries, records):
    writer, reader = way.split(" to ")
    saved = records(writer, name)
    if name in OWN:
        BUILDERS[name][0](libraries[reader])
    model = libraries[reader].saving.load_model(saved.folder / "m.keras")
    check(model, saved, trains=True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BUILDERS)
def test_weights_file(name, way, libraries, records):
    writer, reader = way.split(" to ")
    saved = records(writer, name)
    libraries[reader].utils.clear_session()
    model = BUILDERS[name][0](libraries[reader])
    if reader == "keras" and model.compiled:
        model.optimizer.build(model.trainable_variables)
    model.load_weights(saved.folder / "m.weights.h5")
    check(model, saved, trains=False)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", IN_H5)
def test_legacy_file(name, way, libraries, records):
    writer, reader = way.split(" to ")
    saved = records(writer, name)
    if name in OWN:
        BUILDERS[name][0](libraries[reader])
    model = libraries[reader].saving.load_model(saved.folder / "m.h5")
    # Keras leaves the optimizer fresh, in its own HDF5 files too
    check(model, saved, trains=False, state_too=reader == "carnyx")


@pytest.mark.parametrize("name", IN_H5)
def test_legacy_weights_open_in_keras(name, libraries, records, tmp_path):
    saved = records("carnyx", name)
    model = carnyx.saving.load_model(saved.folder / "m.keras")
    model.save_weights(tmp_path / "m.h5")
    other = BUILDERS[name][0](libraries["keras"])
    other.load_weights(tmp_path / "m.h5")
    np.testing.assert_allclose(np.asarray(other(saved.x)), saved.outputs, **CLOSE)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["sequential", "functional", "nested", "recurrent"])
def test_json(name, way, libraries, records):
    writer, reader = way.split(" to ")
    saved = records(writer, name)
    model = libraries[reader].models.model_from_json(saved.json)
    shapes = [array.shape for array in saved.weights]
    assert [tuple(v.shape) for v in model.weights] == shapes
    again = json.loads(model.to_json())
    assert again["config"]["name"] == json.loads(saved.json)["config"]["name"]


@pytest.mark.parametrize("name", BUILDERS)
def test_places_of_weights_are_those_of_keras(name, records):
    def places(library):
        found = {}
        with h5py.File(records(library, name).folder / "m.weights.h5") as file:
            file.visititems(
                lambda n, o: found.update({n: o.shape} if hasattr(o, "shape") else {})
            )  # Keras does not save the states of seed generators
        return {n: s for n, s in found.items() if "seed_generator" not in n}

    assert places("carnyx") == places("keras")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
def test_half_precision(policy, way, libraries, tmp_path):
    writer, reader = (libraries[name] for name in way.split(" to "))
    for library in libraries.values():
        library.config.set_dtype_policy(policy)
    try:
        layers = [writer.Input((4,)), writer.layers.Dense(3)]
        model = writer.Sequential(layers)
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        for i, variable in enumerate(model.optimizer.variables):
            variable.assign(np.full(variable.shape, i))
        model.save(tmp_path / "m.keras")
        again = reader.saving.load_model(tmp_path / "m.keras")
        values = [*weights_of(model), *state_of(model)]
        for a, b in zip(values, [*weights_of(again), *state_of(again)], strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    finally:
        for library in libraries.values():
            library.config.set_dtype_policy("float32")
