"""Ops that Keras 3.15 does not have yet, against NumPy, SciPy and JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import carnyx as keras
from carnyx import ops

rng = np.random.default_rng(0)
A, B = rng.normal(size=(2, 3, 4)).astype("float32")
SQUARE = rng.normal(size=(2, 3, 3)).astype("float32")


def close(ours, theirs, rtol=1e-5):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol, 1e-6)


@pytest.mark.parametrize("name, args, kwargs", [
    ("column_stack", ([A[0], B[0]],), {}),
    ("column_stack", ([A, B, A[:, 0]],), {}),
    ("copysign", (A, B), {}),
    ("copysign", (3, np.array([-0.0, 0.0, -2.0], "float32")), {}),
    ("float_power", (np.array([2, 3]), np.array([-1, -2])), {}),
    ("float_power", (np.abs(A), B), {}),
    ("cov", (A,), {}),
    ("cov", (A, B), {}),
    ("cov", (A,), {"rowvar": False, "bias": True}),
    ("cov", (A[0],), {"ddof": 0}),
])  # fmt: skip
def test_as_numpy(name, args, kwargs):
    ours = getattr(ops, name)(*args, **kwargs)
    close(ours, getattr(np, name)(*args, **kwargs))
    close(jax.jit(lambda a: getattr(ops, name)(*a, **kwargs))(args), ours)


@pytest.mark.parametrize("n", [-3, -1, 0, 1, 2, 5])
def test_matrix_power(n):
    close(ops.linalg.matrix_power(SQUARE, n), np.linalg.matrix_power(SQUARE, n), 1e-3)


def test_special_functions_have_the_values_of_their_definitions():
    close(ops.lgamma(np.array([1, 2, 5])), [0, 0, np.log(24)])
    x = np.array([0.5, 1.0, 3.0], "float32")
    close(ops.gammainc(2, x), 1 - (1 + x) * np.exp(-x))
    slope = jax.vmap(jax.grad(ops.gammainc, 1), (None, 0))(2.0, x)
    close(slope, x * np.exp(-x))


SYMBOLIC = [
    ("copysign", [(None, 4), (4,)], (None, 4)),
    ("float_power", [(None, 4), (4,)], (None, 4)),
    ("gammainc", [(None, 4), (4,)], (None, 4)),
    ("lgamma", [(None, 4)], (None, 4)),
    ("cov", [(4, None)], (4, 4)),
]


@pytest.mark.parametrize("name, shapes, expected", SYMBOLIC)
def test_symbolic_shapes(name, shapes, expected):
    tensors = [keras.KerasTensor(s, "int32") for s in shapes]
    out = getattr(ops, name)(*tensors)
    assert out.shape == expected and out.dtype == "float32"


def test_stacked_columns_of_unknown_length():
    columns = [keras.KerasTensor((None,)), keras.KerasTensor((None, 2))]
    assert ops.column_stack(columns).shape == (None, 3)


def test_grad_of_one_argument_of_several_and_of_structures():
    close(ops.grad(lambda x: ops.sin(x))(0.0), 1.0)
    both = ops.grad(lambda x, y: x * y, argnums=(0, -1))(3, 5.0)
    assert isinstance(both, tuple) and [float(g) for g in both] == [5, 3]
    by_name = ops.grad(lambda p, x: ops.matmul(x, p["w"]) + p["b"])
    gradient = by_name({"w": np.ones(3, "float32"), "b": np.float32(0)}, A[:, :3])
    close(gradient["w"], A[:, :3].sum(0))
    close(gradient["b"], len(A))


def test_grad_of_grad_and_of_a_layer():
    close(ops.grad(ops.grad(lambda x: x**3))(2.0), 12.0)
    layer = keras.layers.Dense(2)
    close(ops.grad(layer)(A), np.asarray(layer.kernel).sum(1) * np.ones_like(A))


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(3, 7)] * 2), size=st.integers(1, 3),
    batched=st.booleans(), first=st.booleans(), strides=st.integers(1, 3),
    padding=st.sampled_from(["valid", "same"]),
    reduction=st.sampled_from(["mean", "sum"]),
)  # fmt: skip
def test_reconstructed_patches_are_the_image_wherever_patches_were(
    shape, size, batched, first, padding, strides, reduction
):
    format = "channels_first" if first else "channels_last"
    image = rng.normal(size=(2, 3, *shape) if first else (2, *shape, 3))
    image = image.astype("float32")[slice(None) if batched else 0]

    def there_and_back(x, reduction):
        patches = ops.image.extract_patches(x, size, strides, 1, padding, format)
        return ops.image.reconstruct_patches(
            patches, size, shape, strides, padding, format, reduction
        )

    count = there_and_back(np.ones_like(image), "sum")
    expected = image * (count if reduction == "sum" else np.minimum(count, 1))
    close(there_and_back(image, reduction), expected, 1e-4)


def test_reconstruction_of_volumes_and_of_dilated_patches():
    volume = rng.normal(size=(1, 4, 4, 6, 2)).astype("float32")
    patches = ops.image.extract_patches(volume, (2, 2, 3))
    close(ops.image.reconstruct_patches(patches, (2, 2, 3)), volume)
    image = rng.normal(size=(1, 6, 6, 2)).astype("float32")
    patches = ops.image.extract_patches(image, 2, strides=1, dilation_rate=2)
    back = ops.image.reconstruct_patches(patches, 2, strides=1, dilation_rate=2)
    close(back, image)


@pytest.mark.parametrize("arguments, words", [
    (dict(size=2, padding="same"), "Give output_size"),
    (dict(size=2, reduction="max"), "'mean' or 'sum'"),
    (dict(size=5), "a multiple of 25 values"),
    (dict(size=2, output_size=9), "has patches of shape"),
    (dict(size=(2,)), "rank"),
])  # fmt: skip
def test_reconstruction_refuses_what_does_not_fit(arguments, words):
    with pytest.raises(ValueError, match=words):
        ops.image.reconstruct_patches(np.ones((1, 2, 2, 12), "float32"), **arguments)


def test_matrix_power_wants_an_integer():
    with pytest.raises(ValueError, match=r"n got 0\.5; expected an integer"):
        ops.linalg.matrix_power(jnp.eye(2), 0.5)
