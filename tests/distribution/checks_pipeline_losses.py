"""Whatever a loss, a metric or a step of the model's own computes, a pipeline computes
it once, on the whole batch, as one device does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import carnyx as keras
from carnyx.distribution import Pipeline
from tests.distribution.checks_training import check_same

layers, losses, ops = keras.layers, keras.losses, keras.ops
RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=(22, 6)).astype("float32")
Y = np.eye(4, dtype="float32")[RANDOM.integers(0, 4, 22)]
WEIGHTS = np.linspace(0.0, 2.0, 22, dtype="float32")


def built(cls: type = keras.Model, masked: bool = False) -> Any:
    keras.utils.set_random_seed(3)
    inputs = x = keras.Input((6,))
    if masked:
        x = layers.Reshape((3, 2))(x)
        x = layers.Masking(0.5)(x)
        x = layers.Dense(5, "tanh")(layers.GRU(5, return_sequences=True)(x))
        return cls(inputs, layers.Dense(4)(x))
    x = layers.Dense(8, "tanh", kernel_regularizer="l2")(x)
    x = layers.Dense(7, "tanh", activity_regularizer="l1")(x)
    return cls(inputs, layers.Dense(4, "softmax")(x))


def both(make: Callable[[], Any], see: Callable[[Any], Any], **pipeline: Any) -> None:
    """A pipeline in 3 stages sees what one device sees."""
    options = {"stages": 3, "microbatches": 4} | pipeline
    piped = see(Pipeline(make(), **options))
    alone = see(make())
    assert piped.keys() == alone.keys()
    check_same(piped, alone)


def fitted(model: Any, loss: Any, y: Any = Y, **options: Any) -> dict[str, Any]:
    fit = {"sample_weight": WEIGHTS} | options.pop("fit", {})
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, **options)
    model.reset_metrics()
    seen = model.fit(
        X, y, batch_size=11, epochs=2, shuffle=False, verbose=0, **fit
    ).history
    scores = model.evaluate(X, y, batch_size=11, verbose=0)
    return {**seen, "scores": scores, "weights": model.get_weights()}


class Ranked(losses.Loss):
    """Its own `__call__`, over pairs of samples."""

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        gaps = y_pred[:, None] - y_pred[None]
        return ops.mean(ops.relu(gaps * (y_true[None] - y_true[:, None])))


LOSSES: dict[str, Any] = {
    "dice": losses.Dice(),
    "tversky": losses.Tversky(),
    "of pairs of samples": Ranked(),
    "a function": lambda y, p: ops.mean((y - p) ** 2) / (1 + ops.max(p)),
    "weighted mean": losses.MeanSquaredError(reduction="mean_with_sample_weight"),
    "sum": losses.MeanSquaredError(reduction="sum"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_that_look_at_the_whole_batch(name: str) -> None:
    weights = WEIGHTS if name in ("weighted mean", "sum") else None
    options: Any = {"metrics": ["accuracy"], "fit": {"sample_weight": weights}}
    both(built, lambda model: fitted(model, LOSSES[name], **options))


def test_a_loss_that_compares_samples() -> None:
    labels = np.argmax(Y, -1)
    both(
        built, lambda m: fitted(m, losses.Circle(), labels, fit={"sample_weight": None})
    )


@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "mean_with_sample_weight"]
)
def test_masks_of_the_data(reduction: str) -> None:
    x = X.copy()
    x[3:9, 2:] = 0.5
    y = RANDOM.normal(size=(22, 3, 4)).astype("float32")
    loss = losses.MeanAbsoluteError(reduction=reduction)

    def see(model: Any) -> Any:
        model.compile("sgd", loss, weighted_metrics=["mse"])
        weights = np.repeat(WEIGHTS[:, None], 3, 1)
        seen = model.fit(x, y, batch_size=11, verbose=0, sample_weight=weights).history
        return seen | {"weights": model.get_weights()}

    both(lambda: built(masked=True), see)


class ByLoss(keras.Model):
    """Reads the inputs, and a weight that lives elsewhere."""

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ) -> Any:
        total = super().compute_loss(x, y, y_pred, sample_weight, training)
        first = self.trainable_variables[0]
        return total + 0.01 * ops.mean(x**2) * ops.sum(first**2)


class ByMetrics(keras.Model):
    def compute_metrics(self, x, y, y_pred, sample_weight=None) -> Any:
        found = super().compute_metrics(x, y, y_pred, sample_weight)
        return found | {"largest": ops.max(x) * ops.sum(y_pred)}


class ByStep(keras.Model):
    def train_step(self, data: Any) -> Any:  # type: ignore[override]
        x, y, _ = data
        loss, gradients = self.value_and_grad(
            lambda: self.compute_loss(x, y, self(x, training=True))
        )
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


class ByCall(keras.Model):
    def call(self, x: Any) -> Any:
        return 2 * super().call(x)


@pytest.mark.parametrize("cls", [ByLoss, ByMetrics, ByStep, ByCall])
def test_methods_of_the_model(cls: type) -> None:
    both(lambda: built(cls), lambda model: fitted(model, "mse", metrics=["mae"]))


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"jit_compile": False}])
def test_op_by_op(options: dict[str, Any]) -> None:
    both(built, lambda model: fitted(model, "mse", **options), stages=2, microbatches=2)


class Dropped(layers.Layer):
    """A mask that changes from one microbatch to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.add_weight((), "zeros", trainable=False, name="calls")

    def call(self, x: Any) -> Any:
        self.calls.assign_add(1.0)
        return x

    def compute_mask(self, x: Any, mask: Any = None) -> Any:
        return ops.any(x > 0.1 * self.calls, -1)


def test_a_mask_that_follows_a_state() -> None:
    keras.utils.set_random_seed(3)
    dense = layers.Dense(4)
    model = keras.Sequential([keras.Input((3, 2)), layers.Dense(4), Dropped(), dense])
    pipeline = Pipeline(model, stages=2, microbatches=2)
    pipeline.compile("sgd", losses.MeanSquaredError(reduction="sum"))
    x, y = X.reshape(22, 3, 2), np.zeros((22, 3, 4), "float32")
    kernel, bias = model.layers[0].get_weights()
    last, _ = dense.get_weights()
    hidden = x @ kernel + bias
    calls = np.repeat([1.0, 2.0], 11)[:, None]  # of each microbatch
    kept = np.any(hidden > 0.1 * calls[..., None], -1)
    expected = (((hidden @ last) ** 2).mean(-1) * kept).sum()
    np.testing.assert_allclose(pipeline.train_on_batch(x, y), expected, rtol=1e-4)


class Adds(layers.Layer):
    """Losses of both forms: a value a sample, and a mean."""

    def call(self, x: Any) -> Any:
        self.add_loss(0.01 * ops.sum(x**2, -1))
        self.add_loss(0.1 * ops.mean(ops.abs(x)))
        return x


def test_losses_that_layers_add() -> None:
    def make() -> Any:
        keras.utils.set_random_seed(3)
        dense = [layers.Dense(5, "tanh"), Adds(), layers.Dense(5), Adds()]
        return keras.Sequential([keras.Input((6,)), *dense, layers.Dense(4)])

    both(make, lambda model: fitted(model, "mse"))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_stages_computed_again_give_the_same(policy: str) -> None:
    def make() -> Any:
        keras.utils.set_random_seed(3)
        keras.config.set_dtype_policy(policy)
        try:
            inputs = keras.Input((6,))
            x = layers.Dense(8, "tanh", kernel_regularizer="l2")(inputs)
            y = layers.Dropout(0.4)(layers.Dense(8, "relu")(x))
            y = layers.BatchNormalization()(layers.Add()([x, y]))
            return keras.Model(inputs, layers.Dense(4)(y))
        finally:
            keras.config.set_dtype_policy("float32")

    pipelines = [Pipeline(make(), 3, 4, remat=remat) for remat in (False, True)]
    plain, again = (fitted(p, "mse", metrics=["mae"]) for p in pipelines)
    assert plain.keys() == again.keys()
    np.testing.assert_allclose(again["loss"], plain["loss"], rtol=1e-5)
    tolerance = 1e-5 if policy == "float32" else 1e-2
    for a, b in zip(again["weights"], plain["weights"], strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_a_layer_with_state_in_two_stages() -> None:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6,))
    shared = layers.BatchNormalization(momentum=0.5)
    x = shared(layers.Dense(6)(inputs))
    model = keras.Model(inputs, shared(layers.Dense(6)(layers.Dense(6)(x))))
    pipeline = Pipeline(model, stages=2, microbatches=2, costs=[1] * 5)
    assert len({name for part in pipeline.stages for name in part}) == 4
    pipeline.compile("sgd", "mse")
    first = pipeline.train_on_batch(X, X)
    assert np.isfinite(first) and pipeline.train_on_batch(X, X) < first
    assert np.abs(shared.get_weights()[2]).sum() > 0
