"""Every row of the contract table against Keras 3.15: same weights, same inputs."""

import copy
import functools
import importlib
import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import carnyx
from carnyx import activations, layers
from carnyx._core.masks import get_mask
from carnyx.layers import Layer
from tests.layers.cases import Case
from tests.layers.pairs import place

OURS = SimpleNamespace(layers=layers, activations=activations, Input=layers.Input)
FILES = sorted(p.stem for p in Path(__file__).parent.glob("cases*.py"))
CASES = [c for f in FILES for c in importlib.import_module(f"tests.layers.{f}").CASES]
NAMES = [f"{i}-{case}" for i, case in enumerate(CASES)]
every_case = pytest.mark.parametrize("index", range(len(CASES)), ids=NAMES)

# Features that are later ones here, or that belong to Keras's other backends.
ABSENT = {
    "lora_rank", "lora_alpha", "quantization_config", "gptq_unpacked_column_size",
}  # fmt: skip


def leaves(tree):
    return jax.tree_util.tree_leaves(tree)


def assert_close(ours, theirs, tolerance=1e-5, what="output"):
    ours, theirs = leaves(ours), leaves(theirs)
    assert len(ours) == len(theirs), what
    for a, b in zip(ours, theirs):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape and a.dtype == b.dtype, what
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b, err_msg=what)
        else:
            scale = max(1.0, float(np.abs(b).max(initial=0)))
            np.testing.assert_allclose(
                a, b, rtol=0, atol=tolerance * scale, err_msg=what
            )


def shapes_of(case):
    return case.shape if isinstance(case.shape, list) else [case.shape]


def in_structure(case, values):
    return list(values) if isinstance(case.shape, list) else values[0]


def data(case, seed=0):
    """Inputs with 2 for the batch and 6 for other unknown sizes."""
    random = np.random.default_rng(seed)
    values = []
    for shape in shapes_of(case):
        known = [2 if i == 0 else 6 for i in range(len(shape))]
        known = [k if n is None else n for k, n in zip(known, shape)]
        if case.below:
            values.append(random.integers(0, case.below, known).astype("int32"))
            continue
        value = random.uniform(case.low, case.high, known).astype("float32")
        if case.masks:
            value[0, -1] = 0
            value[1, :2] = 0
        values.append(value)
    return in_structure(case, [jnp.asarray(v) for v in values])


def front(library, case, values):
    """The inputs, with masks where the case wants them."""
    if not case.masks:
        return values
    masked = [library.layers.Masking()(v) for v in leaves(values)]
    return in_structure(case, masked)


def weights_for(layer, seed=1):
    random = np.random.default_rng(seed)
    positive = ("variance", "stddev")
    return [
        random.uniform(0.5, 1.5, w.shape)
        if any(p in w.path for p in positive)
        else random.normal(0, 0.4, w.shape)
        for w in layer.weights
    ]


def built(library, case, **more):
    layer = case.make(library, **more)
    if not layer.built:
        shapes = [tuple(v.shape) for v in leaves(data(case))]
        layer.build(in_structure(case, shapes))
    if layer.weights:
        layer.set_weights(weights_for(layer))
    if hasattr(layer, "finalize_state"):  # Keras's reads its weights here only
        layer.finalize_state()
    return layer


def masks_of(layer, values):
    """Its outputs in prediction, and their masks."""
    out = layer(values, **({"training": False} if takes_training(layer) else {}))
    find = get_mask if isinstance(layer, Layer) else keras.src.backend.get_keras_mask
    return out, [find(t) for t in leaves(out)]


def split(layer):
    return (
        [v.value for v in layer.trainable_variables],
        [v.value for v in layer.non_trainable_variables],
    )


def gradients(library, case, layer, training):
    """Outputs, new state, and the gradients of a weighted sum of the outputs."""

    training = training or (case.always and library is not OURS)
    extra = {"training": training} if takes_training(layer) else {}

    def objective(trainable, inputs, fixed):
        inputs = front(library, case, inputs)
        more = extra | ({} if library is OURS else masks_by_hand(layer, case, inputs))
        out, state = layer.stateless_call(trainable, fixed, inputs, **more)
        total = sum(jnp.sum(o * weight(o)) for o in leaves(out) if o.dtype.kind == "f")
        return total, (out, state)

    def weight(o):
        return jnp.cos(jnp.arange(o.size, dtype="float32")).reshape(o.shape)

    trainable, fixed = split(layer)
    inputs = data(case)
    wanted = (0,) if case.below else (0, 1)
    if not case.gradients:
        return objective(trainable, inputs, fixed)[1], []
    run = jax.value_and_grad(objective, wanted, has_aux=True)
    run = jax.jit(run)
    (_, aux), grads = run(trainable, inputs, fixed)
    return aux, grads


def masks_by_hand(layer, case, inputs):
    """Keras's stateless_call does without __call__, which would hand the masks down."""
    if not case.masks or "mask" not in inspect.signature(layer.call).parameters:
        return {}
    find = keras.src.backend.get_keras_mask
    return {"mask": in_structure(case, [find(v) for v in leaves(inputs)])}


def takes_training(layer):
    return "training" in inspect.signature(layer.call).parameters


@functools.cache
def theirs_of(index):
    return built(keras, CASES[index])


@functools.cache
def ours_of(index):
    return built(OURS, CASES[index])


@every_case
def test_weights(index):
    ours, theirs = ours_of(index), theirs_of(index)
    key = lambda w: (w.name, tuple(w.shape), w.trainable, w.dtype)  # noqa: E731
    assert [key(w) for w in ours.weights] == [key(w) for w in theirs.weights]
    assert [place(v) for v in ours.variables] == [place(v) for v in theirs.variables]


@functools.cache
def ours_with_gradients(index, training=False):
    return gradients(OURS, CASES[index], ours_of(index), training)


@functools.cache
def theirs_with_gradients(index, training=False):
    return gradients(keras, CASES[index], theirs_of(index), training)


@every_case
def test_outputs_masks_and_losses(index):
    """The layer called as users call it, not compiled."""
    case = CASES[index]
    ours, mask = masks_of(ours_of(index), front(OURS, case, data(case)))
    (wanted, _), _ = theirs_with_gradients(index)
    assert_close(ours, wanted, case.tolerance)
    if case.masks or "mask" in str(case).lower() or "regular" in str(case).lower():
        _, wanted = masks_of(theirs_of(index), front(keras, case, data(case)))
        assert [m is None for m in mask] == [m is None for m in wanted]
        assert_close(mask, wanted, what="mask")
        losses = [sorted(map(float, of(index).losses)) for of in (ours_of, theirs_of)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    else:
        assert mask == [None] * len(mask)


@every_case
def test_gradients_under_jit(index):
    case = CASES[index]
    for training in {False, case.training}:
        (out, state), grads = ours_with_gradients(index, training)
        wanted, their_grads = theirs_with_gradients(index, training)
        assert_close(out, wanted[0], case.tolerance)
        if training or not case.draws:
            assert_close(state, wanted[1], case.tolerance, "state")
        assert_close(grads, their_grads, 10 * case.tolerance, "gradient")


def symbols(library, case):
    dtype = "int32" if case.below else None
    inputs = [library.Input(batch_shape=s, dtype=dtype) for s in shapes_of(case)]
    return in_structure(case, inputs)


@every_case
def test_symbolic_shapes(index):
    case = CASES[index]
    ours, theirs = (leaves(case.make(k)(symbols(k, case))) for k in (OURS, keras))
    assert [(t.shape, t.dtype) for t in ours] == [(t.shape, t.dtype) for t in theirs]


@every_case
def test_compute_output_shape(index):
    case = CASES[index]
    layer = case.make(OURS)
    shape = layer.compute_output_shape(case.shape)
    theirs = case.make(keras).compute_output_shape(case.shape)
    assert tuples(shape) == tuples(theirs)
    assert layer.weights == [], "asking for a shape must build nothing"


def tuples(shape):
    if isinstance(shape, list | tuple):
        return tuple(tuples(s) for s in shape)
    return shape


def plain(config):
    """A config as files hold it, without what is not there yet."""
    if isinstance(config, dict):
        absent = ABSENT | ({"build_config"} if "class_name" in config else set())
        return {k: plain(v) for k, v in config.items() if k not in absent}
    return [plain(v) for v in config] if isinstance(config, list | tuple) else config


@every_case
def test_config(index):
    case = CASES[index]
    ours, theirs = case.make(OURS, name="it"), case.make(keras, name="it")
    config = json.loads(json.dumps(ours.get_config()))
    config = {k: v for k, v in config.items() if k not in case.config_only_ours}
    assert plain(config) == plain(json.loads(json.dumps(theirs.get_config())))
    config = json.loads(json.dumps(ours.get_config()))
    assert plain(type(ours).from_config(config).get_config()) == plain(config)
    theirs = type(theirs).from_config(
        copy.deepcopy(config)
    )  # it knows the keys that it leaves out
    record = json.loads(json.dumps(keras.layers.serialize(theirs)))
    assert plain(layers.deserialize(record).get_config()) == plain(config)
    record = json.loads(json.dumps(layers.serialize(ours)))
    back = keras.layers.deserialize(record)
    config = {k: v for k, v in config.items() if k not in case.config_only_ours}
    assert plain(json.loads(json.dumps(back.get_config()))) == plain(config)


@every_case
def test_mixed_precision(index):
    case = CASES[index]
    ours, theirs = (
        case.make(k, dtype="mixed_bfloat16")(symbols(k, case)) for k in (OURS, keras)
    )
    expected = [t.dtype for t in leaves(theirs)]
    if case.name == "TimeDistributed":  # Keras's arrays have the inner layer's dtype
        expected = ["float32"] * len(expected)
    assert [t.dtype for t in leaves(ours)] == expected


def parameters(cls):
    """Positional parameters with their defaults, (2, 2) as 2."""
    later = ABSENT | {"self", "kwargs", "name", "dtype", "weights"}
    found = {}
    for p in inspect.signature(cls.__init__).parameters.values():
        if p.name not in later and p.kind is p.POSITIONAL_OR_KEYWORD:
            same = isinstance(p.default, tuple) and len(set(p.default)) == 1
            found[p.name] = p.default[0] if same else p.default
    return found


@pytest.mark.parametrize("name", sorted({case.name for case in CASES}))
def test_arguments_have_the_order_of_keras(name):
    ours = parameters(getattr(layers, name))
    theirs = parameters(getattr(keras.layers, name))
    if name == "Conv3DTranspose":  # Keras has data_format before output_padding there
        assert set(ours) == set(theirs)
    else:
        assert list(ours) == list(theirs)
    for argument, default in theirs.items():
        if default is not inspect.Parameter.empty:
            assert str(ours[argument]).lower() == str(default).lower(), argument


@every_case
def test_wrong_arguments(index):
    """Refused when given, in the words of the row."""
    case = CASES[index]
    for arguments, message in case.wrong:
        with pytest.raises(ValueError, match=message):
            case.make(OURS, **arguments)


@every_case
def test_a_file_gives_the_layer_back(index, tmp_path):
    """One row a class: what is particular to arguments is in their configs."""
    case = CASES[index]
    if next(i for i, c in enumerate(CASES) if c.name == case.name) != index:
        return
    inputs = symbols(OURS, case)
    model = carnyx.Model(inputs, case.make(OURS)(front(OURS, case, inputs)))
    model.save(tmp_path / "model.keras")
    again = carnyx.models.load_model(tmp_path / "model.keras")
    out = [m(data(case), training=False) for m in (again, model)]
    assert_close(*out)


# On texts, which Keras reads with TensorFlow: tests/layers/preprocessing, and
# tests/interop/test_text_layers.py, which compares.
ON_TEXTS = {
    "Hashing", "HashedCrossing", "StringLookup", "IntegerLookup", "TextVectorization",
}  # fmt: skip
BASES = {"Layer", "Wrapper", "InputLayer", "BaseImagePreprocessingLayer"}
# Called with several tensors (test_attention.py, test_recurrent.py), or newer than the
# Keras to compare with (test_ternary.py).
ELSEWHERE = {
    "MultiHeadAttention", "GroupedQueryAttention", "SimpleRNNCell", "LSTMCell",
    "GRUCell", "StackedRNNCells", "TernaryDense", "JaxLayer", "FlaxLayer", "Pipeline",
}  # fmt: skip


def test_every_public_layer_has_a_row():
    public = {
        value.__name__
        for value in vars(layers).values()
        if isinstance(value, type) and issubclass(value, Layer)
    }
    assert public - BASES - ELSEWHERE - ON_TEXTS == {case.name for case in CASES}


def test_a_row_can_fail():
    index = NAMES.index(next(n for n in NAMES if "-ReLU" in n))
    with pytest.raises(AssertionError):
        assert_close(data(CASES[index]), jax.nn.relu(data(CASES[index])))


__all__ = ["Case"]
