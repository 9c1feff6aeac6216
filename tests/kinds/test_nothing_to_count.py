"""Kind: division by a count or a length that may be 0.

Of a row that is padding only, a mean over steps was NaN, and after one step of training
so was every weight. Means over nothing are 0 here, and where a length or a spread is 0
the gradient is, so that no loss, metric, layer or op gives NaN for a batch of padding,
weights of 0, or equal entries.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import carnyx as keras
from carnyx import layers, losses, metrics, ops
from carnyx._core.masks import set_mask

NONE = np.zeros((2, 3), bool)
SOME = np.array([[True] * 3, [False] * 3])


def assert_finite(tree):
    for leaf in jax.tree.leaves(tree):
        assert bool(jnp.isfinite(leaf).all())


MASKED = {
    "GlobalAveragePooling1D": {},
    "BatchNormalization": {},
    "Softmax": {"axis": 1},
    "LSTM": {"units": 2},
    "GRU": {"units": 2},
    "SimpleRNN": {"units": 2},
}
PLAIN = ["LayerNormalization", "UnitNormalization", "RMSNormalization"]
PAIRED = ["Attention", "AdditiveAttention"]
PROJECTED = {
    "MultiHeadAttention": (2, 2),
    "GroupedQueryAttention": (2, 2, 2),
}


def applied(name):
    """A function of inputs and mask, with the layer that is in it."""
    if name in MASKED:
        layer = getattr(layers, name)(**MASKED[name])
        how = {"training": True} if name == "BatchNormalization" else {}

        def call(x, mask):
            shape = (*mask.shape, x.shape[-1])
            wide = (
                np.broadcast_to(mask[..., None], shape) if name == "Softmax" else mask
            )
            return layer(x, mask=wide, **how)

        return layer, call
    if name in PLAIN:
        layer = getattr(layers, name)()
        return layer, lambda x, mask: layer(x)
    if name in PAIRED:
        layer = getattr(layers, name)()
        return layer, lambda x, mask: layer([x, x], mask=[mask, mask])
    layer = getattr(layers, name)(*PROJECTED[name])
    return layer, lambda x, mask: layer(x, x, query_mask=mask, value_mask=mask)


@pytest.mark.parametrize("mask", [NONE, SOME], ids=["none", "some"])
@pytest.mark.parametrize("name", [*MASKED, *PLAIN, *PAIRED, *PROJECTED])
def test_layers_have_finite_values_and_gradients(name, mask):
    layer, call = applied(name)
    for step in (0, 1):
        x = 1 + step * jnp.arange(24.0).reshape(2, 3, 4)
        call(x, mask)
        fixed = [v.value for v in layer.non_trainable_variables]
        run = keras.pure(
            call, [*layer.trainable_variables, *layer.non_trainable_variables]
        )

        def loss(weights, x, run=run, fixed=fixed):
            return jnp.sum(jnp.square(run([*weights, *fixed], x, mask)[0]))

        weights = [v.value for v in layer.trainable_variables]
        assert_finite(jax.value_and_grad(loss, (0, 1))(weights, x))


def test_a_row_of_padding_has_a_mean_of_0_and_trains():
    ids = np.array([[1, 2, 0], [0, 0, 0]])
    model = keras.Sequential(
        [layers.Embedding(3, 2, mask_zero=True), layers.GlobalAveragePooling1D()]
    )
    assert model(ids)[1].tolist() == [0, 0]
    model.compile("sgd", "mse")
    model.fit(ids, np.ones((2, 2)), verbose=0)
    assert_finite(model.get_weights())


def targets(name):
    """Targets and predictions of 0, 1 and between, as a loss or a metric takes them."""
    sparse = "Sparse" in name or name in ("Circle", "MeanIoU", "IoU")
    sparse = sparse or name == "CategoricalGeneralizedCrossEntropy"
    y_true = np.zeros((2,) if sparse else (2, 3), "int32" if sparse else "float32")
    y_pred = np.full((2, 3), 0.3, "float32")
    if name == "CTC":
        return np.zeros((2, 2), "int32"), np.zeros((2, 4, 3), "float32")
    if name in ("MeanIoU", "IoU"):
        y_pred = np.zeros(2, "int32")
    return y_true, y_pred


LOSSES = [
    name
    for name in dir(losses)
    if isinstance(getattr(losses, name), type) and getattr(losses, name).fn is not None
]
# one number for all samples: weights do not fit
WHOLE = ("Dice", "Tversky")


@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "mean_with_sample_weight"]
)
@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_nothing_are_finite(name, reduction):
    loss = getattr(losses, name)(reduction=reduction)
    y_true, y_pred = targets(name)
    cases = [
        (y_true, y_pred * 0 + 1, None, None),
        (y_true + 1, y_pred * 0 + 1, None, None),
    ]
    cases.append((y_true, y_pred * 0, None, None))
    if name not in WHOLE:
        cases.append((y_true, y_pred, np.zeros(2), None))
        mask = np.zeros(2 if name == "CTC" else y_pred.shape[:-1], bool)
        cases.append((y_true, y_pred, None, mask))
    for y_true, y_pred, weight, mask in cases:

        def value(y_pred, y_true=y_true, weight=weight, mask=mask):
            y_pred = y_pred * 1
            if mask is not None:
                set_mask(y_pred, jnp.asarray(mask))
            return loss(y_true, y_pred, sample_weight=weight)

        assert_finite(jax.value_and_grad(value)(jnp.asarray(y_pred)))


PROBABILITIES = [np.zeros(3), np.ones(3), np.eye(3)[0], np.eye(3)[1], np.full(3, 0.5)]
HARD = [
    ("BinaryFocalCrossentropy", {"gamma": 0.5}),
    ("BinaryFocalCrossentropy", {"gamma": 0.0}),
    ("CategoricalFocalCrossentropy", {"gamma": 0.5}),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.1}),
]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [(name, {}) for name in LOSSES if name not in ("CTC", "Circle")] + HARD,
)
def test_losses_are_finite_where_nothing_is_left_to_doubt(name, arguments, dtype):
    """Probabilities of exactly 0 and 1, targets that equal them, and opposite ones."""
    loss = getattr(losses, name)(dtype=dtype, **arguments)
    labels = name == "CategoricalGeneralizedCrossEntropy" or "Sparse" in name
    pairs = [
        (y, p)
        for p in PROBABILITIES
        for y in ([np.int32(0)] if labels else [*np.eye(3)[:2], p])
    ]
    y_true, y_pred = map(np.stack, zip(*pairs, strict=True))
    y_pred = jnp.asarray(y_pred, dtype)
    rows = [slice(i, i + 1) for i in range(len(y_true))] if name in WHOLE else [...]
    for row in rows:
        assert_finite(
            jax.value_and_grad(lambda p, y=y_true[row]: loss(y, p))(y_pred[row])
        )


def test_a_power_of_nothing_keeps_its_value():
    loss = losses.CategoricalGeneralizedCrossEntropy(q=0.5)
    assert float(loss(np.array([0]), np.array([[0.0, 1.0]]))) == 2
    sure = losses.BinaryFocalCrossentropy(gamma=0.0)(
        np.zeros((1, 1)), np.full((1, 1), 0.5)
    )
    np.testing.assert_allclose(sure, np.log(2), 1e-6)


GIVEN = {
    "MeanIoU": (3,), "IoU": (3, [0]), "OneHotIoU": (3, [0]), "OneHotMeanIoU": (3,),
    "SensitivityAtSpecificity": (0.5,), "SpecificityAtSensitivity": (0.5,),
    "PrecisionAtRecall": (0.5,), "RecallAtPrecision": (0.5,),
}  # fmt: skip
METRICS = [
    name
    for name in dir(metrics)
    if isinstance(getattr(metrics, name), type)
    and issubclass(getattr(metrics, name), metrics.Metric)
    and name not in ("Metric", "MeanMetricWrapper", "Mean", "Sum")
]


@pytest.mark.parametrize("name", METRICS)
def test_metrics_of_nothing_are_finite(name):
    y_true, y_pred = targets(name)
    cases = [(y_true, y_pred * 0, None), (y_true * 0 + 1, y_pred * 0 + 1, None)]
    cases.append((y_true[:1], y_pred[:1], None))
    if name != "BinaryIoU":  # counts every entry by itself
        cases.append((y_true, y_pred, np.zeros(2, "int32")))
    for y_true, y_pred, weight in cases:
        metric = getattr(metrics, name)(*GIVEN.get(name, ()))
        metric.update_state(y_true, y_pred, sample_weight=weight)
        assert_finite(metric.result())


@pytest.mark.parametrize("name", [*METRICS, "Mean", "Sum"])
def test_metrics_have_a_result_before_any_update(name):
    assert_finite(getattr(metrics, name)(*GIVEN.get(name, ())).result())


def test_a_batch_of_padding_leaves_moving_averages_alone():
    x = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    for renorm in (False, True):
        layer = layers.BatchNormalization(renorm=renorm)
        layer(x, training=True)
        before = layer.get_weights()
        layer(x, training=True, mask=np.zeros((1, 2), bool))
        for old, new in zip(before, layer.get_weights(), strict=True):
            np.testing.assert_allclose(new, old, 1e-5)


def test_weights_that_sum_to_nothing_give_nothing():
    x = np.ones((2, 3))
    assert float(ops.average(x, weights=x * 0)) == 0
    assert ops.average(x, -1, weights=np.zeros(3)).tolist() == [0, 0]
    weights = np.array([[0.0] * 3, [1.0] * 3])
    assert ops.average(x, -1, weights=weights).tolist() == [0, 1]
    assert float(ops.psnr(x, x, 1.0)) == np.inf


OPS = {
    "normalize": ops.normalize,
    "normalize_1": lambda x: ops.normalize(x, order=1),
    "normalize_3": lambda x: ops.normalize(x, order=3),
    "norm": lambda x: ops.norm(x, axis=-1),
    "norm_of_all": ops.norm,
    "norm_3": lambda x: ops.norm(x, 3, axis=-1),
    "std": lambda x: ops.std(x, -1),
    "hypot": lambda x: ops.hypot(x, x),
    "average": lambda x: ops.average(x, -1, weights=jnp.zeros(3)),
    "max_norm": keras.constraints.MaxNorm(),
    "unit_norm": keras.constraints.UnitNorm(),
    "min_max_norm": keras.constraints.MinMaxNorm(),
    "sparsemax": lambda x: ops.sparsemax(x * 1e10),
    "cdist": lambda x: ops.cdist(x, x),
    "layer_normalization": ops.layer_normalization,
    "rms_normalization": ops.rms_normalization,
    "cosine": lambda x: losses.cosine_similarity(x, x),
    "orthogonal": keras.regularizers.OrthogonalRegularizer(),
    "orthogonal_to_none": lambda x: keras.regularizers.OrthogonalRegularizer()(x[:1]),
    "divide_no_nan": lambda x: ops.divide_no_nan(x, x),
}


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("name", OPS)
def test_ops_of_lengths_have_finite_gradients(name, value):
    x = jnp.full((2, 3), value)
    assert_finite(jax.value_and_grad(lambda x: jnp.sum(OPS[name](x)))(x))


def test_a_perfect_prediction_of_even_targets_has_all_of_the_variance():
    even = np.full((3, 1), 2.0, "float32")
    r2 = metrics.R2Score()
    assert float(r2(even, even)) == 1
    assert float(metrics.R2Score()(even, even + 1)) == 0
    assert float(metrics.PearsonCorrelation()(even.T, even.T)) == 0
