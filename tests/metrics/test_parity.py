"""Every metric against Keras 3.15: results, state, configs."""

import inspect

import jax
import numpy as np
import pytest

from carnyx import metrics
from carnyx._core.naming import clear_session

rng = np.random.default_rng(0)
N, C = 8, 5


def _softmax(shape):
    x = np.exp(rng.normal(size=shape))
    return (x / x.sum(-1, keepdims=True)).astype("float32")


def _numbers(shape=(N, C)):
    return rng.normal(size=shape).astype("float32")


# kind of data -> (targets, predictions), drawn three times
DATA = {
    "numbers": lambda: (_numbers(), _numbers()),
    "column": lambda: (_numbers((N,)), _numbers((N, 1))),
    "cube": lambda: (_numbers((N, 3, C)), _numbers((N, 3, C))),
    "positive": lambda: (abs(_numbers()) + 0.1, abs(_numbers()) + 0.1),
    "labels": lambda: (rng.integers(0, C, N), _softmax((N, C))),
    "label column": lambda: (rng.integers(0, C, (N, 1)), _softmax((N, C))),
    "sequences": lambda: (rng.integers(0, C, (N, 3)), _softmax((N, 3, C))),
    "one-hot": lambda: (np.eye(C, dtype="float32")[rng.integers(0, C, N)],
                        _softmax((N, C))),
    "one-hot sequences": lambda: (np.eye(C)[rng.integers(0, C, (N, 3))],
                                  _softmax((N, 3, C))),
    "binary": lambda: (rng.integers(0, 2, N), rng.random(N).astype("float32")),
    "binary column": lambda: (rng.integers(0, 2, (N, 1)),
                              rng.random((N, 1)).astype("float32")),
    "edges": lambda: (rng.integers(0, 2, N), rng.choice([0, 0.25, 0.5, 1.0], N)),
    "logits": lambda: (rng.integers(0, 2, (N, 1)), _numbers((N, 1)) * 3),
    "multi-label": lambda: (rng.integers(0, 2, (N, C)),
                            rng.random((N, C)).astype("float32")),
    "classes": lambda: (rng.integers(0, C, (N, 4)), rng.integers(0, C, (N, 4))),
    "masks": lambda: (rng.integers(0, 2, (N, 4)), rng.random((N, 4))),
    "sorted ids": lambda: (rng.integers(0, C, N),
                           np.argsort(rng.random((N, C)), -1)),
}  # fmt: skip
SETS = {name: [draw() for _ in range(3)] for name, draw in DATA.items()}
WEIGHTS = [rng.integers(0, 4, N).astype("float32") for _ in range(3)]

CASES = [
    ("Accuracy", {}, "classes"),
    ("BinaryAccuracy", {}, "binary"),
    ("BinaryAccuracy", {"threshold": 0.3}, "binary column"),
    ("CategoricalAccuracy", {}, "one-hot"),
    ("CategoricalAccuracy", {}, "one-hot sequences"),
    ("SparseCategoricalAccuracy", {}, "labels"),
    ("SparseCategoricalAccuracy", {}, "label column"),
    ("SparseCategoricalAccuracy", {}, "sequences"),
    ("TopKCategoricalAccuracy", {"k": 2}, "one-hot"),
    ("TopKCategoricalAccuracy", {"k": 3}, "one-hot sequences"),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, "labels"),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, "sequences"),
    ("SparseTopKCategoricalAccuracy", {"k": 2, "from_sorted_ids": True}, "sorted ids"),
    ("MeanSquaredError", {}, "numbers"),
    ("MeanSquaredError", {"dtype": "float16"}, "cube"),
    ("MeanSquaredError", {}, "column"),
    ("MeanAbsoluteError", {}, "cube"),
    ("MeanAbsolutePercentageError", {}, "positive"),
    ("MeanSquaredLogarithmicError", {}, "positive"),
    ("RootMeanSquaredError", {}, "numbers"),
    ("RootMeanSquaredError", {}, "column"),
    ("CosineSimilarity", {}, "numbers"),
    ("LogCoshError", {}, "numbers"),
    ("PearsonCorrelation", {}, "numbers"),
    ("ConcordanceCorrelation", {}, "numbers"),
    ("R2Score", {}, "numbers"),
    ("R2Score", {"class_aggregation": None, "num_regressors": 2}, "numbers"),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, "numbers"),
    ("KLDivergence", {}, "one-hot"),
    ("Poisson", {}, "positive"),
    ("BinaryCrossentropy", {}, "multi-label"),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "logits"),
    ("CategoricalCrossentropy", {}, "one-hot"),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2}, "one-hot sequences"),
    ("SparseCategoricalCrossentropy", {}, "labels"),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, "sequences"),
    ("Hinge", {}, "binary column"),
    ("SquaredHinge", {}, "binary column"),
    ("CategoricalHinge", {}, "one-hot"),
    ("TruePositives", {}, "binary"),
    ("TruePositives", {"thresholds": [0.2, 0.7]}, "binary"),
    ("FalsePositives", {"thresholds": [0.0, 0.5, 1.0]}, "edges"),
    ("TrueNegatives", {"thresholds": 0.25}, "edges"),
    ("FalseNegatives", {"thresholds": [0.1, 0.25, 0.5]}, "multi-label"),
    ("Precision", {}, "binary"),
    ("Precision", {"thresholds": [0.0, 0.25, 0.5, 0.75, 1.0]}, "edges"),
    ("Precision", {"top_k": 2}, "one-hot"),
    ("Precision", {"top_k": 2, "class_id": 1}, "one-hot"),
    ("Recall", {}, "binary column"),
    ("Recall", {"class_id": 2, "thresholds": 0.1}, "one-hot"),
    ("Recall", {"top_k": 3, "thresholds": 0.2}, "one-hot"),
    ("SensitivityAtSpecificity", {"specificity": 0.4}, "binary"),
    ("SpecificityAtSensitivity", {"sensitivity": 0.4, "class_id": 1}, "multi-label"),
    ("PrecisionAtRecall", {"recall": 0.4, "num_thresholds": 1}, "binary"),
    ("RecallAtPrecision", {"precision": 0.4, "num_thresholds": 30}, "multi-label"),
    ("AUC", {}, "binary"),
    ("AUC", {"num_thresholds": 5}, "edges"),
    ("AUC", {"curve": "PR"}, "binary"),
    ("AUC", {"curve": "PR", "summation_method": "majoring"}, "binary"),
    ("AUC", {"curve": "PRGAIN"}, "binary"),
    ("AUC", {"summation_method": "minoring", "thresholds": [0.2, 0.9]}, "binary"),
    ("AUC", {"num_thresholds": None, "thresholds": [0.2, 0.9]}, "binary"),
    ("AUC", {"multi_label": True, "num_labels": C}, "multi-label"),
    ("AUC", {"multi_label": True, "label_weights": [1, 2, 3, 4, 5]}, "multi-label"),
    ("AUC", {"multi_label": True, "thresholds": [0.3]}, "multi-label"),
    ("AUC", {"label_weights": [1.0, 2, 3, 4, 5]}, "multi-label"),
    ("AUC", {"from_logits": True}, "logits"),
    ("F1Score", {}, "one-hot"),
    ("F1Score", {"average": "weighted", "threshold": 0.3}, "multi-label"),
    ("FBetaScore", {"beta": 2.0, "average": "micro"}, "one-hot"),
    ("FBetaScore", {"beta": 0.5, "average": "macro"}, "one-hot"),
    ("IoU", {"num_classes": C, "target_class_ids": [0, 2]}, "classes"),
    ("IoU", {"num_classes": 3, "target_class_ids": [1], "dtype": "float32"}, "classes"),
    ("BinaryIoU", {"threshold": 0.3}, "masks"),
    ("BinaryIoU", {"target_class_ids": [1]}, "masks"),
    ("MeanIoU", {"num_classes": C, "ignore_class": 0}, "classes"),
    ("OneHotIoU", {"num_classes": C, "target_class_ids": [1]}, "one-hot sequences"),
    ("OneHotMeanIoU", {"num_classes": C}, "one-hot sequences"),
]


@pytest.fixture(autouse=True)
def names_start_anew(keras_oracle):
    keras_oracle.backend.clear_session(free_memory=False)
    clear_session(free_memory=False)


def _label(case):
    name, arguments, data = case
    return f"{name}({', '.join(f'{k}={v}' for k, v in arguments.items())}) {data}"


def _weight(name, arguments, y_true, weight):
    """One a sample; for pixels, and beside a mask, one for each of them."""
    if "IoU" in name or "ignore_class" in arguments:
        dims = y_true.ndim - name.startswith("OneHot")
        weight = weight.reshape((-1,) + (1,) * (dims - 1))
        weight = np.broadcast_to(weight, y_true.shape[:dims])
    return weight.astype("int32") if "IoU" in name else weight


def _run(library, name, arguments, data):
    """Three batches, the first without weights."""
    metric, results = getattr(library, name)(**arguments), []
    for i, (y_true, y_pred) in enumerate(SETS[data]):
        weight = _weight(name, arguments, y_true, WEIGHTS[i]) if i else None
        metric.update_state(y_true, y_pred, sample_weight=weight)
        results.append(np.array(metric.result(), "float32"))
    return metric, results


@pytest.mark.parametrize("case", CASES, ids=_label)
def test_results_and_state_are_those_of_keras(keras_oracle, case):
    expected, theirs = _run(keras_oracle.metrics, *case)
    metric, ours = _run(metrics, *case)
    tolerance = 5e-3 if case[1].get("dtype") == "float16" else 2e-5
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=1e-6)
    assert [v.path for v in metric.variables] == [v.path for v in expected.variables]
    for v, e in zip(metric.variables, expected.variables, strict=True):
        assert (v.shape, v.dtype) == (e.shape, e.dtype)
        np.testing.assert_allclose(v.numpy(), e.numpy(), rtol=tolerance, atol=1e-5)
    metric.reset_state()
    assert all(not v.numpy().any() for v in metric.variables)


# Keras leaves these arguments out of its own configs, or leaves them out when False.
SAID_TOO = {
    "CosineSimilarity": {"axis"},
    "SparseTopKCategoricalAccuracy": {"from_sorted_ids"},
}


@pytest.mark.parametrize("case", CASES, ids=_label)
def test_configs_are_those_of_keras(keras_oracle, case):
    name, arguments, _ = case
    expected = keras_oracle.metrics.serialize(
        getattr(keras_oracle.metrics, name)(**arguments)
    )
    ours = metrics.serialize(getattr(metrics, name)(**arguments))
    more = SAID_TOO.get(name, set()) - set(expected["config"])
    kept = {k: v for k, v in ours["config"].items() if k not in more}
    if name == "AUC" and kept["label_weights"]:
        record = expected["config"]["label_weights"]
        expected["config"]["label_weights"] = record["config"]["value"]
    assert {**ours, "config": kept} == expected
    again = metrics.deserialize(ours)
    assert metrics.serialize(again) == ours
    assert keras_oracle.metrics.deserialize(ours).name == again.name


def test_every_metric_of_keras_is_there(keras_oracle):
    theirs = {
        n
        for n, c in vars(keras_oracle.metrics).items()
        if inspect.isclass(c) or inspect.isfunction(c)
    }
    theirs -= {"KLD", "MAE", "MAPE", "MSE", "MSLE", "kld", "mae", "mape", "mse", "msle"}
    assert theirs - set(vars(metrics)) == set()
    rows = {name for name, _, _ in CASES} | {
        "Metric",
        "Mean",
        "Sum",
        "MeanMetricWrapper",
    }
    assert {n for n in theirs if n[0].isupper()} == rows


@pytest.mark.parametrize("name", sorted({name for name, _, _ in CASES}))
def test_positional_arguments_are_those_of_keras(keras_oracle, name):
    theirs, ours = (
        [
            (p.name, p.default)
            for p in inspect.signature(getattr(m, name).__init__).parameters.values()
        ][1:]
        for m in (keras_oracle.metrics, metrics)
    )
    assert ours == theirs


@pytest.mark.parametrize(
    "name", ["mse", "MAE", "mape", "msle", "bce", "binary_accuracy", "auc", "f1_score",
             "cosine_similarity", "kl_divergence", "Precision", "r2_score", "Hinge",
             "sparse_top_k_categorical_accuracy", "log_cosh_error", "accuracy"],
)  # fmt: skip
def test_names(keras_oracle, name):
    assert (
        type(metrics.get(name)).__name__
        == type(keras_oracle.metrics.get(name)).__name__
    )


ONE_OF_EACH = list({case[0]: case for case in CASES}.values())


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=_label)
def test_the_pure_functions_run_under_jit(case):
    name, arguments, data = case
    metric, _ = _run(metrics, *case)
    metric.reset_state()
    traces = []

    @jax.jit
    def step(state, y_true, y_pred, weight):
        traces.append(1)
        return metric.stateless_update_state(state, y_true, y_pred, weight)

    state = metric.stateless_reset_state()
    for i, (y_true, y_pred) in enumerate(SETS[data]):
        weight = _weight(name, arguments, y_true, WEIGHTS[i])
        state = step(state, y_true, y_pred, weight)
        metric.update_state(y_true, y_pred, weight)
    result = metric.stateless_result(state)
    np.testing.assert_allclose(result, metric.result(), rtol=2e-5, atol=1e-6)
    assert len(traces) == 1
