"""Steps, losses and metrics that users write, in the ways of Keras 3."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import carnyx as keras

X = np.random.default_rng(0).normal(size=(48, 5)).astype("float32")
Y = X[:, :1] * 2 - X[:, 1:2]


def _inner(name: str) -> Any:
    return keras.layers.Dense(
        1, kernel_initializer=keras.initializers.GlorotUniform(seed=1), name=name
    )


class JaxStyle(keras.Model):
    """The custom step of Keras's guide for JAX."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = _inner("dense")
        self.mae = keras.metrics.MeanAbsoluteError(name="mae")
        self.loss_tracker = keras.metrics.Mean(name="loss")

    def call(self, x: Any) -> Any:
        return self.dense(x)

    @property
    def metrics(self) -> list[Any]:
        return [self.loss_tracker, self.mae]

    def loss_and_updates(self, trainable: Any, fixed: Any, x: Any, y: Any) -> Any:
        y_pred, fixed = self.stateless_call(trainable, fixed, x, training=True)
        return self.compute_loss(x, y, y_pred), (y_pred, fixed)

    def train_step(self, state: Any, data: Any) -> Any:
        trainable, fixed, slots, metrics = state
        x, y = data
        gradient = jax.value_and_grad(self.loss_and_updates, has_aux=True)
        (loss, (y_pred, fixed)), grads = gradient(trainable, fixed, x, y)
        trainable, slots = self.optimizer.stateless_apply(slots, grads, trainable)
        n = len(self.loss_tracker.variables)
        first = self.loss_tracker.stateless_update_state(metrics[:n], loss)
        rest = self.mae.stateless_update_state(metrics[n:], y, y_pred)
        logs = {
            "loss": self.loss_tracker.stateless_result(first),
            "mae": self.mae.stateless_result(rest),
        }
        return logs, (trainable, fixed, slots, [*first, *rest])


def test_the_jax_style_step_equals_the_plain_one() -> None:
    custom = JaxStyle()
    plain = keras.Sequential([keras.Input((5,)), _inner("dense")])
    for model in (custom, plain):
        model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    a = custom.fit(X, Y, batch_size=12, epochs=3, shuffle=False, verbose=0)
    b = plain.fit(X, Y, batch_size=12, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(a.history["mae"], b.history["mae"], rtol=1e-5)
    np.testing.assert_allclose(custom.get_weights()[0], plain.get_weights()[0], 1e-5)


class OwnLoss(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = _inner("dense")
        self.tracker = keras.metrics.Mean(name="half")

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ) -> Any:
        loss = keras.ops.mean(keras.ops.square(y - y_pred))
        self.tracker.update_state(loss / 2)
        return loss


def test_compute_loss_can_be_overridden_and_its_metrics_are_tracked() -> None:
    model = OwnLoss()
    model.compile("sgd")
    history = model.fit(X, Y, batch_size=48, epochs=2, verbose=0).history
    np.testing.assert_allclose(
        np.array(history["half"]) * 2, history["loss"], rtol=1e-5
    )
    assert history["loss"][1] < history["loss"][0]


class OwnMetrics(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = _inner("dense")

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def compute_metrics(self, x, y, y_pred, sample_weight=None) -> Any:
        results = super().compute_metrics(x, y, y_pred, sample_weight)
        return results | {"doubled": 2 * results["loss"]}


def test_compute_metrics_can_be_overridden() -> None:
    model = OwnMetrics()
    model.compile("sgd", "mse")
    history = model.fit(X, Y, verbose=0).history
    np.testing.assert_allclose(history["doubled"][0], 2 * history["loss"][0], 1e-6)


class Noisy(keras.layers.Layer):
    """`add_loss` in a call, and a state that the call changes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.calls = self.add_weight(initializer="zeros", trainable=False, name="calls")

    def call(self, x: Any) -> Any:
        self.calls.assign_add(1.0)
        self.add_loss(0.5 * keras.ops.mean(x**2))
        return x


def test_losses_that_layers_add_and_states_that_they_change() -> None:
    model = keras.Sequential([keras.Input((5,)), Noisy(), _inner("dense")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    history = model.fit(X, Y, batch_size=12, verbose=0, shuffle=False).history
    base = np.mean((model.predict(X, verbose=0) - Y) ** 2)
    np.testing.assert_allclose(history["loss"][0], base + 0.5 * np.mean(X**2), 1e-5)
    # fit's batches of 12, predict's of 32
    assert float(model.layers[0].calls.numpy()) == 4 + 2


def test_losses_without_a_compiled_loss() -> None:
    model = keras.Sequential([keras.Input((5,)), _inner("dense"), Noisy()])
    model.compile("sgd")
    history = model.fit(X, batch_size=12, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    model = keras.Sequential([keras.Input((5,)), _inner("dense")])
    model.compile("sgd")
    with pytest.raises(ValueError, match="nothing to minimise"):
        model.fit(X, Y, verbose=0)


def test_a_hand_written_jax_loop() -> None:
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.BatchNormalization(), _inner("dense")]
    )
    optimizer = keras.optimizers.Adam(0.05)
    optimizer.build(model.trainable_variables)
    metric = keras.metrics.MeanSquaredError()

    def loss_of(trainable: Any, fixed: Any, x: Any, y: Any) -> Any:
        y_pred, fixed = model.stateless_call(trainable, fixed, x, training=True)
        return keras.losses.MeanSquaredError()(y, y_pred), (y_pred, fixed)

    @jax.jit
    def step(state: Any, x: Any, y: Any) -> Any:
        trainable, fixed, slots, metrics = state
        (_, (y_pred, fixed)), grads = jax.value_and_grad(loss_of, has_aux=True)(
            trainable, fixed, x, y
        )
        trainable, slots = optimizer.stateless_apply(slots, grads, trainable)
        metrics = metric.stateless_update_state(metrics, y, y_pred)
        return trainable, fixed, slots, metrics

    state = tuple(
        [v.value for v in part]
        for part in (
            model.trainable_variables,
            model.non_trainable_variables,
            optimizer.variables,
            metric.variables,
        )
    )
    first = float(metric.stateless_result(step(state, X, Y)[3]))
    for _ in range(60):
        state = step((*state[:3], metric.stateless_reset_state()), X, Y)
    assert float(metric.stateless_result(state[3])) < 0.5 * first


def test_a_step_that_returns_the_wrong_state_is_told() -> None:
    class Wrong(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = _inner("dense")

        def call(self, x: Any) -> Any:
            return self.dense(x)

        def train_step(self, state: Any, data: Any) -> Any:
            return {"loss": 0.0}, state[:2]

    model = Wrong()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="returned a state of"):
        model.fit(X, Y, verbose=0)
