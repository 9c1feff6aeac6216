"""Saving and loading: what must fit, what is said when it does not, what survives."""

import io
import subprocess
import sys
import textwrap
import zipfile

import h5py
import numpy as np
import pytest

import carnyx as keras
from carnyx.errors import FileError, ShapeError, UnknownNameError

SUFFIXES = (".keras", ".weights.h5", ".h5")
X = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)
Y = np.linspace(0, 1, 8, dtype="float32").reshape(4, 2)


def small(units=2, **compile_arguments):
    layers = [
        keras.layers.Dense(5, "relu", name="a"),
        keras.layers.Dense(units, name="b"),
    ]
    model = keras.Sequential([keras.Input((3,)), *layers], name="small")
    if compile_arguments:
        model.compile(**compile_arguments)
    return model


def write(model, path):
    whole = not path.name.endswith(".weights.h5")
    (model.save if whole else model.save_weights)(path)


def read(path):
    if path.name.endswith(".weights.h5"):
        model = small()
        model.load_weights(path)
        return model
    return keras.saving.load_model(path)


def same(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# ---- going on ----------------------------------------------------------------


def test_training_goes_on_as_if_never_interrupted(tmp_path):
    layers = [keras.layers.Dense(8), keras.layers.Dropout(0.5), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile("adam", "mse", metrics=["mae"])
    for _ in range(2):
        model.train_on_batch(X, Y)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    for _ in range(2):
        model.train_on_batch(X, Y)
        again.train_on_batch(X, Y)
    same(model, again)  # to the bit: the seeds of Dropout are in the file


def test_compile_false_leaves_training_out(tmp_path):
    small(optimizer="sgd", loss="mse").save(tmp_path / "m.keras")
    model = keras.saving.load_model(tmp_path / "m.keras", compile=False)
    assert not model.compiled


def test_without_optimizer_in_h5(tmp_path):
    small(optimizer="sgd", loss="mse").save(tmp_path / "m.h5", include_optimizer=False)
    assert not keras.saving.load_model(tmp_path / "m.h5").compiled


def test_shared_layers_stay_shared(tmp_path):
    dense = keras.layers.Dense(3)
    x = keras.Input((4, 3))
    y = keras.layers.TimeDistributed(dense)(x)
    model = keras.Model(x, keras.layers.TimeDistributed(dense)(y))
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert len(again.weights) == len(model.weights) == 2
    same(model, again)


def test_weights_from_a_whole_model(tmp_path):
    model, other = small(), small()
    for name in ("m.keras", "m.h5"):
        model.save(tmp_path / name)
        other.set_weights([w * 0 for w in other.get_weights()])
        other.load_weights(tmp_path / name)
        same(model, other)


def test_a_fresh_optimizer_gets_the_state(tmp_path):
    model = small(optimizer="adam", loss="mse")
    model.train_on_batch(X, Y)
    model.save_weights(tmp_path / "m.weights.h5")
    other = small(optimizer="adam", loss="mse")
    other.load_weights(tmp_path / "m.weights.h5")
    for a, b in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    another = small(optimizer="sgd", loss="mse")
    with pytest.warns(UserWarning, match="does not fit SGD"):
        another.load_weights(tmp_path / "m.weights.h5")
    same(model, another)


# ---- names -------------------------------------------------------------------


class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def halved(y_true, y_pred):
    return 0.5 * (y_true - y_pred) ** 2


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_custom_objects(suffix, tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), Twice()])
    model.compile("sgd", halved)
    path = tmp_path / f"m{suffix}"
    model.save(path)
    with pytest.raises(UnknownNameError, match="register_keras_serializable") as caught:
        keras.saving.load_model(path)
    assert str(path) in str(caught.value) and "'Twice'" in str(caught.value)
    names = {"Twice": Twice, "halved": halved}
    again = keras.saving.load_model(path, custom_objects=names)
    assert isinstance(again.layers[-1], Twice)
    assert again.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    with keras.saving.custom_object_scope(names):
        same(model, keras.saving.load_model(path))


# ---- what does not fit -------------------------------------------------------


def damage(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def put(value, key="layers/dense/vars/0"):
    def change(file):
        if key in file:
            del file[key]
        file[key] = value

    return change


MISFITS = {
    "transposed": (put(np.zeros((5, 3), "float32")), ShapeError, r"\(3, 5\).*\(5, 3\)"),
    "complex": (put(np.zeros((3, 5), "complex64")), TypeError, "complex64"),
    "integers": (put(np.zeros((3, 5), "int32")), TypeError, "int32"),
    "extra": (put(np.zeros(3), "layers/dense_7/vars/0"), ShapeError, "dense_7"),
    "too many": (put(np.zeros(3), "layers/dense/vars/2"), ShapeError, "2 weights"),
    "elsewhere": (put(np.zeros(3), "other"), FileError, "other"),
    "missing": (lambda f: f.__delitem__("layers/dense_1"), ShapeError, "'b'"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_misfits_change_nothing(name, tmp_path):
    change, kind, message = MISFITS[name]
    path = tmp_path / "m.weights.h5"
    small().save_weights(path)
    damage(path, change)
    model, untouched = small(), small()
    untouched.set_weights(model.get_weights())
    with pytest.raises(kind, match=message) as caught:
        model.load_weights(path)
    assert str(path) in str(caught.value)
    same(model, untouched)


def test_skip_mismatch(tmp_path):
    source, target = small(units=2), small(units=4)
    for name in ("m.weights.h5", "m.h5"):
        source.save_weights(tmp_path / name)
        target.layers[0].set_weights([np.zeros((3, 5)), np.zeros(5)])
        kept = target.layers[1].get_weights()
        with pytest.warns(UserWarning, match="keeps its values"):
            target.load_weights(tmp_path / name, skip_mismatch=True)
        same(source.layers[0], target.layers[0])
        np.testing.assert_array_equal(target.layers[1].get_weights()[0], kept[0])


def test_by_name(tmp_path):
    source = small()
    source.save_weights(tmp_path / "m.h5")
    layers = [keras.layers.Dense(5, name="a"), keras.layers.Dense(5, name="new")]
    target = keras.Sequential([keras.Input((3,)), *layers])
    kept = target.layers[1].get_weights()
    target.load_weights(tmp_path / "m.h5", by_name=True)
    same(source.layers[0], target.layers[0])
    np.testing.assert_array_equal(target.layers[1].get_weights()[0], kept[0])
    source.save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match="by_name"):
        target.load_weights(tmp_path / "m.weights.h5", by_name=True)


def test_nan_is_told(tmp_path):
    model = small()
    model.layers[0].kernel.assign(np.full((3, 5), np.nan))
    model.save(tmp_path / "m.keras")
    with pytest.warns(UserWarning, match="kernel' has NaN"):
        keras.saving.load_model(tmp_path / "m.keras")


def test_not_built(tmp_path):
    model = keras.Sequential([keras.layers.Dense(2)])
    with pytest.warns(UserWarning, match="not built"):
        model.save(tmp_path / "m.keras")
    assert not keras.saving.load_model(tmp_path / "m.keras").built
    with pytest.raises(ValueError, match="not built"):
        model.save_weights(tmp_path / "m.weights.h5")
    small().save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match="not built"):
        model.load_weights(tmp_path / "m.weights.h5")


@pytest.mark.parametrize("name", ["m", "m.txt", "m.pkl", "folder/"])
def test_unknown_suffixes(name, tmp_path):
    with pytest.raises(ValueError, match=r"\.keras"):
        small().save(tmp_path / name)
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04N.")
    with pytest.raises(FileError, match="no format"):
        keras.saving.load_model(tmp_path / "m.pkl")


def test_overwrite_false(tmp_path, monkeypatch):
    small().save(tmp_path / "m.keras")
    before = (tmp_path / "m.keras").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(FileError, match="exists"):
        small().save(tmp_path / "m.keras", overwrite=False)
    assert (tmp_path / "m.keras").read_bytes() == before


# ---- damage ------------------------------------------------------------------


def test_missing_file_is_called_missing(tmp_path):
    with pytest.raises(OSError, match="not there"):
        keras.saving.load_model(tmp_path / "m.keras")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.97])
def test_truncated(suffix, part, tmp_path):
    path = tmp_path / f"m{suffix}"
    write(small(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(FileError, match="damaged") as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_changed_bytes_are_noticed_or_harmless(suffix, tmp_path):
    path = tmp_path / f"m{suffix}"
    model = small()
    write(model, path)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    noticed = 0
    for place in rng.integers(0, len(good), 60):
        data = bytearray(good)
        data[place] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        try:
            again = read(path)
        except (ValueError, OSError, TypeError):
            noticed += 1
        else:
            same(model, again)
    assert noticed > (40 if suffix == ".keras" else 0)


def test_values_have_checksums(tmp_path):
    path = tmp_path / "m.weights.h5"
    model = small()
    model.save_weights(path)
    value = model.layers[0].kernel.numpy().tobytes()
    data = path.read_bytes()
    assert data.count(value) == 1
    path.write_bytes(data.replace(value, value[:-4] + b"\0\0\0\x40"))
    with pytest.raises(FileError, match="checksum"):
        model.load_weights(path)


def test_a_broken_heap_of_strings_does_not_hang(tmp_path):
    path = tmp_path / "m.weights.h5"
    small().save_weights(path)
    data = bytearray(path.read_bytes())
    place = data.index(b"GCOL") + 64
    data[place : place + 1000] = bytes(1000)
    path.write_bytes(data)
    with pytest.raises(FileError, match="heap of strings"):
        small().load_weights(path)


# ---- crashes -----------------------------------------------------------------

KILLED = """
    import os, pathlib, random, signal, sys, time
    import numpy as np
    from carnyx.saving import api
    from carnyx.saving.description import Group, ModelDescription
    from carnyx.saving.formats import keras_v3, legacy_h5
    path, suffix = sys.argv[1:]
    write = {".keras": keras_v3.write, ".weights.h5": keras_v3.write_weights,
             ".h5": legacy_h5.write}[suffix]
    by_layer = suffix == ".h5"
    def save(number):
        groups = {"layers/a": Group("a", {"0": np.full(1 << 19, number, "float32")})}
        if by_layer:
            groups = {"a": groups["layers/a"]}
        config = {"class_name": "Sequential", "config": {}}
        write(path, ModelDescription(path, config, None, groups))
    save(0)
    random.seed(1)
    for _ in range(8):
        child = os.fork()
        if child == 0:
            for number in range(1000):
                save(number)
        time.sleep(0.05 + random.random() / 10)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with api._opened(path, weights_only=True) as description:
            groups = [g for g in description.weights.values() if g.arrays]
            values = next(iter(groups[0].arrays.values())).read()
        assert len(values) == 1 << 19 and (values == values[0]).all()
"""

FULL = """
    import resource, signal, sys
    import carnyx as keras
    from carnyx.errors import FileError
    path = sys.argv[1]
    model = keras.Sequential([keras.Input((300,)), keras.layers.Dense(1000)])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))
    for suffix in (".keras", ".weights.h5", ".h5"):
        save = model.save_weights if "weights" in suffix else model.save
        try:
            save(path + suffix)
        except FileError as error:
            assert "unchanged" in str(error) and path in str(error), error
        else:
            sys.exit("saved more than fits")
"""


def run(program, *arguments):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_killed_save_leaves_a_whole_file(suffix, tmp_path):
    run(KILLED, str(tmp_path / f"m{suffix}"), suffix)


def test_a_full_disk_leaves_the_old_file(tmp_path):
    model = small()
    for suffix in SUFFIXES:
        write(model, tmp_path / f"m{suffix}")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    run(FULL, str(tmp_path / "m"))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_an_error_while_saving_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.keras"
    model = small()
    model.save(path)
    before = path.read_bytes()

    def fail(*_):
        raise RuntimeError("half way")

    monkeypatch.setattr(type(model.layers[1]), "save_own_variables", fail)
    with pytest.raises(RuntimeError):
        model.save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_links_and_permissions_are_kept(tmp_path):
    model, target, link = small(), tmp_path / "m.keras", tmp_path / "link.keras"
    model.save(target)
    target.chmod(0o640)
    link.symlink_to(target)
    model.save(link)
    assert link.is_symlink() and target.stat().st_mode & 0o777 == 0o640


def test_the_archive_is_plain(tmp_path):
    small().save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        names = ["metadata.json", "config.json", "model.weights.h5"]
        assert archive.namelist() == names
        assert archive.testzip() is None
