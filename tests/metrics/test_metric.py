"""What all metrics share: state, users' subclasses, masks, wrappers, messages."""

import jax.numpy as jnp
import numpy as np
import pytest

from carnyx import metrics
from carnyx._core.masks import set_mask
from carnyx._core.variable import Variable
from carnyx.errors import ArgumentError, ShapeError, UnknownNameError
from carnyx.registry import register_keras_serializable


class Hits(metrics.Metric):
    """As users of Keras 3 write them."""

    def __init__(self, name="hits", power=1, **kwargs):
        super().__init__(name=name, **kwargs)
        self.power = power
        self.hits = self.add_weight(name="hits", initializer="zeros")
        self.lowest = self.add_variable(shape=(), initializer="ones", name="lowest")

    def update_state(self, y_true, y_pred, sample_weight=None):
        hits = jnp.sum(jnp.asarray(y_true) == jnp.asarray(y_pred))
        self.hits.assign_add(hits**self.power)
        self.lowest.assign(jnp.minimum(self.lowest.value, hits))

    def result(self):
        return {"hits": self.hits.value, "lowest": self.lowest.value}


def test_a_users_metric_counts_resets_and_has_a_config():
    metric = Hits(power=2)
    assert float(metric([1, 2, 3], [1, 2, 0])["hits"]) == 4
    assert float(metric([1], [0])["lowest"]) == 0
    assert [v.path for v in metric.variables] == ["hits/hits", "hits/lowest"]
    metric.reset_state()
    assert [float(v) for v in metric.variables] == [0, 1]  # the first values
    config = metric.get_config()
    assert config == {"name": "hits", "dtype": "float32", "power": 2}
    assert Hits.from_config(config).power == 2


def test_the_first_values_come_back_without_touching_the_metric():
    metric = Hits()
    state = metric.stateless_update_state(
        metric.stateless_reset_state(), [1, 1], [1, 1]
    )
    assert [float(v) for v in state] == [2, 1]
    assert float(metric.stateless_result(state)["hits"]) == 2
    assert float(metric.result()["hits"]) == 0


class Composite(metrics.Metric):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.mean = metrics.Mean(name="mean")
        self.parts = [metrics.Sum(name="a"), metrics.Sum(name="b")]
        self.own = Variable(3.0, name="own")

    def update_state(self, values):
        for metric in (self.mean, *self.parts):
            metric.update_state(values)
        self.own.assign_add(1)

    def result(self):
        return self.mean.result() + sum(m.result() for m in self.parts)


def test_metrics_inside_a_metric_are_part_of_it():
    metric = Composite()
    assert metric.name == "composite" and len(metric.variables) == 5
    assert float(metric([1.0, 3.0])) == 10
    state = metric.stateless_update_state(metric.stateless_reset_state(), [1.0])
    assert float(metric.stateless_result(state)) == 3
    metric.reset_state()
    assert [float(v) for v in metric.variables] == [3, 0, 0, 0, 0]


@pytest.mark.parametrize("name", ["Mean", "Sum"])
@pytest.mark.parametrize(
    "values, weight",
    [
        (5.0, None),
        ([1.0, 3.0, 5.0, 7.0], [1, 1, 0, 0]),
        ([[1.0, 2.0], [3.0, 5.0]], [1.0, 3.0]),
        ([[1.0, 2.0], [3.0, 5.0]], [[1.0, 0.0], [2.0, 3.0]]),
        ([[[1.0, 2.0]], [[3.0, 5.0]]], [[1.0], [3.0]]),
        ([[1.0], [2.0]], [3.0, 4.0]),
    ],
)
def test_means_and_sums_are_those_of_keras(keras_oracle, name, values, weight):
    ours, theirs = getattr(metrics, name)(), getattr(keras_oracle.metrics, name)()
    for _ in range(2):
        results = [
            m(np.array(values, "float32"), weight and np.array(weight, "float32"))
            for m in (ours, theirs)
        ]
        np.testing.assert_allclose(*results, rtol=1e-6)
    assert ours.get_config() == theirs.get_config()


def test_a_mask_counts_as_weights():
    y_pred = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    set_mask(y_pred, jnp.array([[True, False], [True, True]]))
    y_true = np.array([[0.0, 0.0], [0.0, 0.0]])
    for weight, expected in ((None, 8 / 3), (np.array([[2, 1], [1, 0]]), 5 / 3)):
        metric = metrics.MeanMetricWrapper(lambda t, p: jnp.abs(t - p))
        assert float(metric(y_true, y_pred, weight)) == pytest.approx(expected)


@register_keras_serializable("tests")
def gap(y_true, y_pred, power=1):
    return jnp.abs(jnp.asarray(y_true) - jnp.asarray(y_pred)) ** power


@pytest.mark.parametrize(
    "fn", [metrics.mean_squared_error, metrics.binary_accuracy, gap]
)
def test_a_wrapped_function_survives_its_config(fn):
    metric = metrics.MeanMetricWrapper(fn, name="wrapped", dtype="float32")
    again = metrics.deserialize(metrics.serialize(metric))
    assert again._fn is fn and again.name == "wrapped"


def test_arguments_of_a_wrapped_function_are_kept():
    metric = metrics.MeanMetricWrapper(gap, power=2)
    again = metrics.deserialize(metrics.serialize(metric))
    assert float(again([1.0, 2.0], [1.0, 5.0])) == 4.5


def test_keras_reads_a_wrapped_function_and_we_read_its(keras_oracle):
    ours = metrics.serialize(metrics.MeanMetricWrapper(metrics.mean_squared_error, "m"))
    theirs = keras_oracle.metrics.deserialize(ours)
    assert theirs._fn is keras_oracle.losses.mean_squared_error
    assert keras_oracle.metrics.serialize(theirs) == ours
    again = metrics.deserialize(keras_oracle.metrics.serialize(theirs))
    assert again._fn is metrics.mean_squared_error


def test_adjusted_r2_needs_more_samples_than_regressors():
    y_true, y_pred = np.array([[1.0], [2.0], [4.0]]), np.array([[1.0], [2.5], [3.5]])
    plain = float(metrics.R2Score()(y_true, y_pred))
    adjusted = float(metrics.R2Score(num_regressors=1)(y_true, y_pred))
    assert adjusted == pytest.approx(1 - (1 - plain) * 2 / 1)
    assert float(metrics.R2Score(num_regressors=2)(y_true, y_pred)) == plain


def test_directions_tell_callbacks_what_is_better():
    up = metrics.AUC(), metrics.BinaryAccuracy(), metrics.CosineSimilarity()
    assert [m._direction for m in up] == ["up"] * 3
    assert metrics.KLDivergence()._direction == "down"
    assert metrics.MeanMetricWrapper(metrics.mean_squared_error)._direction == "down"
    assert metrics.Mean()._direction is None


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda: metrics.get("mzs"), UnknownNameError, "Unknown metric 'mzs'"),
        (lambda: metrics.get(3), ArgumentError, "Got 3 as metric"),
        (
            lambda: metrics.Precision(thresholds=[0.2, 1.5]),
            ArgumentError,
            "from 0 to 1",
        ),
        (lambda: metrics.AUC(curve="XY"), ArgumentError, "curve='XY'; expected one of"),
        (lambda: metrics.AUC(num_labels=3), ArgumentError, "needs multi_label=True"),
        (lambda: metrics.IoU(2, [0, 2]), ArgumentError, "numbers below num_classes=2"),
        (
            lambda: metrics.F1Score()([1], [1]),
            ShapeError,
            r"expected \(batch, classes\)",
        ),
        (
            lambda: metrics.FBetaScore(beta=0.0),
            ArgumentError,
            "expected a number above",
        ),
        (
            lambda: metrics.Mean().stateless_result([1.0]),
            ArgumentError,
            "got 1 metric_variables; expected 2",
        ),
        (
            lambda: metrics.Recall(class_id=1)([1], [0.5]),
            ShapeError,
            r"expected \(batch, classes\)",
        ),
    ],
)
def test_messages(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_float_weights_of_an_integer_metric_are_warned_of():
    with pytest.warns(UserWarning, match="truncates the float weights"):
        metrics.MeanIoU(2)([0, 1], [0, 1], np.array([0.5, 1.0]))
