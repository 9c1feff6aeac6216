"""What the contract table does not ask: errors, loading, frozen layers, masks."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import carnyx
from carnyx import layers
from carnyx._core.masks import get_mask
from carnyx.errors import ArgumentError, ShapeError, UnsafeModelError
from carnyx.registry import custom_object_scope, register_keras_serializable


def ones(*shape):
    return np.ones(shape, "float32")


# Of calls; what constructors refuse stands in the rows of cases.py.
WRONG = {
    "open features": (
        lambda: layers.Dense(2)(layers.Input((None,))),
        r"the size of axis -1 must be known",
    ),
    "rank": (lambda: layers.Dense(2)(ones(3)), "got rank 1 .*expected 2 or more"),
    "einsum": (
        lambda: layers.EinsumDense("ab,bc", 3)(ones(2, 4)),
        "expected the form 'ab,bc->ac'",
    ),
    "einsum rank": (
        lambda: layers.EinsumDense("ab,bc->ac", 3)(ones(2, 4, 4)),
        "the input of its equation 'ab,bc->ac' is 'ab'",
    ),
    "einsum open": (
        lambda: layers.EinsumDense("ab,bcd->acd", 3)(ones(2, 4)),
        "leaves the size of 'd' open",
    ),
    "einsum clash": (
        lambda: layers.EinsumDense("abc,cd->abd", (5, 3))(ones(2, 4, 4)),
        "in which 'b' .* is 4; output_shape=.* makes it 5",
    ),
    "wrapper": (lambda: layers.Wrapper(3), "Wrapper got layer=3; expected a layer"),
    "lambda": (lambda: layers.Lambda("relu"), "expected a function"),
    "no shape": (lambda: layers.Input(), "An Input needs a shape"),
    "two shapes": (
        lambda: layers.Input((3,), batch_shape=(2, 3)),
        "batch_shape says both",
    ),
    "an array": (lambda: layers.Input(tensor=ones(2)), "expected a symbolic tensor"),
    "other shape": (
        lambda: layers.Input((4,), tensor=layers.Input((3,))),
        r"a tensor of shape \(None, 3\) but a shape of \(None, 4\)",
    ),
    "other dtype": (
        lambda: layers.Input(dtype="int32", tensor=layers.Input((3,))),
        "leave the dtype out",
    ),
    "softmax mask": (
        lambda: layers.Softmax()(ones(2, 3), mask=ones(2, 4) > 0),
        "expected one that broadcasts to the inputs",
    ),
    "channels": (
        lambda: layers.Conv1D(4, 2, groups=2)(ones(1, 5, 3)),
        "a multiple of groups=2",
    ),
    "too small": (
        lambda: layers.Conv1D(4, 6)(ones(1, 5, 3)),
        "in which it does not fit",
    ),
    "rebuilt": (
        lambda: [d := layers.Dense(2), d(ones(2, 3)), d(ones(2, 4))],
        "got size 4 on axis -1",
    ),
    "reshape": (
        lambda: layers.Reshape((5, -1))(ones(2, 3, 4)),
        r"got samples of shape \(3, 4\), 12 numbers",
    ),
    "cropping": (
        lambda: layers.Cropping1D(3)(ones(1, 6, 2)),
        "leaves nothing of axis 1",
    ),
    "merge one": (lambda: layers.Add()(ones(2, 3)), "expected a list of one or more"),
    "merge batch": (
        lambda: layers.Add()([ones(2, 3), ones(4, 3)]),
        "different batch sizes",
    ),
    "merge": (lambda: layers.Add()([ones(2, 3), ones(2, 4)]), "do not fit together"),
    "subtract": (lambda: layers.subtract([ones(2, 3)] * 3), "a list of 2 tensors"),
    "concatenate": (
        lambda: layers.concatenate([ones(2, 3, 4), ones(2, 4, 4)]),
        "differ on axis 1; only axis -1 may differ",
    ),
    "dot": (lambda: layers.dot([ones(2, 3), ones(2, 4)], 1), "the sizes 3 and 4"),
    "groups": (
        lambda: layers.GroupNormalization(3)(ones(2, 4)),
        "a multiple of groups=3",
    ),
    "norm mask": (
        lambda: layers.BatchNormalization()(
            ones(2, 3, 4), training=True, mask=ones(2) > 0
        ),
        "expected one axis less than the inputs",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_say_what_to_do(name):
    wrong, message = WRONG[name]
    with pytest.raises(
        (ShapeError, ArgumentError, carnyx.errors.GraphError), match=message
    ):
        wrong()


# ---- Input ------------------------------------------------------------------------


def test_input_is_what_keras_makes():
    for given in (
        {"shape": (3, None)},
        {"shape": (), "batch_size": 4, "dtype": "int32", "name": "x"},
        {"batch_shape": (None, None, 2), "dtype": "bool"},
    ):
        ours, theirs = layers.Input(**given), keras.Input(**given)
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        layer = ours._keras_history.operation
        config = keras.layers.InputLayer(**given | {"name": layer.name}).get_config()
        config["batch_shape"] = list(config["batch_shape"])
        assert layer.get_config() == config
        assert layers.InputLayer.from_config(config).batch_shape == ours.shape


def test_input_begins_from_a_tensor():
    x = layers.Input((3,))
    assert layers.Input(tensor=x) is x


# ---- Lambda -----------------------------------------------------------------------


@register_keras_serializable("tests_layers")
def scaled(x, by=2.0, training=None):
    return x * by + (1.0 if training else 0.0)


def test_lambda_is_saved_by_reference():
    layer = layers.Lambda(scaled, arguments={"by": 3.0}, output_shape=(4,))
    again = layers.Lambda.from_config(layer.get_config())
    assert again.function is scaled and again.output_shape == (4,)
    x = ones(2, 4)
    np.testing.assert_array_equal(again(x), 3 * x)
    np.testing.assert_array_equal(again(x, training=True), 3 * x + 1)
    assert again(layers.Input((9,))).shape == (None, 4)


def test_a_python_lambda_needs_custom_objects():
    config = layers.Lambda(lambda x: x + 1, name="plus_one").get_config()
    with pytest.raises(UnsafeModelError, match=r"custom_objects=\{'plus_one': lambda"):
        layers.Lambda.from_config(config)
    with custom_object_scope({"plus_one": lambda x: x + 5}):
        np.testing.assert_array_equal(layers.Lambda.from_config(config)(ones(1)), 6)


@pytest.mark.parametrize(
    "function",
    [
        {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None}},
        ["4wEAAAA=", None, None],  # as Keras 2 stored it
    ],
)
def test_stored_bytecode_is_refused(function):
    with pytest.raises(UnsafeModelError, match="bytecode Carnyx never runs"):
        layers.Lambda.from_config({"name": "a", "function": function})


# ---- masks and training -----------------------------------------------------------


def test_embedding_weights_and_floats():
    table = np.arange(6.0).reshape(3, 2)
    layer = layers.Embedding(3, 2, weights=[table], dtype="mixed_bfloat16")
    out = layer(np.array([[0.0, 2.0]]))
    assert out.dtype == "bfloat16"
    np.testing.assert_array_equal(np.asarray(out, "float32")[0], table[[0, 2]])


def test_masks_go_through_a_stack():
    x = layers.Embedding(5, 4, mask_zero=True)(np.array([[1, 2, 0, 0]]))
    for layer in (
        layers.Dense(3), layers.Dropout(0.5), layers.LayerNormalization(),
        layers.BatchNormalization(), layers.Activation("relu"),
    ):  # fmt: skip
        x = layer(x)
        assert get_mask(x).tolist() == [[True, True, False, False]]
    mean = layers.GlobalAveragePooling1D()(x)
    np.testing.assert_allclose(mean, np.asarray(x)[:, :2].mean(1), rtol=1e-6)
    assert get_mask(mean) is None
    with pytest.warns(UserWarning, match="drops it"):
        assert get_mask(layers.Flatten()(x)) is None


def test_a_mask_survives_the_cast_to_a_compute_dtype():
    x = np.zeros((1, 4, 2), "float32")
    x[0, :2] = 1
    mean = layers.GlobalAveragePooling1D(dtype="mixed_bfloat16")(layers.Masking()(x))
    assert mean.dtype == "bfloat16" and mean.tolist() == [[1, 1]]


def test_a_frozen_batch_normalization_uses_the_moving_statistics():
    layer = layers.BatchNormalization()
    x = np.random.default_rng(0).normal(3, 2, (8, 2)).astype("float32")
    layer.build((8, 2))
    layer.trainable = False
    np.testing.assert_allclose(layer(x, training=True), x / np.sqrt(1.001), rtol=1e-6)
    assert layer.moving_mean.numpy().tolist() == [0, 0]
    assert layer.trainable_variables == [] and len(layer.non_trainable_variables) == 4


def test_batch_statistics_ignore_masked_steps():
    x = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")
    mask = np.arange(6) < np.array([[6], [2], [4], [1]])
    layer = layers.BatchNormalization(momentum=0.0)
    layer(jnp.asarray(x), training=True, mask=jnp.asarray(mask))
    np.testing.assert_allclose(layer.moving_mean, x[mask].mean(0), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, x[mask].var(0), rtol=1e-4)


def test_dropout_draws_anew_and_needs_training():
    layer = layers.Dropout(0.5, seed=1)
    x = ones(4, 50)
    first, second = layer(x, training=True), layer(x, training=True)
    assert (np.asarray(first) != np.asarray(second)).any()
    np.testing.assert_array_equal(layer(x), x)
    assert layers.Dropout(0.0).variables == []


@pytest.mark.parametrize("make", [layers.AlphaDropout, layers.GaussianDropout])
def test_noise_keeps_the_moments_it_promises(make):
    x = np.random.default_rng(0).normal(size=(200, 500)).astype("float32")
    if make is layers.GaussianDropout:
        x = x * 0 + 1
    y = np.asarray(make(0.2, seed=1)(x, training=True))
    assert y.mean() == pytest.approx(x.mean(), abs=0.02)
    variance = 0.2 / 0.8 if make is layers.GaussianDropout else 1.0
    assert y.var() == pytest.approx(variance, rel=0.03)


def test_causal_convolution_sees_no_later_step():
    layer = layers.Conv1D(3, 3, padding="causal", dilation_rate=2)
    layer.build((1, 9, 2))
    jacobian = jax.jacobian(layer)(jnp.ones((1, 9, 2)))
    reach = np.abs(np.asarray(jacobian)[0, :, :, 0]).sum((1, 3))
    assert (np.triu(reach, 1) == 0).all() and (np.diag(reach) > 0).all()


def test_functional_forms_of_merging():
    a, b = ones(2, 3), 2 * ones(2, 3)
    for name, value in dict(
        add=3, subtract=-1, multiply=2, average=1.5, maximum=2, minimum=1
    ).items():
        np.testing.assert_array_equal(getattr(layers, name)([a, b]), value)
    assert layers.concatenate([a, b], axis=0, name="both").shape == (4, 3)
    assert layers.dot([a, b], axes=1).tolist() == [[6], [6]]


def test_reshape_of_unknown_sizes():
    x = layers.Input((None, None), dtype="int32")
    y = layers.Reshape((3, 4))(x)
    assert (y.shape, y.dtype) == ((None, 3, 4), "int32")
