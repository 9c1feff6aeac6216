"""An array that is larger than the machine is an error before it is made.

Why it happened: bytes were never counted, and XLA or the system ended the process.
From a file the same held: sizes in its config are arguments of somebody else. Each row
runs in a process of its own only where it would end it; here none may.
"""

import json
import time
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import carnyx as keras
from carnyx._core import drawing, memory
from carnyx._core.op import op
from carnyx._core.scope import is_tracer
from carnyx.errors import CarnyxError, OutOfMemoryError, UnsafeModelError
from carnyx.initializers import sampling
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


WIDE = keras.ops.ones((1, 10**6))
TALL = keras.ops.ones((10**6, 1))
SMALL = np.ones((1, 2, 2, 1), "float32")
STEPS = np.ones((1, 10**6, 2), "float32")

# Each would have 10^12 entries and is made of few: JAX would say so when they are read.
RESULTS = {
    "add": lambda: keras.ops.add(WIDE, TALL),
    "a variable": lambda: keras.Variable(WIDE) * keras.Variable(TALL),
    "matmul": lambda: keras.ops.matmul(TALL, WIDE),
    "outer": lambda: keras.ops.outer(WIDE, TALL),
    "kron": lambda: keras.ops.kron(WIDE, TALL),
    "tensordot": lambda: keras.ops.tensordot(WIDE, TALL, axes=0),
    "einsum": lambda: keras.ops.einsum("ai,jb->ij", WIDE, TALL),
    "where": lambda: keras.ops.where(WIDE > 0, TALL, 0.0),
    "meshgrid": lambda: keras.ops.meshgrid(WIDE[0], WIDE[0]),
    "cdist": lambda: keras.ops.cdist(TALL, TALL),
    "diag": lambda: keras.ops.diag(WIDE[0]),
    "diagflat": lambda: keras.ops.diagflat(WIDE),
    "corrcoef": lambda: keras.ops.corrcoef(TALL),
    "take": lambda: keras.ops.take(WIDE, np.zeros(10**6, int), axis=0),
    "repeat by an array": lambda: keras.ops.repeat(TALL, np.array([10**6]), axis=1),
    "tile by an array": lambda: keras.ops.tile(TALL, np.array([1, 10**6])),
    "pad": lambda: keras.ops.pad(SMALL, [(0, 0), (10**6, 0), (10**6, 0), (0, 0)]),
    "resize": lambda: keras.ops.image.resize(SMALL, (10**6, 10**6)),
    "Add": lambda: L.Add()([WIDE[None], TALL[None]]),
    "Dot": lambda: L.Dot(2)([STEPS, STEPS]),
    "Dense": lambda: L.Dense(10**6)(np.ones((10**6, 1), "float32")),
    "Embedding": lambda: L.Embedding(1, 10**6)(np.zeros((10**6,), int)),
    "Attention": lambda: L.Attention()([STEPS, STEPS]),
    "MultiHeadAttention": lambda: L.MultiHeadAttention(1, 2)(STEPS, STEPS),
    "RepeatVector": lambda: L.RepeatVector(10**12)(SMALL[0, 0]),
    "UpSampling2D": lambda: L.UpSampling2D(10**6)(SMALL),
    "ZeroPadding2D": lambda: L.ZeroPadding2D(10**6)(SMALL),
}


@pytest.mark.parametrize("name", RESULTS)
def test_too_large_a_result_is_an_error_before_it_is_computed(name):
    words = r"of shape \(.*\) and dtype \w+ takes .*iB.* of memory are free"
    with pytest.raises(OutOfMemoryError, match=words) as caught:
        RESULTS[name]()
    notes = getattr(caught.value, "__notes__", [])
    assert name in str(caught.value) or name in str(notes) or " " in name


def test_the_size_of_a_result_is_inferred_once_for_calls_of_a_kind():
    traces = []

    @op
    def squared(x):
        if is_tracer(jnp.zeros(())):
            traces.append(x.shape)
        return x[:, None] * x

    for _ in range(3):
        assert squared(jnp.ones(9)).shape == (9, 9)
        big = jnp.ones(2**14)
        keras.ops.add(big, big)  # equal sizes need no inference at all
    with_two = op(lambda x, y: squared.__wrapped__(x), name="with_two")
    for _ in range(3):
        with_two(big, big)
    assert traces == [(2**14,)]


def test_what_the_device_cannot_allocate_is_told_with_op_and_layer():
    def refuse(x):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: allocating 800 bytes.")

    with pytest.raises(OutOfMemoryError, match="greedy got x float32 .1, 1.*800 bytes"):
        op(refuse, name="greedy")(np.ones((1, 1), "float32"))
    with pytest.raises(OutOfMemoryError, match="'greedy' got .*800 bytes"):
        L.Lambda(refuse, name="greedy")(np.ones((1, 3), "float32"))


# ---- the weights of one layer, together ----


class TwoWeights(L.Layer):
    def build(self, input_shape):
        self.first = self.add_weight((64, 64), Drawn())
        self.second = self.add_weight((64, 64), Drawn())

    def call(self, x):
        return x


class Drawn(keras.initializers.Initializer):
    drawn: ClassVar = []

    def __call__(self, shape, dtype=None):
        self.drawn.append(shape)
        return jnp.full(shape, len(self.drawn), dtype)


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setattr(Drawn, "drawn", [])
    return Drawn.drawn


@pytest.fixture
def little_memory(monkeypatch):
    """Room for one weight of 64 x 64 and its copy, and for no second one."""
    monkeypatch.setattr(memory, "_SMALL", 0)
    monkeypatch.setattr(drawing, "_SMALL", 0)
    for module in (memory, drawing):
        monkeypatch.setattr(module, "free_bytes", lambda: 45_000)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (TwoWeights, (None, 4)),
        (lambda: L.TimeDistributed(TwoWeights()), (None, 2, 4)),
        (lambda: keras.Sequential([TwoWeights()]), (None, 4)),
    ],
    ids=["layer", "wrapper", "model"],
)
def test_weights_that_do_not_fit_together_are_not_drawn(
    make, shape, drawn, little_memory
):
    with pytest.raises(OutOfMemoryError, match=r"2 weights, which take 32.0 KiB toget"):
        make().build(shape)
    assert not drawn


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "SimpleRNN", "ConvLSTM1D"])
@pytest.mark.parametrize("wrap", [lambda x: x, L.Bidirectional], ids=["", "both"])
def test_no_kernel_is_drawn_before_a_recurrent_kernel_is_refused(
    cell, wrap, monkeypatch
):
    monkeypatch.setattr(sampling, "_draw_compiled", lambda *a: pytest.fail("drawn"))
    more = {"kernel_size": 1} if cell == "ConvLSTM1D" else {}
    shape = (None, 2, 3, 3) if more else (None, 2, 3)
    with pytest.raises(OutOfMemoryError, match="recurrent_kernel"):
        wrap(getattr(L, cell)(10**7, **more)).build(shape)


def test_a_weight_that_build_reads_has_its_value_there(drawn):
    class Reads(L.Layer):
        def build(self, input_shape):
            self.first = self.add_weight((2,), Drawn())
            self.second = self.add_weight((2,), Drawn())
            self.second.assign(self.first * 3)
            self.third = self.add_weight((2,), Drawn())
            self.inner = L.Dense(2, kernel_initializer=Drawn())
            self.sums = float(self.inner(jnp.ones((1, 2))).sum())

        def call(self, x):
            return x

    layer = Reads()
    layer(np.ones((1, 2)))
    values = [w.numpy().ravel()[0] for w in layer.weights]
    assert values == [1, 3, 3, 2, 0] and layer.sums == 8
    layer = Reads()
    layer(keras.Input((2,)))  # inside the inference of shapes, too
    assert layer.sums == 20


def test_an_array_that_an_initializer_gives_stays_whose_it_is():
    kept = jnp.ones((3, 3))

    class Given(L.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight((3, 3), lambda shape, dtype: kept)

        def call(self, x):
            return x @ self.kernel

    model = keras.Sequential([keras.Input((3,)), Given()])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 3)), verbose=0)
    assert kept.tolist() == np.ones((3, 3)).tolist()
