"""Files that attack their reader are refused before anything happens."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import carnyx as keras
from carnyx.errors import OutOfMemoryError, UnknownNameError, UnsafeModelError
from tests.saving import attacks

REFUSED_AS_UNKNOWN = {"6-import"}  # it may be the user's own, not registered yet
DAMAGED = {"26-nul"}  # the archive's own library finds it broken first


@pytest.fixture(autouse=True)
def registered():
    """A class of the user's that attacks try to reach by a second name."""

    class Registered(keras.layers.Layer):
        def __init__(self, **kwargs):
            pytest.fail("a file chose which class to make")

    with keras.saving.custom_object_scope({"Custom>Registered": Registered}):
        yield


def build(name, folder):
    suffix, make = attacks.ATTACKS[name]
    path = folder / f"model{suffix}"
    make(path)
    return path


def load(path):
    if path.name.endswith(".weights.h5"):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        before = model.get_weights()
        try:
            model.load_weights(path)
        finally:
            for old, new in zip(before, model.get_weights(), strict=True):
                np.testing.assert_array_equal(old, new)
    else:
        keras.saving.load_model(path)


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_refused(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    path = build(name, tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    kind = UnknownNameError if name in REFUSED_AS_UNKNOWN else UnsafeModelError
    if name.startswith("36"):  # sizes: what the machine has not
        kind = (UnsafeModelError, OutOfMemoryError)
    with pytest.raises(kind if name not in DAMAGED else ValueError) as caught:
        load(path)
    assert str(path) in str(caught.value)  # which file
    assert len(str(caught.value)) > len(str(path)) + 40  # what, and how to go on
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert not list(tmp_path.parent.glob("ESC"))


def test_the_builders_build_what_loads_when_harmless(tmp_path):
    attacks.archive(tmp_path / "good.keras")
    attacks.legacy(tmp_path / "good.h5", attacks.sequential(attacks.DENSE))
    (tmp_path / "good.weights.h5").write_bytes(attacks.weights())
    model = keras.saving.load_model(tmp_path / "good.keras")
    assert keras.saving.load_model(tmp_path / "good.h5").count_params() == 8
    kernel = np.arange(6).reshape(3, 2)
    np.testing.assert_array_equal(model.get_weights()[0], kernel)
    model.set_weights([w * 0 + 7 for w in model.get_weights()])
    model.load_weights(tmp_path / "good.weights.h5")
    np.testing.assert_array_equal(model.get_weights()[0], kernel)


def test_bombs_take_little_memory(tmp_path):
    rows = ("29-", "30-", "31-", "32-", "34-")
    names = [n for n in attacks.ATTACKS if n.startswith(rows)]
    paths = []
    for name in names:
        folder = tmp_path / name
        folder.mkdir()
        paths.append(build(name, folder))
    program = """
        import json, os, resource, sys
        import h5py, jax
        from carnyx.errors import UnsafeModelError
        from carnyx.saving.api import _opened
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        for path in json.loads(sys.argv[1]):
            before = peak()
            try:
                with _opened(path): pass
                sys.exit(path + " was opened")
            except UnsafeModelError:
                grown, allowed = peak() - before, 2 * os.path.getsize(path) + (64 << 20)
                if grown > allowed: sys.exit(f"{path}: {grown} > {allowed}")
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(
        [*command, json.dumps([str(p) for p in paths])], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "entry",
    [
        lambda r: keras.models.model_from_json(json.dumps(r)),
        lambda r: keras.Sequential.from_config(r["config"]),
        lambda r: keras.saving.deserialize_keras_object(r),
        lambda r: keras.layers.deserialize(r["config"]["layers"][-1]),
    ],
    ids=["json", "from_config", "object", "layer"],
)
def test_stored_code_is_refused_at_every_entry(entry, tmp_path):
    record = attacks.sequential(attacks.DENSE, attacks.stored_lambda(tmp_path))
    with pytest.raises(UnsafeModelError, match="custom_objects"):
        entry(record)
    assert not (tmp_path / "MARK").exists()


def test_no_flag_turns_it_off(tmp_path):
    attacks.archive(tmp_path / "m.keras")
    with pytest.raises(UnsafeModelError, match="custom_objects"):
        keras.saving.load_model(tmp_path / "m.keras", safe_mode=False)


def test_a_lambda_is_what_the_caller_passes(tmp_path):
    path = tmp_path / "m.keras"
    record = attacks.stored_lambda(tmp_path)
    attacks.archive(path, attacks.sequential(attacks.DENSE, record))
    given = {"lambda": lambda x: x * 3}
    model = keras.saving.load_model(path, custom_objects=given)
    plain = keras.Model(model.inputs, model.layers[0].output)
    x = np.ones((1, 3), "float32")
    np.testing.assert_allclose(model(x), 3 * np.asarray(plain(x)))
    assert not (tmp_path / "MARK").exists()


def test_strings_stay_strings():
    @keras.saving.register_keras_serializable("t")
    def relu_like(x):
        pytest.fail("a string became a function")

    with keras.saving.custom_object_scope({"dense": relu_like}):
        values = {"a": ["dense", {"b": "t>relu_like"}]}
        assert keras.saving.deserialize_keras_object(values) == values


def test_a_layer_name_is_no_path(tmp_path):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    path = inside / "m.keras"
    attacks.archive(path, attacks.sequential(attacks.dense(name="../../ESC")))
    try:
        model = keras.saving.load_model(path)
        model.save(inside / "again.h5")
        model.save(inside / "again.keras")
    except ValueError:
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]
    assert not list(tmp_path.rglob("ESC"))
