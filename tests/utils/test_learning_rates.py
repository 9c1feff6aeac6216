"""The search for a learning rate: where it ends, what it suggests, what it leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import carnyx as keras

X = np.random.default_rng(0).normal(size=(200, 6)).astype("float32")
Y = X @ np.linspace(-1, 1, 6).astype("float32")[:, None]


def build(optimizer: Any = "sgd") -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def test_it_ends_where_the_loss_explodes_and_suggests_less() -> None:
    found = keras.utils.find_learning_rate(build(), (X, Y), batch_size=20)
    # for a square loss of unit inputs, descent explodes at a rate of about 1
    assert 1e-3 < found.suggestion < 0.5 < found.rates[-1] < 10
    assert len(found.rates) == len(found.losses) == len(found.smoothed) < 100
    np.testing.assert_allclose(found.rates[0], 1e-6)
    ratios = found.rates[1:] / found.rates[:-1]
    np.testing.assert_allclose(ratios, ratios[0])
    model = build(keras.optimizers.SGD(found.suggestion))
    losses = model.fit(X, Y, batch_size=20, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


def test_nothing_stays() -> None:
    model = build(keras.optimizers.Adam(0.01))
    model.fit(X, Y, verbose=0)
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    before = [v.numpy() for v in variables]
    keras.utils.find_learning_rate(model, (X, Y), steps=10)
    for a, b in zip(before, variables, strict=True):
        np.testing.assert_array_equal(a, b.numpy(), b.path)


def test_a_search_before_training_does_not_change_the_training() -> None:
    def losses(search: bool) -> Any:
        model = build("adam")
        if search:
            keras.utils.find_learning_rate(model, (X, Y), steps=5)
        return model.fit(X, Y, verbose=0, epochs=2).history["loss"]

    assert losses(True) == losses(False)


def test_the_picture(tmp_path: Any) -> None:
    pytest.importorskip("matplotlib")
    found = keras.utils.find_learning_rate(build(), (X, Y), steps=20)
    ax = found.plot()
    assert ax.get_xscale() == "log" and len(ax.lines) == 3
    ax.figure.savefig(tmp_path / "rates.png")
    assert found.plot(ax) is ax


@pytest.mark.parametrize(
    "options, message",
    [
        ({"lowest": 0.0}, "lowest=0.0"),
        ({"steps": 1}, "at least 2 steps"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        keras.utils.find_learning_rate(build(), (X, Y), **options)


def test_a_schedule_and_data_of_nan_are_told() -> None:
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    with pytest.raises(ValueError, match="Make the optimizer with a number"):
        keras.utils.find_learning_rate(build(keras.optimizers.SGD(rate)), (X, Y))
    with pytest.raises(ValueError, match="not finite even at the lowest rate"):
        keras.utils.find_learning_rate(build(), (X * np.nan, Y))
