"""Values, gradients and static shapes of `carnyx.ops.nn` against Keras 3.15 on JAX."""

import jax
import jax.numpy as jnp
import jax.test_util
import keras
import numpy as np
import pytest

import carnyx.ops.nn as ours
from carnyx import ops
from carnyx._core.scope import scoped
from carnyx._core.symbol import KerasTensor
from tests.ops.parity import check_symbolic, find, outputs, same

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.normal(size=shape).astype("float32")


X = normal(3, 4)
T = normal(2, 3, 4)
P = rng.uniform(0.1, 0.9, (3, 4)).astype("float32")
Q = (P / P.sum(-1, keepdims=True)).astype("float32")
BINARY = rng.integers(0, 2, (3, 4)).astype("float32")
N = np.array([0, 3, 1], "int32")
NEAR = np.array([[-1.0, 0.0, 1.0, 0.5, -0.5, 3.0, -3.0, 6.5]], "float32") + 1e-3
SEQ, IMG, VOL = normal(9, 9, 4), normal(9, 8, 7, 4), normal(9, 5, 6, 4, 2)
IMG1 = normal(9, 4, 8, 7)
TIES = np.zeros((1, 4, 4, 2), "float32")
TIES[0, 1, 1], TIES[0, 2, 0, 0] = 1, np.nan
HEADS = [normal(2, 5, 4, 8), normal(2, 6, 4, 8), normal(2, 6, 4, 8)]
GROUPED = [HEADS[0], normal(2, 6, 2, 8), normal(2, 6, 2, 8)]
MASK = rng.uniform(size=(2, 1, 5, 6)) > 0.4
MASK[..., 0] = True
LOGITS, LABELS = normal(3, 7, 5), np.array([[1, 2, 2], [3, 1, 4], [2, 1, 0]], "int32")
LENGTHS, FRAMES = np.array([3, 2, 0], "int32"), np.array([7, 5, 4], "int32")
FIRST = dict(data_format="channels_first")

ELEMENTWISE = """relu relu6 sigmoid sparse_sigmoid softplus softsign soft_shrink
sparse_plus silu swish squareplus log_sigmoid leaky_relu hard_sigmoid hard_silu
hard_swish elu selu gelu celu tanh_shrink hard_tanh hard_shrink""".split()

ROWS = [
    *[(name, (NEAR,), {}) for name in ELEMENTWISE],
    *[(n, (X,), {}) for n in "glu softmax log_softmax normalize".split()],
    *[(n, (T,), dict(axis=1)) for n in "softmax log_softmax".split()],
    *[(n, (T,), dict(axis=(0, 2))) for n in "softmax log_softmax".split()],
    *[(n, (T,), dict(axis=None)) for n in "softmax log_softmax".split()],
    ("soft_shrink", (NEAR, 1.2), {}),
    ("hard_shrink", (NEAR, 1.2), {}),
    ("threshold", (NEAR, 0.4, -7.0), {}),
    ("squareplus", (NEAR, 2), {}),
    ("leaky_relu", (NEAR, 0.4), {}),
    ("elu", (NEAR, 0.4), {}),
    ("celu", (NEAR, 0.4), {}),
    ("gelu", (NEAR,), dict(approximate=False)),
    ("glu", (T,), dict(axis=2)),
    ("moments", (T,), dict(axes=[0, 1])),
    ("moments", (T,), dict(axes=(-1,), keepdims=True)),
    ("batch_normalization", (T, X[0], Q[0] + 1, 2), dict(offset=X[1], scale=X[2])),
    ("batch_normalization", (T, Q[0, :3], Q[1, :3], 1), dict(epsilon=0.1)),
    ("layer_normalization", (T, X[0], X[1]), {}),
    ("layer_normalization", (T, normal(3, 4), normal(3, 4)), dict(axis=(1, 2))),
    ("layer_normalization", (T, normal(3)), dict(axis=1, epsilon=0.1)),
    ("rms_normalization", (T, X[0]), {}),
    ("rms_normalization", (T,), dict(axis=(0, 2), epsilon=0.1)),
    ("normalize", (T,), dict(axis=(0, 1))),
    ("normalize", (T,), dict(axis=1, order=3)),
    ("normalize", (X,), dict(order=1)),
    ("one_hot", (N, 4), {}),
    ("one_hot", (np.array([[0, -1], [5, 1]]), 4), dict(axis=1, dtype="int32")),
    ("multi_hot", (np.array([[0, 2, 2], [1, 1, -1]]), 4), {}),
    ("multi_hot", (N, 5), dict(dtype="bool")),
    *[("categorical_crossentropy", (Q, t, b), {}) for t, b in ((P, False), (X, True))],
    ("categorical_crossentropy", (Q, X, True), dict(axis=0)),
    *[("binary_crossentropy", (BINARY, t, b), {}) for t, b in ((P, False), (X, True))],
    *[
        ("sparse_categorical_crossentropy", (n, t, b), {})
        for n in (N, N[:, None], np.array([-1, 2, 9]))
        for t, b in ((P, False), (X, True))
    ],
    ("psnr", (X, X + 0.1, 2.0), {}),
    ("polar", (P, X), {}),
    ("ctc_loss", (LABELS, LOGITS, LENGTHS, FRAMES), {}),
    ("ctc_loss", (LABELS - 1, LOGITS, np.array([2, 2, 1]), FRAMES), dict(mask_index=4)),
    ("ctc_decode", (LOGITS, FRAMES), {}),
    ("ctc_decode", (LOGITS, FRAMES), dict(merge_repeated=False, mask_index=4)),
    *[
        ("ctc_decode", (LOGITS, FRAMES, "beam_search", w, paths), dict(mask_index=m))
        for w, paths, m in ((8, 3, 0), (2, 2, 4))
    ],
    # pooling: windows side by side, with a rest, overlapping, apart, padded
    *[
        (name, (x, size), dict(strides=strides, padding=padding))
        for name in ("max_pool", "average_pool")
        for x, size, strides, padding in (
            (SEQ, 2, 2, "same"), (IMG, 2, 2, "valid"), (IMG, 2, 2, "same"),
            (IMG, 3, 2, "valid"), (IMG, (2, 3), 1, "same"), (IMG, 2, 3, "valid"),
            (VOL, (2, 3, 2), (2, 3, 2), "valid"), (VOL, 2, 1, "same"),
        )
    ],
    ("max_pool", (IMG1, (2, 3), 2, "same"), FIRST),
    ("max_pool", (IMG1, 2, 2), FIRST),
    ("average_pool", (IMG1, (2, 3), (2, 3)), FIRST),
    ("max_pool", (TIES, 2, 2), {}),
    *[
        (f"adaptive_{kind}_pool", args, {})
        for kind in ("max", "average")
        for args in ((SEQ, 4), (IMG, (3, 5)), (VOL, (2, 4, 3)))
    ],
    ("adaptive_average_pool", (IMG1, (3, 2)), FIRST),
    # convolution: plain, strided, dilated, pointwise, grouped
    *[
        ("conv", (x, kernel), dict(strides=s, padding=padding, dilation_rate=d))
        for x, kernel, s, d, padding in (
            (SEQ, normal(3, 4, 5), 2, 1, "same"), (SEQ, normal(3, 4, 5), 1, 2, "valid"),
            (IMG, normal(3, 2, 4, 5), (2, 1), 1, "same"),
            (IMG, normal(1, 1, 4, 5), 2, 1, "same"),
            (IMG, normal(3, 3, 2, 6), 1, 2, "valid"),
            (IMG, normal(3, 3, 1, 8), 2, 1, "same"),
            (VOL, normal(2, 3, 1, 2, 3), 1, 1, "valid"),
        )
    ],
    ("conv", (IMG1, normal(3, 3, 4, 5)), FIRST),
    ("conv", (IMG1, normal(3, 3, 2, 6)), dict(padding="same", **FIRST)),
    ("conv", (IMG1, normal(1, 1, 4, 5)), dict(strides=2, **FIRST)),
    *[
        ("depthwise_conv", (x, kernel), dict(strides=s, padding=padding))
        for x, kernel, s, padding in (
            (SEQ, normal(3, 4, 2), 2, "same"), (IMG, normal(3, 3, 4, 1), 1, "same"),
            (IMG, normal(3, 2, 4, 3), 2, "valid"), (IMG, normal(2, 2, 4, 1), 3, "same"),
        )
    ],
    ("depthwise_conv", (IMG, normal(3, 3, 4, 2)), dict(dilation_rate=2)),
    ("depthwise_conv", (IMG1, normal(3, 3, 4, 2)), dict(strides=2, **FIRST)),
    ("separable_conv", (IMG, normal(3, 3, 4, 2), normal(1, 1, 8, 3)), {}),
    *[
        ("conv_transpose", (x, k), dict(strides=s, padding=p, output_padding=o))
        for x, k, p, s, o in (
            (SEQ, normal(3, 5, 4), "same", 3, 1), (SEQ, normal(3, 5, 4), "valid", 1, None),  # noqa: E501
            (IMG, normal(2, 3, 5, 4), "valid", 2, None),
            (IMG, normal(2, 3, 5, 4), "same", 2, None),
            (IMG, normal(2, 3, 5, 4), "same", 3, 1),
        )
    ],
    ("conv_transpose", (IMG, normal(3, 3, 5, 4)), dict(dilation_rate=2)),
    ("conv_transpose", (IMG1, normal(3, 3, 5, 4)), dict(strides=2, **FIRST)),
    ("dot_product_attention", (*HEADS,), {}),
    ("dot_product_attention", (*HEADS,), dict(scale=0.3, is_causal=True)),
    ("dot_product_attention", (*HEADS, normal(1, 4, 5, 6)), dict(mask=MASK)),
    ("dot_product_attention", (*HEADS,), dict(mask=MASK, is_causal=True)),
    ("dot_product_attention", (*GROUPED,), dict(mask=MASK)),
    ("unfold", (IMG1, 2), {}),
    ("unfold", (IMG1, (3, 2)), dict(dilation=2, padding=(1, 2), stride=(1, 2))),
    ("fold", (normal(2, 12, 9), (7, 8), (3, 4)), dict(dilation=(2, 1), stride=(1, 2))),
    ("fold", (normal(2, 12, 12), (6, 8), (2, 2)), dict(stride=2)),
    ("fold", (normal(2, 12, 20), (6, 8), (2, 2)), dict(stride=2, padding=1)),
    ("depth_to_space", (IMG, 2), {}),
    ("depth_to_space", (IMG1, 2), FIRST),
    ("space_to_depth", (IMG[:, :, :6], 2), {}),
    ("space_to_depth", (IMG1[:, :, :, :6], 2), FIRST),
]  # fmt: skip
UNEVEN = {"ctc_decode"}  # no gradient
FAST = {"conv", "depthwise_conv", "max_pool"}  # with rules for a training step


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_values_dtypes_and_gradients_are_those_of_keras(row):
    name, args, kwargs = row
    mine, theirs = getattr(ours, name), find(keras.ops.nn, name)
    gradient = name not in UNEVEN and args[0] is not TIES
    expected = outputs(theirs, args, kwargs, gradient)
    for fast in (False, True) if name in FAST else (False,):
        with scoped(fast_gradients=fast):
            out, gradients = outputs(mine, args, kwargs, gradient)
        same(out, expected[0])
        same(gradients, expected[1], 2e-4)


# How many of the first arguments have a batch.
BATCHES = dict.fromkeys(["categorical_crossentropy", "binary_crossentropy"], 2)
BATCHES["dot_product_attention"] = 3
# Keras does not infer these, or loses the dtype.
UNKNOWN = {"polar", "ctc_loss", "ctc_decode", "psnr"}
# Keras infers a wrong shape (adaptive pooling), or fails (groups, the axis of classes).
ALONE = {"adaptive_max_pool", "adaptive_average_pool", "conv"}
SYMBOLIC = {
    (name, args[0].ndim, str(kwargs), args[1:2] and np.ndim(args[1])): row
    for row in ROWS
    for name, args, kwargs in [row]
    if name not in UNKNOWN and args[0].dtype == "float32" and "mask" not in kwargs
    if kwargs != {"axis": 0}
}


@pytest.mark.parametrize("row", SYMBOLIC.values(), ids=lambda row: row[0])
def test_static_shapes_of_an_unknown_batch_are_those_of_keras(row):
    name, args, kwargs = row
    op = getattr(ours, name)
    if name in ALONE:
        static = op(KerasTensor((None, *args[0].shape[1:])), *args[1:], **kwargs)
        assert static.shape == (None, *op(*args, **kwargs).shape[1:])
        return
    theirs, count = find(keras.ops.nn, name), BATCHES.get(name, 1)
    check_symbolic(op, theirs, args, kwargs, count)


def test_every_unknown_size_may_be_open():
    image = KerasTensor((None, None, None, 4))
    assert ours.conv(image, normal(3, 3, 4, 5)).shape == (None, None, None, 5)
    assert ours.depthwise_conv(image, normal(3, 3, 4, 2), 2, "same").shape[-1] == 8
    assert ours.max_pool(image, 2).shape == (None, None, None, 4)
    assert ours.average_pool(image, 3, 2, "same").shape == (None, None, None, 4)
    sequence = KerasTensor((None, None, 4, 8))
    assert ours.dot_product_attention(*[sequence] * 3).shape == (None, None, 4, 8)


# --- what Keras does otherwise, and what a table of calls does not show ---------------


@pytest.mark.parametrize("axis", [-1, 0])
def test_sparsemax_is_the_projection_on_the_simplex(axis):
    # Keras 3.15's does not sum to 1. The projection p of z: p = max(z - tau, 0).
    p = np.moveaxis(np.asarray(ours.sparsemax(3 * X, axis)), axis, -1)
    z = np.moveaxis(3 * X, axis, -1)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-5)
    for row, point in zip(z, p, strict=True):
        (tau,) = np.unique(np.round((row - point)[point > 0], 4))
        np.testing.assert_allclose(point, np.maximum(row - tau, 0), atol=1e-4)
    assert (p == 0).any()


def test_strides_of_pools_are_their_size_if_none_are_given():
    # Keras 3.15 on JAX fails here.
    same(ours.max_pool(IMG, 2), ours.max_pool(IMG, 2, 2))
    same(
        ours.average_pool(IMG1, (2, 3), **FIRST),
        ours.average_pool(IMG1, (2, 3), (2, 3), **FIRST),
    )  # noqa: E501


def test_the_gradient_of_a_maximum_goes_to_the_first_of_equals():
    x = jnp.zeros((1, 2, 4, 1))
    for fast in (False, True):
        with scoped(fast_gradients=fast):
            g = jax.grad(lambda x: ours.max_pool(x, 2).sum())(x)
            over = jax.grad(lambda x: ours.max_pool(x, 2, 1).sum())(x)
        np.testing.assert_array_equal(g[0, :, :, 0], [[1, 0, 1, 0], [0, 0, 0, 0]])
        np.testing.assert_array_equal(over[0, :, :, 0], [[1, 1, 1, 0], [0, 0, 0, 0]])


def test_crossentropy_of_classes_on_an_inner_axis():
    labels = rng.integers(0, 3, (2, 4))
    loss = ours.sparse_categorical_crossentropy(labels, T, True, axis=1)
    moved = ours.sparse_categorical_crossentropy(labels, np.moveaxis(T, 1, -1), True)
    same(loss, moved)


def test_normalize_has_a_finite_gradient_at_zero():
    g = jax.grad(lambda x: ours.normalize(x).sum())(jnp.zeros(3))
    assert np.isfinite(g).all()


def test_attention_without_a_key_to_look_at_is_finite():
    out = ours.dot_product_attention(*HEADS, mask=np.zeros((1, 1, 1, 6), bool))
    np.testing.assert_allclose(out[0, 0], HEADS[2][0].mean(0), rtol=1e-4, atol=1e-5)


def test_half_precision_normalisation_counts_in_float32():
    x = jnp.full((4, 4096), 300.0, "float16").at[:, ::2].set(-300)
    assert ours.rms_normalization(x).dtype == "float16"
    np.testing.assert_allclose(jnp.abs(ours.layer_normalization(x)), 1, rtol=1e-3)
    assert (
        np.isfinite(ours.moments(x, [0, 1])[1]) and ours.normalize(x).dtype == x.dtype
    )


# --- custom rules: derivatives by finite differences, of both orders -----------------

RULES = [
    ("chunks", lambda x, k: ours.conv(x, k, 2, "same"), (12, 5, 4, 2), (3, 3, 2, 3)),
    ("groups", lambda x, k: ours.conv(x, k), (12, 4, 5, 4), (2, 2, 2, 4)),
    ("depthwise", lambda x, k: ours.depthwise_conv(x, k, 2, "same"), (2, 5, 4, 3), (3, 2, 3, 2)),  # noqa: E501
    ("dilated", lambda x, k: ours.depthwise_conv(x, k, dilation_rate=2), (2, 7, 2), (3, 2, 1)),  # noqa: E501
    ("side by side", lambda x, k: ours.max_pool(x, 2) * k, (2, 5, 4, 3), (3,)),
    ("overlapping", lambda x, k: ours.max_pool(x, 3, 2, "same") * k, (2, 5, 4, 3), (3,)),  # noqa: E501
    ("gelu", lambda x, k: ours.gelu(x, False) * k, (3, 4), (4,)),
    ("layer norm", lambda x, k: ours.layer_normalization(x, k), (2, 3, 5), (5,)),
    ("over two axes", lambda x, k: ours.layer_normalization(x, axis=(1, 2)) * k, (2, 3, 5), (5,)),  # noqa: E501
    ("attention", lambda x, k: ours.dot_product_attention(x, k, x + k), (2, 3, 2, 4), (2, 3, 2, 4)),  # noqa: E501
    ("causal", lambda x, k: ours.dot_product_attention(x, k, k, is_causal=True), (2, 3, 2, 4), (2, 3, 1, 4)),  # noqa: E501
    ("tall", ops.matmul, (2, 3, 6), (6, 2)),
    ("projection", lambda x, k: ops.einsum("...nh,nhd->...d", x, k), (2, 3, 2, 4), (2, 4, 2)),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize("row", RULES, ids=lambda row: row[0])
def test_custom_gradients_are_right_to_the_second_order(row):
    _, f, *shapes = row
    args = [jnp.asarray(normal(*shape)) for shape in shapes]
    with scoped(fast_gradients=True):
        jax.test_util.check_grads(jax.jit(f), args, 2, ["rev"], 2e-2, 2e-2, 1e-2)


@pytest.mark.parametrize("row", RULES, ids=lambda row: row[0])
def test_forward_mode_works_outside_a_training_step(row):
    _, f, *shapes = row
    args = [jnp.asarray(normal(*shape)) for shape in shapes]
    again = jax.jit(lambda *args: f(*args))  # jit remembers f as the step traced it
    jax.test_util.check_grads(again, args, 1, ["fwd"], 2e-2, 2e-2, 1e-2)


ERRORS = [
    (ValueError, "expected a multiple of the 3", "conv", (IMG, normal(2, 2, 3, 5)), {}),
    (ValueError, "in which it does not fit", "conv", (SEQ, normal(12, 4, 1)), {}),
    (ValueError, "expected 'valid' or 'same'", "conv", (SEQ, normal(1, 4, 1), 1, "x"), {}),  # noqa: E501
    (ValueError, "kernel .* expects 3", "depthwise_conv", (IMG, normal(2, 2, 3, 1)), {}),  # noqa: E501
    (ValueError, "kernel .* expects 3", "conv_transpose", (IMG, normal(2, 2, 5, 3)), {}),  # noqa: E501
    (ValueError, "at least 1, or 2 of them", "max_pool", (IMG, (2, 2, 2)), {}),
    (ValueError, "axis=2 is not an axis", "softmax", (X, 2), {}),
    (ValueError, "order got 0", "normalize", (X,), dict(order=0)),
    (ValueError, "same shape", "binary_crossentropy", (X, T), {}),
    (ValueError, r"expected \(3,\)", "sparse_categorical_crossentropy", (N[:2], X), {}),
    (ValueError, "dense tensors only", "one_hot", (N, 3), dict(sparse=True)),
    (ValueError, "num_classes=None", "multi_hot", (N,), {}),
    (ValueError, "expected one", "psnr", (X, T, 1.0), {}),
    (ValueError, "strategy='x'", "ctc_decode", (LOGITS, FRAMES, "x"), {}),
    (ValueError, r"expected \(batch", "dot_product_attention", (T, T, T), {}),
    (ValueError, "expected a multiple", "dot_product_attention", (HEADS[0], normal(2, 6, 3, 8), normal(2, 6, 3, 8)), {}),  # noqa: E501
    (ValueError, "needs a GPU", "dot_product_attention", HEADS, dict(flash_attention=True)),  # noqa: E501
    (ValueError, "fold got shape", "fold", (normal(2, 12, 5), (6, 8), 2), {}),
]  # fmt: skip


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: f"{row[2]}: {row[1]}")
def test_errors_say_what_they_got_and_what_is_expected(row):
    error, text, name, args, kwargs = row
    with pytest.raises(error, match=text):
        getattr(ours, name)(*args, **kwargs)
