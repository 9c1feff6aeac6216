"""Quantizers against Keras: values, gradients, packed bytes, configs, refusals."""

import jax
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import carnyx as keras
from carnyx import quantizers

rng = np.random.default_rng(0)
X = rng.normal(size=(7, 6)).astype("float32")
CUBE = rng.normal(size=(2, 3, 5)).astype("float32")


def same(ours, theirs, tolerance=1e-6):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert str(a.dtype) == str(b.dtype)
        np.testing.assert_allclose(
            np.asarray(a, "float64"), np.asarray(b, "float64"), tolerance, tolerance
        )


@pytest.mark.parametrize("to_numpy", [False, True])
@pytest.mark.parametrize("name, args, kwargs", [
    ("abs_max_quantize", (X, -1), {}),
    ("abs_max_quantize", (X, 0), {"value_range": (-7, 7)}),
    ("abs_max_quantize", (CUBE, (0, 2)), {"epsilon": 0.1}),
    ("abs_max_quantize", (0 * X, 0), {}),
    ("abs_max_quantize_grouped_with_zero_point", (X, 2), {}),
    ("abs_max_quantize_grouped_with_zero_point", (X, 7), {}),
    ("abs_max_quantize_grouped_with_zero_point", (X + 9, 3),
     {"value_range": (-128, 127)}),
])  # fmt: skip
def test_integers(name, args, kwargs, to_numpy, keras_oracle):
    theirs = getattr(keras_oracle.quantizers, name)(*args, **kwargs, to_numpy=to_numpy)
    same(getattr(quantizers, name)(*args, **kwargs, to_numpy=to_numpy), theirs)


def test_a_block_of_one_number_stays_near_it():
    x = np.full((4, 2), 0.7, "float32")
    q, scale, zero = quantizers.abs_max_quantize_grouped_with_zero_point(x, 2)
    back = (np.asarray(q, "f").reshape(2, 2, 2) - zero[:, None]) * scale[:, None]
    np.testing.assert_allclose(back.reshape(4, 2), x, atol=0.07)


@settings(max_examples=40, deadline=None)
@given(
    x=hnp.arrays("int8", hnp.array_shapes(min_dims=1, max_dims=3, max_side=5),
                 elements=st.integers(-8, 7)),
    axis=st.integers(-1, 0), unsigned=st.booleans(),
)  # fmt: skip
def test_packed_and_unpacked_is_the_same(x, axis, unsigned):
    dtype = "uint8" if unsigned else "int8"
    x = (x + 8 * unsigned).astype(dtype)
    packed, shape, length = quantizers.pack_int4(x, axis, dtype)
    assert packed.shape == shape and length == x.shape[axis]
    assert packed.size <= x.size * 5 // 8 + x.size // x.shape[axis]
    np.testing.assert_array_equal(
        quantizers.unpack_int4(packed, length, axis, dtype), x
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_packed_bytes_are_those_of_keras(dtype, keras_oracle):
    x = rng.integers(-8, 8, (5, 3)).astype("int8") + 8 * (dtype == "uint8")
    x = x.astype(dtype)
    for axis in (0, 1, -1):
        ours = quantizers.pack_int4(x, axis, dtype)
        theirs = keras_oracle.quantizers.pack_int4(x, axis, dtype)
        assert ours[1:] == theirs[1:]
        same(ours[0], theirs[0])


FAKE = [
    (X, -1.0, 1.5, {}), (X, 0.5, 1.5, {"num_bits": 4}),
    (X, -2.0, -0.5, {"narrow_range": True}),
    (X, -np.ones(6, "float32"), np.linspace(0.5, 2, 6, dtype="float32"), {"axis": 1}),
]  # fmt: skip


@pytest.mark.parametrize("row", range(len(FAKE)))
def test_values_and_gradients_of_fake_quantization(row, keras_oracle):
    x, low, high, options = FAKE[row]
    low, high = np.float32(low), np.float32(high)
    upstream = rng.normal(size=x.shape).astype("float32")

    def both(library):
        fake = library.quantizers.fake_quant_with_min_max_vars
        return jax.vjp(lambda *a: fake(*a, **options), x, low, high)

    (ours, back), (theirs, their_back) = both(keras), both(keras_oracle)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    for a, b in zip(back(upstream), their_back(upstream)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    jitted = jax.jit(
        lambda *a: keras.quantizers.fake_quant_with_min_max_vars(*a, **options)
    )
    np.testing.assert_allclose(jitted(x, low, high), ours, rtol=1e-5, atol=1e-6)


def test_fake_quantization_by_the_first_axis():
    """Keras on JAX cannot: it broadcasts the ends along the last one."""
    low, high = -np.ones(7, "float32"), np.linspace(1, 2, 7, dtype="float32")
    fake = quantizers.fake_quant_with_min_max_vars
    ours = fake(X, low, high, 3, axis=0)
    np.testing.assert_allclose(ours, fake(X.T, low, high, 3, axis=1).T, rtol=1e-6)


def test_fake_quantization_of_symbols():
    out = quantizers.fake_quant_with_min_max_vars(keras.Input((4,)), -1.0, 1.0)
    assert out.shape == (None, 4) and out.dtype == "float32"


def test_float8(keras_oracle):
    ours, theirs = quantizers, keras_oracle.quantizers
    for name in ("float8_e4m3fn", "float8_e5m2"):
        args = X, np.float32(0.3), name, "float32"
        same(ours.quantize_and_dequantize(*args), theirs.quantize_and_dequantize(*args))
    most = float(ml_dtypes.finfo("float8_e4m3fn").max)
    for amax in (0.0, 3.0, np.inf, np.nan):
        args = np.float32(amax), np.float32(2.0), most, 1
        np.testing.assert_allclose(
            ours.compute_float8_scale(*args), theirs.compute_float8_scale(*args), 1e-6
        )
    history = np.arange(4, dtype="float32")
    same(ours.compute_float8_amax_history(X, history),
         theirs.compute_float8_amax_history(X, history))  # fmt: skip


@pytest.mark.parametrize("arguments", [
    {}, {"axis": 0}, {"axis": (0, 1), "epsilon": 0.5}, {"value_range": (-7, 7)},
])  # fmt: skip
def test_objects_and_configs(arguments, keras_oracle):
    ours = quantizers.AbsMaxQuantizer(**arguments)
    theirs = keras_oracle.quantizers.AbsMaxQuantizer(**arguments)
    same(ours(X), theirs(X))
    same(ours(X, axis=1), theirs(X, axis=1))
    config = theirs.get_config()
    assert {k: ours.get_config()[k] for k in config} == config
    again = quantizers.deserialize(quantizers.serialize(ours))
    assert again.get_config() == ours.get_config()
    assert quantizers.get(ours) is ours and quantizers.get(None) is None


@pytest.mark.parametrize("call, words", [
    (lambda: quantizers.AbsMaxQuantizer(value_range=(-200, 0)), r"\[-128, 127\]"),
    (lambda: quantizers.get("abs_max_quantiser"), "Did you mean 'abs_max_quantizer'"),
    (lambda: quantizers.pack_int4(np.ones(2, "int8"), dtype="int4"), "or 'uint8'"),
    (lambda: quantizers.pack_int4(np.ones(2, "int32")), "got int32"),
    (lambda: quantizers.abs_max_quantize_grouped_with_zero_point(X, 0), "block_size"),
    (lambda: quantizers.abs_max_quantize_grouped_with_zero_point(X[0], 2), "rows"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()
