"""Result dtypes of `carnyx.ops.numpy` against Keras 3.15, by abstract tracing."""

import itertools

import jax
import keras
import numpy as np
import pytest

import carnyx.ops.numpy as ours
from carnyx import config
from carnyx.ops._dtypes import result_type, to_float

DTYPES = "bool uint8 int8 int32 uint32 bfloat16 float16 float32".split()
NUMBERS = [True, 2, 2.0]

UNARY = """absolute angle arccos arcsin arctan arctanh arccosh arcsinh average cbrt
ceil conjugate copy corrcoef cos cosh count_nonzero cumprod cumsum deg2rad
diff exp exp2 expm1 fabs floor imag isfinite isreal log log10 log1p log2
logical_not max mean median min nan_to_num nanmax nanmean nanmedian nanmin
nanprod nanstd nansum nanvar ones_like prod ptp rad2deg real reciprocal sign
signbit sin sinc sinh sort sqrt square std sum tan tanh trace trapezoid
trunc var vander nancumsum nancumprod argmax argsort round negative""".split()
VECTOR = ["vander"]
BINARY = """add append divide divide_no_nan dot equal floor_divide fmax fmin fmod gcd
heaviside hypot inner kron lcm logical_and matmul maximum minimum mod
multiply nextafter outer power quantile searchsorted subtract tensordot vdot
bitwise_and bitwise_left_shift isin isclose full_like linspace take""".split()
# Keras forgets here that a Python number is weak, but only outside of a graph.
FLOAT_BINARY = ["arctan2", "logaddexp", "logaddexp2"]


def outcome(function, *dtypes, shape=(3, 3)):
    """The dtypes that come out, or the kind of refusal."""
    arrays = [jax.ShapeDtypeStruct(shape, d) for d in dtypes if isinstance(d, str)]

    def call(*arrays):
        left = iter(arrays)
        return function(*(next(left) if isinstance(d, str) else d for d in dtypes))

    try:
        return [y.dtype.name for y in jax.tree.leaves(jax.eval_shape(call, *arrays))]
    except (TypeError, ValueError, AttributeError):
        return "refused"


@pytest.mark.parametrize("name", UNARY)
def test_of_one_input(name):
    mine, theirs = getattr(ours, name), getattr(keras.ops, name)
    shape = (3,) if name in VECTOR else (3, 3)
    for dtype in [*DTYPES, "complex64"]:
        expected = outcome(theirs, dtype, shape=shape)
        assert outcome(mine, dtype, shape=shape) == expected, dtype


@pytest.mark.parametrize("name", BINARY + FLOAT_BINARY)
def test_of_two_inputs(name):
    mine, theirs = getattr(ours, name), getattr(keras.ops, name)
    shape = (3,) if name in ("searchsorted", "quantile") else (3, 3)
    pairs = list(itertools.combinations_with_replacement(DTYPES, 2))
    if name not in FLOAT_BINARY:
        pairs += itertools.product(DTYPES, NUMBERS)
        pairs += itertools.product(NUMBERS, DTYPES)
    for pair in pairs:
        expected = outcome(theirs, *pair, shape=shape)
        assert outcome(mine, *pair, shape=shape) == expected, pair


@pytest.mark.parametrize("name", FLOAT_BINARY)
def test_a_python_number_is_weak_in_functions_that_make_floats(name):
    function = getattr(ours, name)
    assert outcome(function, "bfloat16", 2.0) == ["bfloat16"]
    assert outcome(function, 2, "float16") == ["float16"]
    assert outcome(function, "int32", 2) == ["float32"]


def test_wide_numpy_arrays_become_32_bits():
    x = np.arange(3)  # int64
    for name in ("add", "power", "true_divide", "maximum"):
        assert getattr(ours, name)(x, 2).dtype == getattr(keras.ops, name)(x, 2).dtype
    assert ours.sqrt(x).dtype == ours.exp(np.arange(3.0)).dtype == "float32"


def test_result_type_is_that_of_keras():
    # uint64 is not among them: JAX without 64 bits takes it for uint32 at once.
    types = [*DTYPES, "int64", "float64", "complex64", int, float, bool, None]
    for pair in itertools.combinations_with_replacement(types, 2):
        assert result_type(*pair) == keras.backend.result_type(*pair), pair
    assert result_type() == "float32"
    assert result_type(np.ones(2, "float16"), 2.5) == "float16"


def test_integers_become_floatx():
    config.set_floatx("bfloat16")
    try:
        assert to_float([1, 2]).dtype == result_type(int, float) == "bfloat16"
        for name in ("exp", "sqrt", "mean", "var", "std", "median", "arctan2"):
            function = getattr(ours, name)
            args = ([1, 2],) * (2 if name == "arctan2" else 1)
            assert function(*args).dtype == "bfloat16", name
        assert ours.zeros(2).dtype == ours.full((), 1).dtype == "bfloat16"
        assert ours.sqrt(np.ones(2, "float16")).dtype == "float16"
    finally:
        config.set_floatx("float32")
