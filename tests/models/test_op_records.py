"""Recorded ops in Keras's records, both ways, and their arguments' places."""

import functools
import importlib
import inspect

import keras as oracle
import numpy as np
import pytest

import carnyx
from carnyx._core.operators import OPS
from carnyx.models import op_records

LIBRARIES = {"carnyx": carnyx, "keras": oracle}
X = np.linspace(-1.0, 2.0, 24, dtype="float32").reshape(2, 3, 4)

# One model with each of these as an output: (ops, symbolic x of shape 3, 4) -> y
CALLS = {
    "add": lambda k, x: x + 1.5,
    "radd": lambda k, x: 1.5 + x,
    "true_divide": lambda k, x: x / 2.0,
    "between": lambda k, x: x * x - x,
    "power": lambda k, x: x**2,
    "negative": lambda k, x: -x,
    "abs": lambda k, x: abs(x),
    "greater": lambda k, x: x > 0.5,
    "get_item": lambda k, x: x[:, 0, ..., 1:3],
    "one_index": lambda k, x: x[:, 1],
    "none_index": lambda k, x: x[:, None, ::2],
    "sum": lambda k, x: k.sum(x, axis=-1),
    "mean_positional": lambda k, x: k.mean(x, 1, True),
    "two_axes": lambda k, x: k.max(x, axis=(1, 2)),
    "reshape": lambda k, x: k.reshape(x, (-1, 2, 6)),
    "method": lambda k, x: x.reshape((-1, 12)),
    "transpose": lambda k, x: k.transpose(x, (0, 2, 1)),
    "expand_dims": lambda k, x: k.expand_dims(x, 1),
    "concatenate": lambda k, x: k.concatenate([x, x * 2.0], axis=1),
    "stack": lambda k, x: k.stack([x, x], axis=1),
    "split": lambda k, x: k.split(x, 2, axis=-1),
    "clip": lambda k, x: k.clip(x, 0.0, 1.0),
    "where": lambda k, x: k.where(x > 0.0, x, 0.1),
    "matmul": lambda k, x: k.matmul(x, k.transpose(x, [0, 2, 1])),
    "einsum": lambda k, x: k.einsum("bij,bkj->bik", x, x),
    "softmax": lambda k, x: k.softmax(x, axis=1),
    "gelu": lambda k, x: k.gelu(x, approximate=False),
    "one_hot": lambda k, x: k.one_hot(k.cast(x > 0.0, "int32"), 2),
    "cast": lambda k, x: k.cast(x, "float16"),
    "top_k": lambda k, x: k.top_k(x, 2),
    "constant": lambda k, x: x + k.convert_to_tensor(X[0]),
    "maximum": lambda k, x: k.maximum(x, np.float32(0.2)),
    "take": lambda k, x: k.take(x, [0, 2], axis=-1),
    "pad": lambda k, x: k.pad(x, ((0, 0), (1, 0), (0, 2)), constant_values=3.0),
    "cumsum": lambda k, x: k.cumsum(x, axis=1),
    "gaps": lambda k, x: k.batch_normalization(
        x,
        np.zeros(4, "float32"),
        np.ones(4, "float32"),
        -1,
        scale=np.ones(4, "float32"),
    ),
    "layer_norm": lambda k, x: k.layer_normalization(x, k.ones((4,)), k.zeros((4,))),
    "rms_norm": lambda k, x: k.rms_normalization(x, np.ones(4, "float32")),
    "batch_norm": lambda k, x: k.batch_normalization(
        x, np.zeros(4, "float32"), np.ones(4, "float32"), axis=-1
    ),
    "average_pool": lambda k, x: k.average_pool(x, 2, 1),
    "conv": lambda k, x: k.conv(x, np.ones((2, 4, 1), "float32"), padding="same"),
    "resize": lambda k, x: k.image.resize(k.expand_dims(x, -1), (4, 4)),
    "logsumexp": lambda k, x: k.logsumexp(x, axis=1),
    "flip": lambda k, x: k.flip(x, axis=2),
    "switched": lambda k, x: k.silu(x) + k.swish(x) + k.hard_swish(x),
    "meshgrid": lambda k, x: k.meshgrid(x[0, 0], x[0, :, 0]),
}


@functools.cache
def models(writer):
    """A model whose outputs are all of CALLS, as JSON, and what comes out."""
    library = LIBRARIES[writer]
    library.utils.clear_session()
    x = library.Input((3, 4))
    model = library.Model(x, {name: f(library.ops, x) for name, f in CALLS.items()})
    return model.to_json(), flat(model(X))


def flat(outputs):
    return {
        f"{name} {i}": np.asarray(part)
        for name, value in outputs.items()
        for i, part in enumerate(value if isinstance(value, list | tuple) else [value])
    }


@pytest.mark.parametrize(
    "writer, reader", [("keras", "carnyx"), ("carnyx", "keras"), ("carnyx", "carnyx")]
)
def test_ops_open(writer, reader):
    written, expected = models(writer)
    found = flat(LIBRARIES[reader].models.model_from_json(written)(X))
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(
            found[name], value, rtol=1e-4, atol=1e-5, err_msg=name, strict=True
        )


def test_names_stay():
    x = carnyx.Input((3,))
    model = carnyx.Model(x, carnyx.ops.exp(carnyx.ops.exp(x)))
    again = carnyx.models.model_from_json(model.to_json())
    assert [o.name for o in again.operations] == [o.name for o in model.operations]
    assert again.to_json() == model.to_json()


# Ops that Keras does not record, as it has no class for them.
OWN = {
    "rearrange": lambda x: carnyx.ops.rearrange(x, "b (i n) j -> b i (n j)", n=3),
    "dropout": lambda x: carnyx.random.dropout(x, 0.5, seed=3),
    "patches": lambda x: carnyx.ops.image.extract_patches_3d(
        x[:, :, :, None, None], (3, 2, 1)
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_own_ops_open_here(name):
    x = carnyx.Input((3, 4))
    model = carnyx.Model(x, OWN[name](x))
    again = carnyx.models.model_from_json(model.to_json())
    np.testing.assert_array_equal(again(X), model(X))
    assert "carnyx.ops" in model.to_json()


def keras_classes():
    """The classes of Keras's ops, with the module each stands in."""
    for name in op_records._MODULES:
        module = importlib.import_module(f"keras.src.ops.{name}")
        for cls in vars(module).values():
            if inspect.isclass(cls) and issubclass(cls, oracle.Operation):
                if cls.__module__ == module.__name__:
                    yield cls


# A base of others; `ndim` is a number here, of symbolic tensors too.
UNKNOWN = {"SegmentReduction", "Ndim"}


def test_arguments_stand_where_the_classes_of_keras_take_them():
    known = {op_records.class_name_of(name): name for name in OPS}
    wrong = []
    for cls in keras_classes():
        name = known.get(op_records._SAME.get(cls.__name__, cls.__name__))
        if name is None:
            assert cls.__name__ in UNKNOWN
            continue
        ours = inspect.signature(OPS[name]).parameters.values()
        called, made = names(cls.call), set(names(cls.__init__)) - {"args"}
        own_called = [p.name for p in ours if op_records._is_called(OPS[name], p.name)]
        own_made = {p.name for p in ours} - set(own_called)
        if "kwargs" in made ^ own_made:  # theirs or ours takes more, by name
            own_made = made = made & own_made
        module = op_records.module_of(name)
        if (own_called, own_made, module) != (called, made, cls.__module__):
            wrong.append((cls.__name__, called, made, own_called, own_made, module))
    assert not wrong


def names(function):
    return [
        p for p in inspect.signature(function).parameters if p not in ("self", "name")
    ]


def test_unknown_ops_and_arguments_are_refused():
    entry = {"module": "keras.src.ops.nn", "class_name": "Relv", "config": {}}
    with pytest.raises(carnyx.errors.UnknownNameError, match="Relu"):
        op_records.op_from_record(entry)
    entry["class_name"], entry["config"] = "Relu", {"slope": 2}
    with pytest.raises(carnyx.errors.GraphError, match="slope"):
        op_records.op_from_record(entry)(X)
