"""Models that earlier generations of Keras really saved."""

import json
import warnings

import numpy as np
import pytest

import carnyx as keras
from carnyx.errors import CarnyxError, UnsafeModelError

GENERATIONS = ("keras-3.0.5-torch", "keras-3.6.0-torch", "keras-3.15.1-torch")
CASES = {
    "a_mlp_det": "both",
    "b_cnn": "both",
    "b2_cnn_channels_first": "both",
    "c_rnn": "both",
    "d_bidir": "both",
    "e_functional": "both",
    "f_nested": "both",
    "g_conv1d3d": "both",
    "h_activations_det": "both",
    "i_lambda": "both",
    "k2_custom_layer": "both",
    "k_subclass": "keras",
    "l_rnn_options": "both",
    "m_convlstm_local": "both",
    "n_seq2seq": "both",
    "p_op_layers": "keras",  # Keras writes ops into HDF5 so that nobody can read them
    "q_dtype_policy": "both",
}
# Compiling takes long: these are trained on, of the oldest and of the newest.
TRAINED = ("a_mlp_det", "f_nested", "k_subclass")
TRAINED_NEWEST = (*TRAINED, "k2_custom_layer")
# Nadam's state was in another order before Keras 3.15: it starts afresh.
OTHER_STATE = ("d_bidir", GENERATIONS[:2])


def _rows():
    for generation in GENERATIONS:
        for case, formats in CASES.items():
            yield generation, case, "model.keras"
            if formats == "both":
                yield generation, case, "model.h5"


@keras.saving.register_keras_serializable("zoo")
class Scale(keras.layers.Layer):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.gain = self.add_weight(shape=(input_shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.gain * self.factor


@keras.saving.register_keras_serializable("zoo")
class Net(keras.Model):
    def __init__(self, units=4, out=2, **kwargs):
        super().__init__(**kwargs)
        self.first = keras.layers.Dense(units, "relu")
        self.blocks = [keras.layers.Dense(units, "tanh") for _ in range(2)]
        self.norm = keras.layers.BatchNormalization(momentum=0.8)
        self.scale = Scale(0.5)
        self.head = keras.layers.Dense(out)

    def call(self, x, training=False):
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(self.scale(self.norm(x, training=training)))


def arrays(file, prefix):
    found = [file[k] for k in sorted(file) if k.startswith(prefix)]
    return found if len(found) > 1 else found[0]


def folder_of(shared, generation, case, name):
    folder = shared / "zoo" / generation / case
    meta = json.loads((folder / "meta.json").read_text())
    if name not in meta["kinds"]:
        pytest.skip(f"not saved then: {meta['not_saved']}")
    return folder


def read(path):
    with np.load(path) as file:
        return dict(file)


def check_outputs(model, folder, case):
    io = read(folder / "io.npz")
    out = model(arrays(io, "x"), training=False)
    tolerance = 2e-2 if case.startswith("q_") else 1e-4
    wanted = arrays(io, "y")
    for a, b in zip(
        out if isinstance(out, list | tuple) else [out],
        wanted if isinstance(wanted, list) else [wanted],
        strict=True,
    ):
        np.testing.assert_allclose(
            np.asarray(a, "float32"), b, rtol=tolerance, atol=max(1e-5, tolerance / 10)
        )


@pytest.mark.parametrize(
    "generation, case, name", list(_rows()), ids=lambda v: v.removesuffix("-torch")
)
def test_opens_and_goes_on(generation, case, name, shared):
    folder = folder_of(shared, generation, case, name)
    given = {"lambda": lambda t: t * 2.0 + 1.0}
    with warnings.catch_warnings():
        other_state = case == OTHER_STATE[0] and generation in OTHER_STATE[1]
        warnings.simplefilter("ignore" if other_state else "error")
        model = keras.saving.load_model(folder / name, custom_objects=given)
    check_outputs(model, folder, case)
    recorded = folder / "train_keras.npz"
    trained = {GENERATIONS[0]: TRAINED, GENERATIONS[-1]: TRAINED_NEWEST}
    if name != "model.keras" or case not in trained.get(generation, ()):
        return
    batches = read(recorded)
    for i in range(3):
        x, y = arrays(batches, f"bx{i}_"), arrays(batches, f"by{i}_")
        model.train_on_batch(x, y)
    for i, weight in enumerate(model.get_weights()):
        np.testing.assert_allclose(weight, batches[f"w{i}"], rtol=1e-3, atol=1e-4)


OLDER = ["keras-2.0.9", "keras-2.1.6", "keras-2.2.4", "keras-2.3.1"]
OLDER += ["tf.keras-2.4", "tf.keras-2.10", "tf.keras-2.13", "tf.keras-2.15"]


@pytest.mark.parametrize(
    "generation, case",
    [
        *((g, c) for c in ("a_mlp", "e_functional", "g_conv1d3d") for g in OLDER),
        ("keras-1.2.2", "a_mlp"),
        ("keras-1.2.2-theano", "a_mlp"),
    ],
)
def test_weights_of_older_files(generation, case, shared):
    """The layout of weights has been the same since Keras 1."""
    newest = folder_of(shared, "keras-3.15.1-torch", case, "model.keras")
    model = keras.saving.load_model(newest / "model.keras", compile=False)
    folder = folder_of(shared, generation, case, "model_weights.h5")
    model.load_weights(folder / "model_weights.h5")
    check_outputs(model, folder, case)


@pytest.mark.parametrize("generation", ["keras-1.2.2", "keras-1.2.2-theano", *OLDER])
def test_an_older_file_that_means_no_harm_is_not_called_unsafe(generation, shared):
    """What is not read yet says so by its name, not as an attack would be told."""
    given = {n: lambda t: t * 2.0 + 1.0 for n in ("lambda", "lambda_1", "lambda_2")}
    opened = 0
    for path in sorted((shared / "zoo" / generation).rglob("model.*")):
        try:
            if path.suffix == ".json":
                keras.models.model_from_json(path.read_text(), custom_objects=given)
            elif path.suffix in (".h5", ".keras"):
                keras.saving.load_model(path, custom_objects=given, compile=False)
            opened += 1
        except UnsafeModelError as error:
            pytest.fail(f"{path}: {error}")
        except (CarnyxError, TypeError):  # layers and arguments of other times
            continue
    assert opened or generation.startswith("keras-1")
