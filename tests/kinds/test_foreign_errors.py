"""Kind: an error of JAX reaches who called an op or a layer.

JAX raises TypeError, IndexError or classes of its own, which know nothing of the op,
the layer or unknown sizes. Inference took a TypeError of JAX for one of ours, so its
text came out with trial sizes that nobody wrote.
"""

import jax.numpy as jnp
import numpy as np
import pytest

import carnyx as keras
from carnyx import ops

ONES = np.ones((2, 3), "float32")


def symbol(*shape):
    return keras.KerasTensor(shape)


WRONG = {
    "add": lambda: keras.Input((4,)) + keras.Input((3,)),
    "matmul": lambda: ops.matmul(keras.Input((4,)), symbol(3, 2)),
    "dot": lambda: ops.dot(ONES, ONES),
    "inner": lambda: ops.inner(ONES, np.ones(4)),
    "cross": lambda: ops.cross(np.ones(4), np.ones(4)),
    "swapaxes": lambda: ops.swapaxes(symbol(3, 4), 5, 0),
    "transpose": lambda: ops.transpose(symbol(None, 4), (0,)),
    "split": lambda: ops.split(ONES, 2, axis=1),
    "diagonal": lambda: ops.diagonal(ONES, axis1=1, axis2=1),
    "unstack": lambda: ops.unstack(symbol(None, 3)),
    "batch_normalization": lambda: ops.batch_normalization(
        symbol(None, 4), np.ones(3), np.ones(3), -1
    ),
    "get_item": lambda: keras.Input((5, 3))[:, 5],
}


@pytest.mark.parametrize("name", WRONG)
def test_an_op_says_what_it_got(name):
    with pytest.raises(ValueError, match=rf"^{name} ") as caught:
        WRONG[name]()
    assert isinstance(caught.value, keras.errors.CarnyxError)
    text = str(caught.value) + str(getattr(caught.value, "__notes__", ""))
    for word in ("unknown_size", "_DimExpr", "TRACEBACK", "240", "(12", "(24"):
        assert word not in text


def test_shapes_have_none_for_what_is_unknown():
    with pytest.raises(
        ValueError, match=r"x1 float32 \(None, 4\), x2 float32 \(None, 3"
    ):
        WRONG["add"]()


class Product(keras.layers.Layer):
    def call(self, x):
        return jnp.matmul(x, np.ones((4, 4), "float32"))


class Choice(keras.layers.Layer):
    def call(self, x):
        return x if ops.max(x) > 0 else -x


@pytest.mark.parametrize("x", [keras.KerasTensor((None, 8)), np.ones((2, 8))], ids=str)
def test_a_layer_says_what_it_got(x):
    with pytest.raises(ValueError, match=r"Product 'p' got x float32 \(\w+, 8\)"):
        Product(name="p")(x)


def test_a_choice_by_values_has_a_way_out():
    with pytest.raises(ValueError, match=r"ops\.where or ops\.cond"):
        Choice()(keras.Input((8,)))


def test_functions_of_jax_have_their_counterpart():
    with pytest.raises(ValueError, match="keras.ops.exp for jnp.exp"):
        jnp.exp(keras.Input((8,)))


def test_dtypes_that_do_not_fit_stay_type_errors():
    with pytest.raises(TypeError, match="bitwise_and got x float32 .* dtypes"):
        ops.bitwise_and(ONES, ONES)


def test_a_missing_argument_stays_a_type_error():
    with pytest.raises(TypeError, match="x2"):
        ops.add(ONES)


def test_what_fails_for_all_sizes_is_found_out_once():
    class Inner(keras.layers.Layer):
        def call(self, x):
            calls.append(1)
            return x @ np.ones((4, 4), "float32")

    class Outer(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Inner(name="inner")

        def call(self, x):
            outer.append(1)
            return self.inner(x)

    calls, outer = [], []
    with pytest.raises(ValueError, match="inner' got x"):
        Outer()(keras.Input((None, 8)))
    assert len(outer) == 1 and len(calls) < 100
