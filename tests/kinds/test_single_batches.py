"""Kind: a result that has more in it than was asked for.

`train_on_batch` and `test_on_batch` gave running means since the first call, training
mixed with testing: metrics were only reset by `fit` and `evaluate`. Whoever writes a
loop by hand (GANs, reinforcement learning) reads the loss of this batch. The other way
round, `evaluate` and `predict` went on although a callback had asked them to stop.
"""

import itertools

import numpy as np
import pytest

import carnyx as keras


def _model(**options):
    inputs = keras.Input((1,))
    net = keras.Model(inputs, [keras.layers.Identity(name=n)(inputs) for n in "ab"])
    net.compile("sgd", ["mse", "mae"], metrics=[["mse"], ["mae"]], **options)
    return net


def _expected(x):
    values = {"a_loss": x * x, "b_loss": x, "a_mse": x * x, "b_mae": x}
    return values | {"loss": x * x + x}


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("first", ["train", "test"])
def test_the_values_are_those_of_the_batch(eager, first):
    model = _model(run_eagerly=eager)
    zero = [np.zeros((4, 1))] * 2
    other = "test" if first == "train" else "train"
    for value, which in zip((1.0, 2.0, 3.0), (first, other, first), strict=True):
        step = getattr(model, f"{which}_on_batch")
        logs = step(np.full((4, 1), value), zero, return_dict=True)
        assert logs == pytest.approx(_expected(value))


def test_a_step_of_ones_own():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1, kernel_initializer="ones")
            self.mean = keras.metrics.Mean(name="mean")

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            self.mean.update_state(self(data[0]))
            return {"mean": self.mean.result()}

    model = Own()
    model.compile("sgd", "mse")
    for value in (1.0, 2.0):
        x = np.full((2, 1), value)
        logs = model.train_on_batch(x, x, return_dict=True)
        assert logs["mean"] == pytest.approx(value)


@pytest.mark.parametrize("name", ["evaluate", "predict"])
def test_loops_stop_when_asked(name):
    seen = []
    hook = {"evaluate": "on_test_batch_end", "predict": "on_predict_batch_end"}[name]
    flag = {"evaluate": "stop_evaluating", "predict": "stop_predicting"}[name]

    class Stop(keras.callbacks.Callback):
        def stop(self, batch, logs=None):
            seen.append(batch)
            if batch == 1:
                setattr(self.model, flag, True)

    setattr(Stop, hook, Stop.stop)
    model = _model()
    data = (np.ones((2, 1)), [np.ones((2, 1))] * 2)
    data = data if name == "evaluate" else data[:1]
    for _ in range(2):  # the flag of one loop is not that of the next
        seen.clear()
        getattr(model, name)(itertools.repeat(data), callbacks=[Stop()], verbose=0)
        assert seen == [0, 1]
