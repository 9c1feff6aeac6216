"""Metrics that read weights and what the optimizer keeps see them as they are now."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

import carnyx as keras

X = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
Y = X[:, :1]
PLACES = ["one", "data", "scopes", "pipeline"]


class Measured(keras.Model):
    """Logs how large a kernel is."""

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        logs = super().compute_metrics(x, y, y_pred, sample_weight)
        return logs | {"norm": keras.ops.sum(self.layers[1].kernel ** 2)}


class MeasuredWithOwnLoss(Measured):
    """Its steps are no chain of programs."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        return super().compute_loss(*args, **kwargs)


def model_at(place: str, kind: type = Measured, **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    scope: Any = keras.device if place == "scopes" else contextlib.nullcontext
    inputs = keras.Input((8,))
    with scope("cpu:1"):
        hidden = keras.layers.Dense(6)(inputs)
    with scope("cpu:2"):
        outputs = keras.layers.Dense(1)(hidden)
    model = kind(inputs, outputs)
    if place == "pipeline":
        model = keras.distribution.Pipeline(model, stages=2, microbatches=2)
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.9)
    optimizer = keras.optimizers.SGD(rate)

    def rate_now(y_true: Any, y_pred: Any) -> Any:
        return optimizer.learning_rate

    def steps_now(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.cast(optimizer.iterations, "float32")

    model.compile(optimizer, "mse", metrics=[rate_now, steps_now], **options)
    return model


def check(place: str, kind: type = Measured, **options: Any) -> None:
    data = keras.distribution.DataParallel()
    keras.distribution.set_distribution(data if place == "data" else None)
    try:
        model = model_at(place, kind, **options)
        history = model.fit(X, Y, batch_size=8, epochs=2, verbose=0).history
        rates = [0.1 * 0.9**step for step in range(8)]
        expected = [np.mean(rates[:4]), np.mean(rates[4:])]
        np.testing.assert_allclose(history["rate_now"], expected, rtol=1e-5)
        np.testing.assert_allclose(history["steps_now"], [1.5, 5.5])
        assert history["norm"][0] != history["norm"][1]
        for value in (0.0, 1.0, 2.0):
            model.layers[1].kernel.assign(np.full((8, 6), value))
            found = model.evaluate(X, Y, verbose=0, return_dict=True)
            np.testing.assert_allclose(found["norm"], 48 * value**2)
    finally:
        keras.distribution.set_distribution(None)


@pytest.mark.parametrize("place", PLACES)
def test_compiled(place: str) -> None:
    check(place)


def test_op_by_op_and_with_a_loss_of_its_own() -> None:
    check("one", run_eagerly=True)
    check("scopes", run_eagerly=True)
    check("scopes", MeasuredWithOwnLoss)


def test_what_a_model_does_not_own_may_be_trained_meanwhile() -> None:
    """A teacher that a loss closes over: read, never given away."""
    teacher = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    teacher.compile("sgd", "mse")
    pupil = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])

    def to_teacher(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean((y_pred - teacher(y_true)) ** 2)

    pupil.compile("sgd", to_teacher)
    for _ in range(3):
        teacher.fit(X, Y, verbose=0)
        pupil.fit(X, X, verbose=0)
    assert np.isfinite(pupil.evaluate(X, X, verbose=0))


def test_a_step_may_not_assign_what_it_does_not_return() -> None:
    class Careless(keras.Model):
        def train_step(self, state: Any, data: Any) -> Any:
            self.layers[1].kernel.assign(self.layers[1].kernel * 2)
            return super().train_step(state, data)

    inputs = keras.Input((8,))
    model = Careless(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    with pytest.raises(keras.errors.ArgumentError, match="kernel' is assigned in a f"):
        model.fit(X, Y, verbose=0)
    assert np.isfinite(model.get_weights()[0]).all()
