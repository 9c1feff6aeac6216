"""Losses against Keras: values, gradients, weights and masks, configs."""

import inspect
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import carnyx
from carnyx import losses
from carnyx._core.masks import set_mask
from carnyx.errors import ArgumentError, ShapeError, UnknownNameError

rng = np.random.default_rng(0)
REAL = rng.normal(size=(4, 5)).astype("float32")
OTHER = rng.normal(size=(4, 5)).astype("float32")
POSITIVE = np.abs(REAL) + 0.1
BITS = (OTHER > 0).astype("float32")
P = rng.uniform(0.05, 0.95, size=(4, 5)).astype("float32")
P /= P.sum(-1, keepdims=True)
LABELS = np.array([1, 4, 0, 2], "int32")
ONE_HOT = np.eye(5, dtype="float32")[LABELS]
UNIT = OTHER / np.linalg.norm(OTHER, axis=-1, keepdims=True)
TIMES = rng.normal(size=(4, 6, 5)).astype("float32")
WORDS = np.array([[1, 2, 0], [3, 3, 1], [4, 0, 0], [1, 1, 0]], "int32")

# function, class, targets, predictions, arguments
ROWS = [
    ("mean_squared_error", "MeanSquaredError", REAL, OTHER, {}),
    ("mean_absolute_error", "MeanAbsoluteError", REAL, OTHER, {}),
    ("mean_absolute_percentage_error", "MeanAbsolutePercentageError", REAL, OTHER, {}),
    ("mean_squared_logarithmic_error", "MeanSquaredLogarithmicError", REAL, OTHER, {}),
    ("cosine_similarity", "CosineSimilarity", REAL, OTHER, {}),
    ("cosine_similarity", "CosineSimilarity", REAL, OTHER, {"axis": 0}),
    ("huber", "Huber", REAL, OTHER, {}),
    ("huber", "Huber", REAL, OTHER, {"delta": 0.3}),
    ("log_cosh", "LogCosh", REAL, OTHER, {}),
    ("hinge", "Hinge", BITS, REAL, {}),
    ("hinge", "Hinge", 2 * BITS - 1, REAL, {}),
    ("squared_hinge", "SquaredHinge", BITS, REAL, {}),
    ("categorical_hinge", "CategoricalHinge", ONE_HOT, REAL, {}),
    ("kl_divergence", "KLDivergence", ONE_HOT, P, {}),
    ("poisson", "Poisson", POSITIVE, P, {}),
    ("binary_crossentropy", "BinaryCrossentropy", BITS, P, {}),
    (
        "binary_crossentropy",
        "BinaryCrossentropy",
        BITS,
        REAL,
        {"from_logits": True, "label_smoothing": 0.2, "axis": 0},
    ),
    ("binary_focal_crossentropy", "BinaryFocalCrossentropy", BITS, P, {}),
    (
        "binary_focal_crossentropy",
        "BinaryFocalCrossentropy",
        BITS,
        REAL,
        {
            "apply_class_balancing": True,
            "alpha": 0.3,
            "gamma": 1.5,
            "from_logits": True,
            "label_smoothing": 0.1,
        },
    ),
    ("categorical_crossentropy", "CategoricalCrossentropy", ONE_HOT, P, {}),
    (
        "categorical_crossentropy",
        "CategoricalCrossentropy",
        ONE_HOT,
        REAL,
        {"from_logits": True, "label_smoothing": 0.2},
    ),
    ("categorical_crossentropy", "CategoricalCrossentropy", ONE_HOT, P, {"axis": 0}),
    ("categorical_focal_crossentropy", "CategoricalFocalCrossentropy", ONE_HOT, P, {}),
    (
        "categorical_focal_crossentropy",
        "CategoricalFocalCrossentropy",
        ONE_HOT,
        REAL,
        {"alpha": 0.5, "gamma": 3.0, "from_logits": True, "label_smoothing": 0.1},
    ),
    (
        "sparse_categorical_crossentropy",
        "SparseCategoricalCrossentropy",
        LABELS,
        P,
        {},
    ),
    (
        "sparse_categorical_crossentropy",
        "SparseCategoricalCrossentropy",
        LABELS[:, None],
        REAL,
        {"from_logits": True, "ignore_class": 0},
    ),
    (
        "sparse_categorical_crossentropy",
        "SparseCategoricalCrossentropy",
        LABELS,
        P,
        {"ignore_class": 4},
    ),
    ("ctc", "CTC", WORDS, TIMES, {}),
    ("ctc", "CTC", WORDS[:, [0, 2, 1]], TIMES, {}),  # paddings inside
    ("dice", "Dice", BITS, P, {}),
    ("dice", "Dice", BITS, P, {"axis": 1}),
    ("tversky", "Tversky", BITS, P, {"alpha": 0.2, "beta": 0.7, "axis": -1}),
    ("circle", "Circle", np.array([1, 0, 1, 0], "int32"), UNIT, {}),
    (
        "circle",
        "Circle",
        np.array([1, 0, 1, 2], "int32"),
        UNIT,
        {"gamma": 4.0, "margin": 0.2, "remove_diagonal": False},
    ),
    (
        "categorical_generalized_cross_entropy",
        "CategoricalGeneralizedCrossEntropy",
        LABELS,
        P,
        {"q": 0.3},
    ),
]
IDS = [f"{row[0]}-{'-'.join(row[4])}" for row in ROWS]
# Keras forgets these in its configs, so that a reloaded loss is another one.
KEPT = {"Huber": {"delta"}, "CosineSimilarity": {"axis"}}
KEPT["SparseCategoricalCrossentropy"] = {"axis"}


def close(ours, theirs, tolerance=2e-5):
    assert str(ours.dtype) == str(theirs.dtype)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def results(module, name, cls, y, p, arguments):
    """A loss every way there is, in one program."""
    fn, cls = getattr(module, name), getattr(module, cls)
    samples = jax.eval_shape(lambda p: fn(y, p, **arguments), p).shape
    weight = np.linspace(0, 2, samples[0], dtype="float32") if samples else None

    def run(p):
        out = {"values": fn(y, p, **arguments)}
        out["gradient"] = jax.grad(lambda p: jnp.sum(fn(y, p, **arguments)))(p)
        for reduction in (None, "sum", "sum_over_batch_size"):
            loss = cls(reduction=reduction, **arguments)
            out[f"{reduction}"] = loss(y, p)
            if weight is not None:
                out[f"{reduction}, weighted"] = loss(y, p, weight)
        return out

    return jax.jit(run)(p)


@pytest.mark.parametrize("name, cls, y, p, arguments", ROWS, ids=IDS)
def test_values_and_gradients_are_those_of_keras(
    keras_oracle, name, cls, y, p, arguments
):
    ours, theirs = (
        results(module, name, cls, y, p, arguments)
        for module in (losses, keras_oracle.losses)
    )
    for label in theirs:
        close(ours[label], theirs[label])


@pytest.mark.parametrize("name, cls, y, p, arguments", ROWS, ids=IDS)
def test_configs_are_those_of_keras(keras_oracle, name, cls, y, p, arguments):
    ours, theirs = (
        getattr(module, cls)(reduction="sum", **arguments)
        for module in (losses, keras_oracle.losses)
    )
    record = losses.serialize(ours)
    expected = keras_oracle.losses.serialize(theirs)
    for extra in KEPT.get(cls, ()):
        expected["config"][extra] = arguments.get(extra, record["config"][extra])
    assert record == expected
    again = losses.deserialize(record)
    assert type(again) is type(ours) and again.get_config() == ours.get_config()
    read = keras_oracle.saving.deserialize_keras_object(record)
    assert read.get_config()["reduction"] == "sum"
    assert pickle.loads(pickle.dumps(ours)).get_config() == ours.get_config()


def public(module, kind):
    return {n for n, x in vars(module).items() if kind(x) and not n.startswith("_")}


def test_every_loss_of_keras_is_here_with_its_signature(keras_oracle):
    for kind in (inspect.isclass, inspect.isfunction):
        theirs = public(keras_oracle.losses, kind)
        assert theirs <= public(losses, kind)
        for name in theirs - {"Loss"}:
            signatures = [
                [(p.name, p.default) for p in parameters.values()]
                for parameters in (
                    inspect.signature(getattr(m, name)).parameters
                    for m in (losses, keras_oracle.losses)
                )
            ]
            assert signatures[0] == signatures[1], name


def test_every_loss_has_a_row():
    rows = {n for row in ROWS for n in row[:2]}
    helpers = {"get", "serialize", "deserialize", "Loss"}
    known = public(losses, inspect.isclass) | public(losses, inspect.isfunction)
    assert known - helpers == rows


# ---- weights and masks

SEQUENCE = rng.normal(size=(2, 3, 4)).astype("float32")
TARGET = rng.normal(size=(2, 3, 4)).astype("float32")
MASK = np.array([[True, True, False], [True, False, False]])


@pytest.mark.parametrize(
    "reduction",
    ["sum", "sum_over_batch_size", "mean", "mean_with_sample_weight", "none", None],
)
@pytest.mark.parametrize("mask", [None, MASK, np.zeros_like(MASK)])
@pytest.mark.parametrize(
    "weight",
    [
        None,
        2.0,
        np.array([[1.0], [3.0]]),
        np.arange(6.0).reshape(2, 3),
        np.zeros((2, 3)),
    ],
    ids=["none", "number", "sample", "step", "zero"],
)
def test_masks_and_weights_reduce_as_keras(keras_oracle, reduction, mask, weight):
    ours, theirs = jnp.asarray(SEQUENCE), jnp.asarray(SEQUENCE)
    if mask is not None:
        set_mask(ours, jnp.asarray(mask))
        keras_oracle.src.backend.set_keras_mask(theirs, jnp.asarray(mask))
    args = (ours, weight), (theirs, weight)
    results = [
        module.MeanSquaredError(reduction=reduction)(TARGET, *a)
        for module, a in zip((losses, keras_oracle.losses), args, strict=True)
    ]
    close(*results)


def test_a_mean_ignores_the_class_to_ignore():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    labels = np.array([[0, 1], [2, -1]])
    logits = rng.normal(size=(2, 2, 3)).astype("float32")
    seen = labels.ravel() >= 0
    expected = losses.SparseCategoricalCrossentropy(from_logits=True)(
        labels.ravel()[seen], logits.reshape(-1, 3)[seen]
    )
    np.testing.assert_allclose(loss(labels, logits), expected, rtol=1e-6)
    broken = logits.copy()
    broken[1, 1] = np.nan
    gradient = jax.grad(lambda x: loss(labels, x))(broken)
    assert np.isfinite(gradient).all()


def test_classes_may_lie_on_another_axis(keras_oracle):
    logits = np.moveaxis(TIMES, -1, 1)
    labels = rng.integers(0, 5, size=(4, 6))
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    channels_first = losses.SparseCategoricalCrossentropy(from_logits=True, axis=1)
    np.testing.assert_allclose(
        channels_first(labels, logits), loss(labels, TIMES), rtol=1e-6
    )


@pytest.mark.parametrize(
    "shapes", [((4,), (4, 1)), ((4, 1), (4,)), ((2, 3, 1), (2, 3))]
)
def test_a_last_axis_of_one_may_be_missing(keras_oracle, shapes):
    y, p = (rng.normal(size=s).astype("float32") for s in shapes)
    close(losses.MeanSquaredError()(y, p), keras_oracle.losses.MeanSquaredError()(y, p))


def test_nested_structures_reach_a_users_loss():
    class Sum(losses.Loss):
        def call(self, y_true, y_pred):
            return abs(y_true["a"] - y_pred["a"]) + abs(y_true["b"] - y_pred["b"])

    y, p = {"a": REAL, "b": np.ones(5)}, {"a": OTHER, "b": 3 * np.ones(5)}
    assert Sum()(y, p) == pytest.approx(np.abs(REAL - OTHER).mean() + 2, rel=1e-6)


def test_empty_batches_and_large_labels():
    empty = np.zeros((0, 3), "float32")
    assert losses.MeanSquaredError(reduction="sum")(empty, empty).shape == (0,)
    assert losses.MeanSquaredError()(empty[None], empty[None]) == 0
    logits = jnp.zeros((1, 400)).at[0, 301].set(9)
    half = losses.SparseCategoricalCrossentropy(from_logits=True, dtype="bfloat16")
    assert half(np.array([301]), logits) < 0.1  # bfloat16 has no 301


# ---- users' losses, names, errors


class Pinball(losses.Loss):
    def __init__(self, quantile, name="pinball", **kwargs):
        super().__init__(name=name, **kwargs)
        self.quantile = quantile

    def call(self, y_true, y_pred):
        error = y_true - y_pred
        return jnp.maximum(self.quantile * error, (self.quantile - 1) * error).mean(-1)


def test_a_users_class_round_trips():
    loss = Pinball(0.9, reduction="sum")
    assert loss.get_config() == {
        "name": "pinball",
        "reduction": "sum",
        "quantile": 0.9,
    }
    record = losses.serialize(loss)
    again = losses.deserialize(record, custom_objects={"Pinball": Pinball})
    assert float(again(REAL, OTHER)) == float(loss(REAL, OTHER))
    with pytest.raises(UnknownNameError, match="'Pinball'"):
        losses.deserialize(record)


def test_a_function_with_arguments_as_a_loss(keras_oracle):
    from keras.src.losses.losses import LossFunctionWrapper as Theirs

    from carnyx.losses.base import LossFunctionWrapper

    loss = LossFunctionWrapper(losses.huber, reduction="sum", name="h", delta=0.5)
    theirs = Theirs(keras_oracle.losses.huber, reduction="sum", name="h", delta=0.5)
    close(loss(REAL, OTHER), theirs(REAL, OTHER))
    record = losses.serialize(loss)
    assert record["config"] == keras_oracle.losses.serialize(theirs)["config"]
    for read in (losses.deserialize, keras_oracle.losses.deserialize):
        close(read(record)(REAL, OTHER), theirs(REAL, OTHER))


@pytest.mark.parametrize("name", ["mse", "MAPE", "KLD", "huber", "Huber", "ctc", "bce"])
def test_names(keras_oracle, name):
    ours, theirs = losses.get(name), keras_oracle.losses.get(name)
    labels = [getattr(x, "__name__", type(x).__name__) for x in (ours, theirs)]
    assert labels[0] == labels[1]
    record = losses.serialize(ours)
    assert inspect.isfunction(ours) is (record["class_name"] == "function")
    if inspect.isfunction(ours):
        assert record == keras_oracle.losses.serialize(theirs)
        assert losses.get(record) is ours


def test_get_takes_classes_configs_and_nothing():
    assert losses.get(None) is None
    assert isinstance(losses.get(losses.Hinge), losses.Hinge)
    config = {"class_name": "BinaryCrossentropy", "config": {"from_logits": True}}
    assert losses.get(config).from_logits is True


def test_losses_take_symbolic_tensors():
    y, p = carnyx.KerasTensor((None, 5)), carnyx.KerasTensor((None, 5))
    assert losses.mean_squared_error(y, p).shape == (None,)
    for cls in (losses.BinaryCrossentropy, losses.Huber, losses.KLDivergence):
        assert cls()(y, p).shape == ()


def test_the_dtype_is_that_of_the_loss():
    assert losses.Hinge(dtype="float16")(BITS, REAL).dtype == "float16"
    policy = losses.Hinge(dtype="mixed_bfloat16")
    assert policy.dtype == "bfloat16"
    assert losses.get(losses.serialize(policy)).dtype == "bfloat16"


def test_errors():
    with pytest.raises(ArgumentError, match="reduction='average'; expected one of"):
        losses.MeanSquaredError(reduction="average")
    with pytest.raises(ArgumentError, match="q=1; expected a number between 0 and 1"):
        losses.CategoricalGeneralizedCrossEntropy(1)
    with pytest.raises(UnknownNameError, match="Did you mean 'huber'"):
        losses.get("hubert")
    with pytest.raises(ArgumentError, match="Got 3 as loss"):
        losses.get(3)
    with pytest.raises(ShapeError, match="expected .batch, labels. and"):
        losses.ctc(LABELS, TIMES)
    with pytest.raises(NotImplementedError, match="Loss needs a method call"):
        losses.Loss()(REAL, REAL)
    with pytest.warns(SyntaxWarning, match="For two classes use"):
        losses.categorical_crossentropy(BITS[:, :1], P[:, :1])
