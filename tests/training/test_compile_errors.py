"""Compiling and feeding wrongly: what is wrong, where, and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import carnyx as keras

X, Y = np.ones((8, 3), "float32"), np.ones((8, 1), "float32")


def _model(**compiled: Any) -> Any:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    if compiled:
        model.compile(**compiled)
    return model


def _two() -> Any:
    x = keras.Input((3,))
    outputs = [keras.layers.Dense(1, name="a")(x), keras.layers.Dense(1, name="b")(x)]
    return keras.Model(x, outputs)


def test_training_before_compile() -> None:
    with pytest.raises(ValueError, match=r"not compiled. Call model.compile"):
        _model().fit(X, Y)
    with pytest.raises(ValueError, match=r"before evaluate\(\)"):
        _model().evaluate(X, Y)


@pytest.mark.parametrize(
    ("compiled", "message"),
    [
        ({"optimizer": "adma"}, "Did you mean 'adam'|adma"),
        ({"loss": "mean_square_error"}, "Did you mean 'mean_squared_error'"),
        ({"loss": "mse", "steps_per_execution": 0}, "an integer of at least 1"),
    ],
)
def test_wrong_names(compiled: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _model(**compiled).fit(X, Y, verbose=0)


def test_wrong_metric_name() -> None:
    with pytest.raises(ValueError, match="Did you mean 'accuracy'|accuracyy"):
        _model(loss="mse", metrics=["accuracyy"]).fit(X, Y, verbose=0)


def test_losses_that_do_not_fit_the_outputs() -> None:
    model = _two()
    model.compile("sgd", {"a": "mse", "c": "mse"})
    with pytest.raises(ValueError, match=r"key 'c', but the outputs are \['a', 'b'\]"):
        model.fit(X, [Y, Y], verbose=0)
    model.compile("sgd", ["mse"] * 3)
    with pytest.raises(ValueError, match="3 entries for 2 outputs"):
        model.fit(X, [Y, Y], verbose=0)


def test_targets_that_do_not_fit_the_outputs() -> None:
    model = _two()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="y has 1 arrays but the model has 2 outputs"):
        model.fit(X, Y, verbose=0)


def test_an_output_without_a_loss() -> None:
    model = _two()
    model.compile("sgd", {"a": "mse"})
    history = model.fit(X, {"a": Y}, verbose=0).history
    assert list(history) == ["loss"]


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, Y[:5], "8.*5|5.*8"),
        (X[:0], Y[:0], "no samples|empty"),
        (np.array([["a"] * 3] * 8), Y, "takes numbers"),
        ("text", None, "does not open files"),
    ],
)
def test_data_that_does_not_fit(x: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _model(loss="mse").fit(x, y, verbose=0)


def test_a_wrong_input_shape_names_the_layer() -> None:
    with pytest.raises(ValueError, match="expected .None, 3."):
        _model(loss="mse").fit(np.ones((8, 4)), Y, verbose=0)


def test_an_exhausted_generator() -> None:
    def batches():
        yield X, Y

    with pytest.warns(UserWarning, match="no batch in epoch 2.* after 1 of 3 epochs"):
        history = _model(loss="mse").fit(batches(), epochs=3, verbose=0)
    assert history.epoch == [0]


def test_run_eagerly_runs_python_every_step() -> None:
    calls = []

    class Counts(keras.layers.Layer):
        def call(self, x):
            calls.append(1)
            return x

    model = keras.Sequential([keras.Input((3,)), Counts(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    calls.clear()
    model.fit(X, Y, batch_size=2, epochs=2, verbose=0)
    assert len(calls) == 8
    model.compile("sgd", "mse")
    calls.clear()
    model.fit(X, Y, batch_size=2, epochs=2, verbose=0)
    assert 1 <= len(calls) < 8


def test_a_loss_without_targets_says_whose() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="out")])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="'out' has the loss 'mse'"):
        model.fit(np.ones((8, 3)), verbose=0)
