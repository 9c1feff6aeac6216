"""Kind: targets, predictions and weights that broadcast where they do not fit.

Targets (n,) against predictions (n, 1) are (n, n) for NumPy, and (n, 4) against (n, 1)
are (n, 4): a number comes out that looks right. Every loss and metric fits a last axis
of size 1 and refuses all else; functions that a user wrote are given what fits.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import carnyx as keras

RNG = np.random.default_rng(0)
# what a class needs beside its defaults
NEEDS: dict[str, dict[str, Any]] = {
    "CategoricalGeneralizedCrossEntropy": {"q": 0.5},
    "IoU": {"num_classes": 2, "target_class_ids": [0]},
    "MeanIoU": {"num_classes": 2},
    "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
    "OneHotMeanIoU": {"num_classes": 2},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
}
BASES = {"Loss", "Metric", "Mean", "Sum", "MeanMetricWrapper"}


def names_of(module: Any, base: type) -> list[str]:
    return [
        name
        for name, cls in vars(module).items()
        if inspect.isclass(cls) and issubclass(cls, base) and name not in BASES
    ]


ALL = [
    *(("losses", name) for name in names_of(keras.losses, keras.losses.Loss)),
    *(("metrics", name) for name in names_of(keras.metrics, keras.metrics.Metric)),
]
# labels: class numbers for the rows of scores, or a structure of their own
OF_LABELS = {
    "SparseCategoricalCrossentropy", "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy", "CategoricalGeneralizedCrossEntropy",
}  # fmt: skip
APART = {"CTC", "Circle", "IoU", "MeanIoU", "BinaryIoU", "OneHotIoU", "OneHotMeanIoU"}


def value(family: str, name: str, y_true: Any, y_pred: Any) -> float:
    made = getattr(getattr(keras, family), name)(**NEEDS.get(name, {}))
    return float(np.sum(made(y_true, y_pred)))


@pytest.mark.parametrize(
    ("true", "pred"),
    [((4, 4), (4, 1)), ((4, 1), (4, 4)), ((1, 4), (4, 4)), ((4,), (4, 4))],
    ids=str,
)
@pytest.mark.parametrize(("family", "name"), ALL)
@pytest.mark.filterwarnings("ignore:.*with one class")
def test_what_does_not_fit_is_refused(
    family: str, name: str, true: tuple[int, ...], pred: tuple[int, ...]
) -> None:
    if name in APART or (name in OF_LABELS and true in ((4,), (4, 1))):
        pytest.skip("fits")
    y_true = RNG.integers(0, 2, true).astype("float32")
    with pytest.raises(ValueError, match=r"\(.*\).*shape.*expected"):
        value(family, name, y_true, RNG.random(pred, "float32"))


@pytest.mark.parametrize("name", sorted(APART - {"CTC", "Circle"}))
def test_regions_of_other_sizes_are_refused(name: str) -> None:
    y_true, y_pred = np.zeros((4, 2), "int32"), np.zeros((1, 2), "int32")
    with pytest.raises(ValueError, match="expected the same shape"):
        value("metrics", name, y_true, y_pred[:, :1] if "Hot" not in name else y_pred)


@pytest.mark.parametrize(("family", "name"), ALL)
@pytest.mark.filterwarnings("ignore:.*with one class")
def test_a_last_axis_of_one_is_fitted(family: str, name: str) -> None:
    if name in APART | OF_LABELS or name in ("FBetaScore", "F1Score"):
        pytest.skip("takes (n, classes) or class numbers")
    y_true = np.array([[1.0], [0.0], [1.0], [1.0]], "float32")
    y_pred = np.array([[0.8], [0.3], [0.4], [0.6]], "float32")
    if "Correlation" in name:
        pytest.skip("one number has no correlation")
    expected = value(family, name, y_true, y_pred)
    assert value(family, name, y_true[:, 0], y_pred) == pytest.approx(expected)
    assert value(family, name, y_true, y_pred[:, 0]) == pytest.approx(expected)


def own(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.square(y_true - y_pred)


@pytest.mark.parametrize("true", [(4,), (4, 1), (4, 1, 1)], ids=str)
@pytest.mark.parametrize("pred", [(4,), (4, 1), (4, 1, 1)], ids=str)
def test_own_functions_are_given_what_fits(true: Any, pred: Any) -> None:
    y_true, y_pred = RNG.random(4, "float32"), RNG.random(4, "float32")
    expected = pytest.approx(np.mean((y_true - y_pred) ** 2))
    given = y_true.reshape(true), y_pred.reshape(pred)
    assert float(keras.metrics.MeanMetricWrapper(own)(*given)) == expected
    loss: Any = keras.Sequential([keras.Input(pred[1:]), keras.layers.Identity()])
    loss.compile("sgd", own, metrics=[own])
    found = loss.evaluate(given[1], given[0], verbose=0)
    assert found == [expected, expected]


@pytest.mark.parametrize("steps", [3, 4])
def test_a_weight_a_sample_is_not_one_a_step(steps: int) -> None:
    y_true = RNG.random((4, steps, 2), "float32")
    weight = np.array([1.0, 0.0, 0.0, 0.0], "float32")
    found = keras.losses.MeanSquaredError()(y_true, 0 * y_true, weight)
    assert float(found) == pytest.approx(np.sum(y_true[0] ** 2) / (4 * steps * 2))
    with pytest.raises(ValueError, match=r"sample_weight or mask has shape \(5,\)"):
        keras.losses.MeanSquaredError()(y_true, y_true, np.ones(5))


def test_weights_of_metrics_are_for_samples_too() -> None:
    metric = keras.metrics.MeanSquaredError()
    with pytest.raises(ValueError, match=r"weight or mask has shape \(1, 4\)"):
        metric(np.ones((4, 2)), np.ones((4, 2)), sample_weight=np.ones((1, 4)))


@pytest.mark.parametrize("metric", ["AUC", "Precision", "Recall", "F1Score"])
def test_class_numbers_for_a_metric_of_scores_say_what_to_do(metric: str) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    made = getattr(keras.metrics, metric)()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[made])
    with pytest.raises(ValueError, match="make them one-hot with keras.utils"):
        model.fit(np.ones((4, 2)), np.array([0, 1, 2, 0]), verbose=0)
