"""An array that is larger than the machine is an error before it is made.

Why it happened: bytes were never counted, and XLA or the system ended the process.
From a file the same held: sizes in its config are arguments of somebody else. Each row
runs in a process of its own only where it would end it; here none may.
"""

import json
import time

import numpy as np
import pytest

import carnyx as keras
from carnyx.errors import CarnyxError, OutOfMemoryError, UnsafeModelError
from tests.saving import attacks

HUGE = 10**11
L = keras.layers


def sequential(shape, *layers, **options):
    return keras.Sequential([keras.Input(shape, **options), *layers])


ROWS = {
    "dense": lambda: sequential((200_000,), L.Dense(500_000_000)),
    "units": lambda: sequential((2,), L.Dense(HUGE)),
    "units beyond 64 bits": lambda: sequential((2,), L.Dense(10**25)),
    "input": lambda: sequential((HUGE,), L.Dense(2)),
    "build": lambda: L.Dense(2).build((None, HUGE)),
    "embedding": lambda: L.Embedding(HUGE, 8).build(None),
    "convolution": lambda: sequential((8, 8, 3), L.Conv2D(HUGE, 3)),
    "recurrent": lambda: sequential((None, 3), L.LSTM(10**9)),
    "state": lambda: sequential((3, 3), L.LSTM(100, stateful=True), batch_size=HUGE),
    "norm": lambda: L.BatchNormalization().build((None, HUGE)),
    "attention": lambda: L.MultiHeadAttention(10**6, 10**6).build(
        (None, 2, 8), (None, 2, 8)
    ),
    "add_weight": lambda: L.Layer().add_weight(shape=(HUGE,), initializer="zeros"),
    "variable": lambda: keras.Variable(keras.initializers.Ones(), shape=(HUGE,)),
    "zeros": lambda: keras.ops.zeros((HUGE,)),
    "ones": lambda: keras.ops.ones(HUGE),
    "full": lambda: keras.ops.full((HUGE,), 3.0),
    "eye": lambda: keras.ops.eye(10**8),
    "normal": lambda: keras.random.normal((10**6, 10**6)),
    "metric": lambda: keras.metrics.MeanIoU(10**7),
    "thresholds": lambda: keras.metrics.AUC(num_thresholds=10**12),
    "thresholds of a rate": lambda: keras.metrics.PrecisionAtRecall(0.5, HUGE),
    "arange": lambda: keras.ops.arange(HUGE),
    "arange of floats": lambda: keras.ops.arange(0.0, 1e12, 2.0),
    "linspace": lambda: keras.ops.linspace(0, 1, HUGE),
    "logspace": lambda: keras.ops.logspace(0, [1.0, 2.0], HUGE),
    "geomspace": lambda: keras.ops.geomspace(1, 2, HUGE),
    "window": lambda: keras.ops.hanning(HUGE),
    "kaiser": lambda: keras.ops.kaiser(HUGE, 14.0),
    "vander": lambda: keras.ops.vander(keras.ops.ones(3), HUGE),
    "one_hot": lambda: keras.ops.one_hot([0, 2], HUGE),
    "multi_hot": lambda: keras.ops.multi_hot([0, 2], HUGE),
    "tile": lambda: keras.ops.tile(keras.ops.ones(3), HUGE),
    "repeat": lambda: keras.ops.repeat(keras.ops.ones(3), HUGE),
    "broadcast_to": lambda: keras.ops.broadcast_to(1.0, (HUGE,)),
    "bincount": lambda: keras.ops.bincount([1, 2], minlength=HUGE),
    "segments": lambda: keras.ops.segment_sum(keras.ops.ones(2), [0, 1], HUGE),
    "to_categorical": lambda: keras.utils.to_categorical([0, 1], HUGE),
    "pad_sequences": lambda: keras.utils.pad_sequences([[1]], maxlen=HUGE),
    **{
        f"initializer {name}": (lambda name=name: keras.initializers.get(name)((HUGE,)))
        for name in ("zeros", "ones", "glorot_uniform", "he_normal", "random_normal")
    },
}


@pytest.mark.parametrize("name", ROWS)
def test_too_large_an_array_is_an_error(name):
    with pytest.raises(MemoryError, match="takes .*iB.* of memory are free") as caught:
        ROWS[name]()
    assert isinstance(caught.value, OutOfMemoryError)
    assert isinstance(caught.value, CarnyxError)


def test_the_error_names_weight_shape_bytes_and_layer():
    layer = L.Dense(500_000_000, name="wide")
    with pytest.raises(OutOfMemoryError) as caught:
        sequential((200_000,), layer)
    text = str(caught.value)
    assert "wide/kernel" in text and "(200000, 500000000)" in text
    assert "363.8 TiB" in text
    assert any("wide" in note for note in caught.value.__notes__)


def test_few_labels_of_many_classes_take_a_row_each():
    rows = keras.utils.to_categorical([0, 299_999])  # not the square of the classes
    assert rows.shape == (2, 300_000) and rows[1, -1] == rows.sum() - 1 == 1


def test_within_abstract_there_is_no_limit():
    with keras.abstract():
        assert sequential((200_000,), L.Dense(HUGE)).count_params() > HUGE


CONFIGS = {
    "units": lambda: attacks.sequential(attacks.dense(units=HUGE)),
    "input": lambda: {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "wide", "layers": [wide_input(), of_any_input()]},
    },
    "embedding": lambda: attacks.sequential(
        {
            "module": "keras.layers",
            "class_name": "Embedding",
            "config": {"input_dim": HUGE, "output_dim": 9},
        }
    ),
}


def wide_input():
    config = {"batch_shape": [None, HUGE], "name": "input_layer"}
    return attacks.INPUT | {"config": config}


def of_any_input():
    return {k: v for k, v in attacks.DENSE.items() if k != "build_config"}


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".json"])
@pytest.mark.parametrize("name", CONFIGS)
def test_too_large_a_config(name, suffix, tmp_path):
    path, config = tmp_path / f"m{suffix}", CONFIGS[name]()
    with pytest.raises((OutOfMemoryError, UnsafeModelError)):
        if suffix == ".json":
            keras.models.model_from_json(json.dumps(config))
        elif suffix == ".keras":
            attacks.archive(path, config)
            keras.saving.load_model(path)
        else:
            attacks.legacy(path, config)
            keras.saving.load_model(path)


def relus(count):
    record = {"class_name": "ReLU", "module": "keras.layers", "config": {}}
    return attacks.sequential(*[record] * count)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".json"])
def test_too_many_layers_are_refused_before_one_is_made(suffix, tmp_path, monkeypatch):
    path, config = tmp_path / f"m{suffix}", relus(100_000)
    monkeypatch.setattr(L.Layer, "__init__", lambda *a, **k: pytest.fail("made"))
    since = time.monotonic()
    with pytest.raises(
        UnsafeModelError, match=r"100001 layers|far too|no HDF5|damaged"
    ):
        if suffix == ".json":
            keras.models.model_from_json(json.dumps(config))
        elif suffix == ".keras":
            attacks.archive(path, config)
            keras.saving.load_model(path)
        else:
            import h5py

            with h5py.File(path, "w", track_order=True) as file:
                file.create_group("model_weights").attrs["layer_names"] = []
                file.attrs.create("model_config", json.dumps(config))
            keras.saving.load_model(path)
    assert time.monotonic() - since < 60  # two seconds, on a machine that is not busy


def test_a_caller_may_allow_more_layers(tmp_path):
    attacks.archive(tmp_path / "m.keras", relus(3))
    with pytest.raises(UnsafeModelError, match="max_layers=4"):
        keras.saving.load_model(tmp_path / "m.keras", max_layers=3)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: L.RepeatVector(10**12)(L.Flatten()(x)),
        lambda x: L.ZeroPadding2D(10**7)(x),
        lambda x: L.UpSampling2D(10**7)(x),
        lambda x: keras.ops.image.resize(x, (10**7, 10**7)),
        lambda x: keras.Input((10**9, 1)) * keras.Input((1, 10**9)),
    ],
    ids=["repeat", "pad", "upsample", "resize", "broadcast"],
)
def test_a_graph_has_no_output_that_no_machine_can_hold(make):
    with pytest.raises(OutOfMemoryError, match="The output of '.*' of shape"):
        make(keras.Input((3, 3, 1)))


TWO = {
    "outer": lambda a: keras.ops.outer(a, a),
    "add": lambda a: keras.ops.add(a[:, None], a),
    "equal": lambda a: keras.ops.equal(a[:, None], a),
    "matmul": lambda a: keras.ops.matmul(a[:, None], a[None]),
    "einsum": lambda a: keras.ops.einsum("i,j->ij", a, a),
    "kron": lambda a: keras.ops.kron(a, a),
    "tensordot": lambda a: keras.ops.tensordot(a, a, 0),
    "cdist": lambda a: keras.ops.cdist(a[:, None], a[:, None]),
    "diag": keras.ops.diag,
}


@pytest.mark.parametrize("name", TWO)
def test_a_result_larger_than_its_operands_is_told_where_it_is_made(name):
    """JAX computes behind one's back, and tells only whoever reads the result."""
    with pytest.raises(OutOfMemoryError, match=f"{name} got .*bytes"):
        TWO[name](np.ones(300_000, "float32"))


def test_what_the_device_cannot_allocate_is_told_with_op_and_layer():
    with pytest.raises(OutOfMemoryError, match="pad got x float32 .1, 1.*bytes"):
        keras.ops.pad(np.ones((1, 1), "float32"), ((0, 10**8), (0, 10**8)))
    with pytest.raises(OutOfMemoryError, match="repeat_vector"):
        L.RepeatVector(10**13)(np.ones((1, 3), "float32"))
