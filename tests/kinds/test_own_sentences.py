"""Kind: an error of ours ends with a sentence of JAX.

Why it happened: what was given was told in our words, and what is wrong with it was
left to JAX, which names its primitives and functions that nobody called. The table is
of all ops whose values are tested: each of their arrays is given in wrong shapes.
"""

import inspect
import re

import jax
import numpy as np
import pytest

import carnyx
from carnyx.errors import CarnyxError
from tests.ops import test_core, test_image, test_linalg, test_math, test_nn
from tests.ops import test_numpy_values as test_numpy
from tests.ops.parity import find

L = carnyx.layers
HOMES = {test_linalg: "ops.linalg", test_image: "ops.image"}
JAXS = re.compile(
    r"dot_general|broadcast_in_dim|TypeError|\blax\b|\bjnp\b|pjit|[Tt]racer|static_arg"
    r"|contracting|dynamic_slice|select_n|Indexer|conv_general|concrete|abstract"
    r"|incompatible shapes for|unpack|iterable|\w\(\) (got|requires|missing)"
)


def rows():
    found = {}
    for module in (test_numpy, test_nn, test_math, test_linalg, test_image, test_core):
        for name, args, kwargs, *_ in module.ROWS:
            path = f"{HOMES.get(module, 'ops')}.{name}"
            found.setdefault(name, (path, args, kwargs))
    return found


ROWS = rows()
WRONG = {
    "one row more": lambda x: np.concatenate([x, x[:1]]) if x.ndim else x[None],
    "one column more": lambda x: np.append(x, x[..., :1], -1) if x.ndim else x[None],
    "another axis": lambda x: x[None],
    "no axis": lambda x: x.ravel()[0],
}


def calls(args, kwargs, fn):
    """The call with each array in wrong shapes, and with an axis that is not there."""
    flat, form = jax.tree.flatten(args)
    for i, x in enumerate(flat):
        for wrong in WRONG.values() if isinstance(x, np.ndarray) and x.size else ():
            now = [*flat[:i], wrong(x), *flat[i + 1 :]]
            yield jax.tree.unflatten(form, now), kwargs
    parameters = list(inspect.signature(fn).parameters)
    if "axis" in parameters[len(args) :]:
        yield args, {**kwargs, "axis": 7}


@pytest.mark.parametrize("name", ROWS)
def test_wrong_shapes_are_told_in_words_of_the_op(name):
    path, args, kwargs = ROWS[name]
    fn = find(carnyx, path)
    for given, options in calls(args, kwargs, fn):
        try:
            # of shapes alone: nothing is compiled or computed
            jax.eval_shape(lambda g=given, o=options: fn(*g, **o))
        except Exception as error:
            assert isinstance(error, CarnyxError), error
            assert not JAXS.search(str(error)), str(error)


LAYERS = {
    "Dense": (lambda: L.Dense(2), (3, 4), (3, 5)),
    "Conv1D": (lambda: L.Conv1D(2, 3), (3, 5, 4), (3, 5, 3)),
    "Conv2D": (lambda: L.Conv2D(2, 3), (3, 5, 5, 4), (3, 2, 2, 4)),
    "MaxPooling1D": (lambda: L.MaxPooling1D(2), (3, 4, 2), (3, 1, 2)),
    "LSTM": (lambda: L.LSTM(2), (3, 4, 2), (3, 4, 3)),
    "LayerNormalization": (L.LayerNormalization, (3, 4), (3, 5)),
    "BatchNormalization": (L.BatchNormalization, (3, 4), (3, 5)),
    "Reshape": (lambda: L.Reshape((2, 2)), (3, 4), (3, 5)),
    "Permute": (lambda: L.Permute((2, 1)), (3, 4, 2), (3, 4)),
    "Cropping1D": (lambda: L.Cropping1D(1), (3, 4, 2), (3, 1, 2)),
    "user": (lambda: User(), (3, 4), (3, 5)),
}


class User(L.Layer):
    def call(self, x):
        return x @ np.ones((4, 4), "float32")


@pytest.mark.parametrize("name", LAYERS)
def test_wrong_shapes_are_told_in_words_of_the_layer(name):
    make, right, wrong = LAYERS[name]
    layer = make()
    layer(np.ones(right, "float32"))
    with pytest.raises(ValueError, match=layer.name) as caught:
        layer(np.ones(wrong, "float32"))
    assert isinstance(caught.value, CarnyxError)
    assert not JAXS.search(str(caught.value))


def test_random_layers_in_a_loop_say_so():
    class Loop(L.Layer):
        def __init__(self):
            super().__init__()
            self.drop = L.Dropout(0.5)

        def call(self, x):
            return carnyx.ops.map(lambda row: self.drop(row, training=True), x)

    model = carnyx.Sequential([carnyx.Input((3,)), Loop()])
    with pytest.raises(ValueError, match="every turn would give the same numbers"):
        model.predict(np.ones((2, 3)), verbose=0)
    one, other = (np.array(carnyx.random.normal((3,))) for _ in range(2))
    assert (one != other).all()  # the generator of all is as it was
