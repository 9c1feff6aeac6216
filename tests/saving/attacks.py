"""Harmless copies of the known attacks on model files (numbers: the attack table).

Each entry builds one file in a folder. If the file got its way, `MARK` would be there,
or the content of `secret` would be among the weights.
"""

import base64
import io
import json
import marshal
import struct
import zipfile

import h5py
import numpy as np

DENSE = {
    "module": "keras.layers",
    "class_name": "Dense",
    "config": {"name": "dense", "units": 2},
    "registered_name": None,
    "build_config": {"input_shape": [None, 3]},
}
INPUT = {
    "module": "keras.layers",
    "class_name": "InputLayer",
    "config": {"batch_shape": [None, 3], "name": "input_layer"},
    "registered_name": None,
}
ATTACKS = {}


def attack(row, name, suffix=".keras"):
    def add(build):
        ATTACKS[f"{row}-{name}"] = suffix, build
        return build

    return add


def sequential(*layers):
    config = {"name": "sequential", "layers": [INPUT, *layers]}
    return {"module": "keras", "class_name": "Sequential", "config": config}


def dense(**config):
    return DENSE | {"config": DENSE["config"] | config}


def function(module, name):
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": name,
    }


def weights(fill=None):
    """The bytes of a good weights file, changed by `fill(file)`."""
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        group = file.create_group("layers/dense/vars")
        group["0"] = np.arange(6, dtype="float32").reshape(3, 2)
        group["1"] = np.zeros(2, "float32")
        file.create_group("vars")
        if fill:
            fill(file)
    return image.getvalue()


def archive(path, config=None, h5=None, edit=None, raw=None):
    """A `.keras` file; `edit(zip)` adds to it, `raw` is config.json as text."""
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("metadata.json", '{"keras_version": "3.15.0"}')
        z.writestr("config.json", raw or json.dumps(config or sequential(DENSE)))
        z.writestr("model.weights.h5", h5 or weights())
        if edit:
            edit(z)


def legacy(path, config, fill=None):
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([b"dense"])
        layer = group.create_group("dense")
        layer.attrs["weight_names"] = np.array([b"dense/kernel", b"dense/bias"])
        layer["dense/kernel"] = np.zeros((3, 2), "float32")
        layer["dense/bias"] = np.zeros(2, "float32")
        if fill:
            fill(file)


# ---- code in the config ------------------------------------------------------


def bytecode(folder):
    source = f"lambda x: open({str(folder / 'MARK')!r}, 'w') and x"
    code = marshal.dumps(eval(source).__code__)
    return base64.b64encode(code).decode()


def stored_lambda(folder):
    value = {"code": bytecode(folder), "defaults": None, "closure": None}
    fn = {"class_name": "__lambda__", "config": value}
    return {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"name": "lambda", "function": fn},
        "registered_name": None,
    }


@attack(1, "lambda")
def _(path):
    archive(path, sequential(DENSE, stored_lambda(path.parent)))


@attack(2, "lambda-h5", ".h5")
def _(path):
    code = [bytecode(path.parent), None, None]
    config = {"name": "lambda", "function": code, "function_type": "lambda"}
    layer = {"class_name": "Lambda", "config": config}
    legacy(path, sequential(DENSE, layer))


@attack(2, "lambda-h5-new-record", ".h5")
def _(path):
    legacy(path, sequential(DENSE, stored_lambda(path.parent)))


for _module, _name in (
    ("os", "system"),
    ("posix", "system"),
    ("builtins", "eval"),
    ("subprocess", "run"),
    ("keras.utils", "get_file"),
    ("keras.utils", "plot_model"),
    ("keras.saving", "load_model"),
    ("keras.config", "enable_unsafe_deserialization"),
    ("keras.datasets.mnist", "load_data"),
    ("keras.applications", "VGG16"),
    ("carnyx.utils.files", "get_file"),
):
    row = 7 if _module.startswith(("keras", "carnyx")) else 4

    @attack(row, f"activation-{_module}.{_name}")
    def _(path, module=_module, name=_name):
        archive(path, sequential(dense(activation=function(module, name))))


@attack(4, "initializer")
def _(path):
    archive(path, sequential(dense(kernel_initializer=function("os", "system"))))


@attack(4, "loss")
def _(path):
    compiled = {"optimizer": "sgd", "loss": function("os", "system")}
    archive(path, sequential(DENSE) | {"compile_config": compiled})


@attack(5, "class")
def _(path):
    command = {"args": ["touch", str(path.parent / "MARK")]}
    record = {"module": "subprocess", "class_name": "Popen", "config": command}
    archive(path, sequential(DENSE, record | {"registered_name": "Popen"}))


@attack(5, "class-in-place-of-the-model")
def _(path):
    command = {"args": ["touch", str(path.parent / "MARK")]}
    archive(path, {"module": "subprocess", "class_name": "Popen", "config": command})


@attack(6, "import")
def _(path):
    mark = path.parent / "MARK"
    (path.parent / "evilmod.py").write_text(f"open({str(mark)!r}, 'w')")
    record = {"module": "evilmod", "class_name": "Layer", "config": {}}
    archive(path, sequential(record | {"registered_name": "evilmod>Layer"}))


@attack(7, "callback-as-layer")
def _(path):
    config = {"filename": str(path.parent / "MARK")}
    record = {"module": "keras.callbacks", "class_name": "CSVLogger", "config": config}
    archive(path, sequential(record))


@attack(8, "attribute-walk")
def _(path):
    module = "keras.src.saving.serialization_lib"
    archive(
        path, sequential({"module": module, "class_name": "importlib", "config": {}})
    )


@attack(9, "two-names")
def _(path):
    archive(path, sequential(DENSE | {"registered_name": "Custom>Registered"}))


@attack(9, "class-name-no-string")
def _(path):
    archive(path, sequential(DENSE | {"class_name": ["Dense"]}))


@attack(10, "npz-pickle")
def _(path):
    image = io.BytesIO()
    np.savez(image, a=np.array([{}], dtype=object))
    archive(path, edit=lambda z: z.writestr("model.weights.npz", image.getvalue()))


# ---- other files through HDF5 ------------------------------------------------


def secret(path):
    file = path.parent / "secret"
    file.write_bytes(b"The secret of thirty-two bytes!!")
    return str(file)


def replaced(key, make):
    """A fill that puts something else in the place of an array."""

    def fill(file):
        del file[key]
        make(file, key)

    return fill


@attack(18, "external-storage", ".weights.h5")
def _(path):
    other = [(secret(path), 0, 24)]

    def make(file, key):
        file.create_dataset(key, (3, 2), "float32", external=other)

    path.write_bytes(weights(replaced("layers/dense/vars/0", make)))


def external(path):
    other = path.parent / "other.h5"
    other.write_bytes(weights())
    return str(other)


for _key in ("layers/dense/vars/0", "layers/dense/vars", "layers/dense", "layers"):

    def _link(path, key=_key):
        def make(file, place):
            file[place] = h5py.ExternalLink(external(path), place)

        return weights(replaced(key, make))

    @attack(19, f"link-{_key.replace('/', '.')}", ".weights.h5")
    def _(path, link=_link):
        path.write_bytes(link(path))

    @attack(19, f"link-{_key.replace('/', '.')}")
    def _(path, link=_link):
        archive(path, h5=link(path))


@attack(19, "link-h5", ".h5")
def _(path):
    def fill(file):
        del file["model_weights/dense"]
        other = external(path)
        file["model_weights/dense"] = h5py.ExternalLink(other, "layers/dense")

    legacy(path, sequential(DENSE), fill)


@attack(20, "virtual", ".weights.h5")
def _(path):
    layout = h5py.VirtualLayout((3, 2), "float32")
    layout[:] = h5py.VirtualSource(external(path), "layers/dense/vars/0", (3, 2))

    def make(file, key):
        file.create_virtual_dataset(key, layout)

    path.write_bytes(weights(replaced("layers/dense/vars/0", make)))


@attack(20, "soft-link-loop", ".weights.h5")
def _(path):
    def make(file, key):
        file[key] = h5py.SoftLink("/" + key)

    path.write_bytes(weights(replaced("layers/dense/vars/0", make)))


@attack(20, "group-cycle", ".weights.h5")
def _(path):
    def fill(file):
        file["layers/dense/again"] = file["layers"]

    path.write_bytes(weights(fill))


# ---- archives ----------------------------------------------------------------


for _name in ("../ESC", "/tmp/ESC", "C:/ESC", "..\\ESC", "assets/../../ESC"):

    @attack(26, f"name-{_name.replace('/', ':')}")
    def _(path, name=_name):
        archive(path, edit=lambda z: z.writestr(name, "x"))


@attack(26, "nul")
def _(path):
    archive(path, edit=lambda z: z.writestr("assets_ESC", "x"))
    path.write_bytes(path.read_bytes().replace(b"assets_ESC", b"assets\0ESC"))


@attack(26, "symlink")
def _(path):
    info = zipfile.ZipInfo("assets/link")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    archive(path, edit=lambda z: z.writestr(info, "/etc/passwd"))


@attack(26, "twice")
def _(path):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = json.dumps(sequential(dense(units=3)))
        archive(path, edit=lambda z: z.writestr("config.json", other))


@attack(26, "overlap")
def _(path):
    archive(path, edit=lambda z: z.writestr("assets/x", "y" * 100))
    data = bytearray(path.read_bytes())
    places = [i for i in range(len(data)) if data[i : i + 4] == b"PK\x01\x02"]
    first = struct.unpack_from("<I", data, places[0] + 42)
    struct.pack_into("<I", data, places[1] + 42, first[0] + 5)
    path.write_bytes(data)


@attack(26, "encrypted")
def _(path):
    archive(path)
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\x01\x02")
    data[place + 8] |= 1
    path.write_bytes(data)


# ---- bombs -------------------------------------------------------------------


def bomb(shape, **options):
    def make(file, key):
        file.create_dataset(key, shape, "float32", **options)

    return weights(replaced("layers/dense/vars/0", make))


@attack(29, "shape-4TB", ".weights.h5")
def _(path):
    path.write_bytes(bomb((1 << 20, 1 << 20), chunks=(1024, 1024), compression="gzip"))


@attack(30, "shape-512MB", ".weights.h5")
def _(path):
    path.write_bytes(bomb((1 << 27,), chunks=(1 << 20,), compression="gzip"))


@attack(30, "shape-512MB-in-archive")
def _(path):
    archive(path, h5=bomb((1 << 27,)))


@attack(30, "many-arrays", ".weights.h5")
def _(path):
    def fill(file):
        for i in range(40):
            file.create_dataset(f"layers/x/vars/{i}", (1 << 20,), "float32")

    path.write_bytes(weights(fill))


@attack(31, "padded-config")
def _(path):
    config = json.dumps(sequential(DENSE))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("metadata.json", "{}")
        z.writestr("model.weights.h5", weights())
        with z.open("config.json", "w") as member:
            member.write(config.encode())
            for _ in range(128):
                member.write(b" " * (1 << 20))


@attack(31, "padded-config-stored-size")
def _(path):
    archive(path, raw=json.dumps(sequential(DENSE)) + " " * (33 << 20))


@attack(32, "members")
def _(path):
    def edit(z):
        for i in range(10_001):
            z.writestr(f"assets/{i}", "")

    archive(path, edit=edit)


@attack(34, "depth")
def _(path):
    archive(path, raw='{"a":' * 200_000 + "0" + "}" * 200_000)


@attack(34, "depth-300")
def _(path):
    archive(path, raw='{"a":' * 300 + "0" + "}" * 300)


@attack(34, "duplicate-key")
def _(path):
    good = json.dumps(sequential(DENSE))
    archive(path, raw=good[:-1] + ', "class_name": "Dense"}')


@attack(34, "many-values")
def _(path):
    archive(path, raw="[" + "0," * 1_000_001 + "0]")


@attack(35, "nested-models")
def _(path):
    record = sequential(DENSE)
    for _ in range(100):
        record = sequential(record)
    archive(path, record)


HUGE = 10**11


@attack(36, "units")
def _(path):
    archive(path, sequential(dense(units=HUGE)))


@attack(36, "units-h5", ".h5")
def _(path):
    legacy(path, sequential(dense(units=HUGE)))


@attack(36, "units-beyond-64-bits")
def _(path):
    archive(path, sequential(dense(units=10**30)))


@attack(36, "input-shape")
def _(path):
    config = {"batch_shape": [None, HUGE], "name": "input_layer"}
    layers = [INPUT | {"config": config}, DENSE | {"build_config": None}]
    model = {"name": "wide", "layers": layers}
    archive(path, {"module": "keras", "class_name": "Sequential", "config": model})


@attack(36, "batch-size")
def _(path):
    config = {"batch_shape": [HUGE, 3, 3], "name": "input_layer"}
    layers = [INPUT | {"config": config}, layer("LSTM", units=100, stateful=True)]
    model = {"name": "long", "layers": layers}
    archive(path, {"module": "keras", "class_name": "Sequential", "config": model})


@attack(36, "build-shape")
def _(path):
    alone = DENSE | {"build_config": {"input_shape": [None, HUGE]}}
    model = {"name": "sequential", "layers": [alone]}
    archive(path, {"module": "keras", "class_name": "Sequential", "config": model})


@attack(36, "embedding")
def _(path):
    archive(path, sequential(layer("Embedding", input_dim=HUGE, output_dim=9)))


@attack(36, "embedding-h5", ".h5")
def _(path):
    legacy(path, sequential(layer("Embedding", input_dim=HUGE, output_dim=9)))


@attack(36, "thresholds")
def _(path):
    auc = {
        "module": "keras.metrics",
        "class_name": "AUC",
        "config": {"num_thresholds": 10**12},
    }
    compiled = {"optimizer": "sgd", "loss": "mse", "metrics": [auc]}
    archive(path, sequential(DENSE) | {"compile_config": compiled})


@attack(36, "chunks", ".weights.h5")
def _(path):
    path.write_bytes(bomb((3, 2), chunks=(1 << 14, 1 << 13), maxshape=(None, None)))


@attack(36, "axes", ".weights.h5")
def _(path):
    path.write_bytes(bomb((1 << 40,) * 1 + (1,) * 30, chunks=(1,) * 31))


def layer(kind, **config):
    return {"module": "keras.layers", "class_name": kind, "config": config}
