"""Steps in the simple style, `train_step(self, data)`: as the plain ones, and GANs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import carnyx as keras
from carnyx import layers, ops

X = np.random.default_rng(0).normal(size=(50, 5)).astype("float32")
Y = X[:, :1] * 2 - X[:, 1:2]


class Simple(keras.Model):
    """The standard step, written line by line."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = layers.BatchNormalization()
        self.drop = layers.Dropout(0.2, seed=1)
        init = keras.initializers.GlorotUniform(seed=1)
        self.dense = layers.Dense(1, kernel_initializer=init, name="dense")

    def call(self, x: Any, training: bool = False) -> Any:
        x = self.drop(self.norm(x, training=training), training=training)
        return self.dense(x)

    def train_step(self, data: Any) -> Any:
        x, y = data

        def objective() -> Any:
            y_pred = self(x, training=True)
            return self.compute_loss(x=x, y=y, y_pred=y_pred), y_pred

        (loss, y_pred), gradients = self.value_and_grad(objective, has_aux=True)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=x.shape[0])
            else:
                metric.update_state(y, y_pred)
        return self.get_metrics_result()


class Plain(Simple):
    train_step = keras.Model.train_step


def trained(cls: type, **options: Any) -> tuple[Any, Any]:
    model = cls()
    model.compile(
        keras.optimizers.Adam(0.05, use_ema=True), "mse", metrics=["mae"], **options
    )
    history = model.fit(
        X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0,
        validation_data=(X[:10], Y[:10]),
    )  # fmt: skip
    return model, history.history


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}], ids=["jit", "eager"])
def test_it_trains_as_the_plain_step_does(options: dict[str, Any]) -> None:
    simple, history = trained(Simple, **options)
    plain, expected = trained(Plain)
    assert history.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, 1e-4, err_msg=name)
    for a, b in zip(simple.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, 1e-4, 1e-5)
    np.testing.assert_array_equal(simple.optimizer.iterations, 12)


def test_the_step_is_compiled_once_a_batch_size() -> None:
    traces: list[Any] = []

    class Counted(Simple):
        def train_step(self, data: Any) -> Any:
            traces.append(data[0].shape[0])
            return super().train_step(data)

    model = Counted()
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0)
    known = len(traces)
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0)
    assert len(traces) == known and 2 in traces


class Gan(keras.Model):
    """Two networks, two optimizers, no `call`; noise from the global seed."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(5)])
        self.critic = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(1)])
        self.d_loss = keras.metrics.Mean(name="d_loss")
        self.g_loss = keras.metrics.Mean(name="g_loss")

    def compile(self, d_optimizer: Any, g_optimizer: Any) -> None:
        super().compile()
        self.optimizers = {"d": d_optimizer, "g": g_optimizer}
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)

    @property
    def metrics(self) -> list[Any]:
        return [self.d_loss, self.g_loss]

    def train_step(self, data: Any) -> Any:
        (real,) = data
        n = ops.shape(real)[0]
        noise = keras.random.normal((n, 3))

        def critic_loss() -> Any:
            fake = self.critic(self.generator(noise))
            labels = ops.concatenate([ops.zeros((n, 1)), ops.ones((n, 1))])
            logits = ops.concatenate([fake, self.critic(real)])
            return self.loss_fn(labels, logits)

        def generator_loss() -> Any:
            return self.loss_fn(ops.ones((n, 1)), self.critic(self.generator(noise)))

        weights = self.critic.trainable_variables
        loss, gradients = self.value_and_grad(critic_loss, weights)
        self.optimizers["d"].apply(gradients, weights)
        self.d_loss.update_state(loss)
        weights = self.generator.trainable_variables
        loss, gradients = self.value_and_grad(generator_loss, weights)
        self.optimizers["g"].apply(gradients, weights)
        self.g_loss.update_state(loss)
        return {m.name: m.result() for m in self.metrics}


def gan(d: float = 0.01, g: float = 0.01) -> Gan:
    keras.utils.set_random_seed(0)
    model = Gan()
    model.compile(keras.optimizers.Adam(d), keras.optimizers.Adam(g))
    return model


def test_several_optimizers_each_with_variables_of_its_own() -> None:
    model = gan()
    history = model.fit(X, batch_size=25, epochs=3, verbose=0).history
    assert (
        list(history) == ["d_loss", "g_loss"] and np.isfinite(history["g_loss"]).all()
    )
    for optimizer in model.optimizers.values():
        assert int(optimizer.iterations) == 6 and len(optimizer.variables) == 2 + 2 * 4
        assert all(np.abs(v.numpy()).sum() > 0 for v in optimizer.variables[2:])
    assert not model.optimizer.built  # that of compile was not used


@pytest.mark.parametrize("frozen", ["generator", "critic"])
def test_a_network_that_is_not_stepped_stays(frozen: str) -> None:
    model = gan(**{"d" if frozen == "critic" else "g": 0.0})
    model.fit(X[:25], verbose=0)  # builds
    nets = {name: getattr(model, name) for name in ("generator", "critic")}
    before = {name: net.get_weights()[0] for name, net in nets.items()}
    model.fit(X, batch_size=25, verbose=0)
    for name, net in nets.items():
        assert np.array_equal(net.get_weights()[0], before[name]) is (name == frozen)


def test_noise_differs_from_step_to_step_and_repeats_with_the_seed() -> None:
    a = gan().fit(X, batch_size=25, epochs=3, verbose=0).history
    b = gan().fit(X, batch_size=25, epochs=3, verbose=0).history
    assert a == b and len(set(a["g_loss"])) == 3


def test_going_on_from_a_backup_has_both_optimizers(tmp_path: Any) -> None:
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    whole = gan()
    expected = whole.fit(X, batch_size=25, epochs=4, verbose=0).history
    with pytest.raises(KeyboardInterrupt):
        gan().fit(
            X, batch_size=25, epochs=4, verbose=0, resume=tmp_path, callbacks=[Stop()]
        )
    model = gan()
    again = model.fit(X, batch_size=25, epochs=4, verbose=0, resume=tmp_path).history
    assert again == expected
    for a, b in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_frozen_layer_has_no_gradient() -> None:
    model = Simple()
    model(X)
    model.norm.trainable = False
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    assert len(model.optimizer._trainable_variables) == 2
    np.testing.assert_array_equal(model.norm.gamma.numpy(), 1)


def test_test_step_and_predict_step_in_the_simple_style() -> None:
    class Whole(Simple):
        def test_step(self, data: Any) -> Any:
            x, y = data
            return {"error": ops.mean(ops.abs(y - self(x)))}

        def predict_step(self, data: Any) -> Any:
            return 10 * self(data[0])

    model = Whole()
    model.compile("sgd", "mse")
    error = model.evaluate(X, Y, batch_size=50, verbose=0, return_dict=True)["error"]
    y = np.asarray(model(X))
    np.testing.assert_allclose(error, np.abs(y - Y).mean(), 1e-5)
    np.testing.assert_allclose(model.predict(X, verbose=0), 10 * y, 1e-5, 1e-6)
    history = model.fit(X, Y, validation_data=(X, Y), verbose=0).history
    assert {"loss", "val_error"} == set(history)


def test_gradients_outside_of_any_step_keep_what_was_assigned() -> None:
    model = Simple()
    model(X)
    gradients = model.value_and_grad(lambda: ops.sum(model(X, training=True)))[1]
    assert [g.shape for g in gradients] == [v.shape for v in model.trainable_variables]
    assert np.abs(model.norm.moving_mean.numpy()).sum() > 0


def test_errors_say_what_to_do() -> None:
    class Nothing(Simple):
        def train_step(self, data: Any) -> Any:
            super().train_step(data)

    model = Nothing()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="returned NoneType; expected a dict of logs"):
        model.fit(X, Y, verbose=0)

    stray = keras.Variable(0.0, name="stray")

    class Assigns(Simple):
        def train_step(self, data: Any) -> Any:
            stray.assign_add(1.0)
            return super().train_step(data)

    model = Assigns()
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=len(X) // 2, epochs=2, verbose=0)
    assert float(stray) == 4
