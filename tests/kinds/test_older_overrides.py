"""Kind: a method that a model's class writes, for another Keras than ours.

What we call on a user's class has grown arguments over the years; what was written
before them has to go on. And what such a method forgets to return is said in its words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import carnyx as keras

X, Y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")


class Plain(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1, kernel_initializer="zeros")

    def call(self, x: Any) -> Any:
        return self.dense(x)


class BeforeTraining(Plain):
    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
    ) -> Any:
        return super().compute_loss(x, y, y_pred, sample_weight)


class AllowEmpty(Plain):
    def compute_loss(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any, allow_empty: bool = False
    ) -> Any:
        return super().compute_loss(x, y, y_pred, sample_weight)


class OtherOrder(Plain):
    def compute_loss(self, y: Any = None, y_pred: Any = None, **others: Any) -> Any:
        return super().compute_loss(y=y, y_pred=y_pred, **others)


class OtherNames(Plain):
    def compute_loss(self, inputs: Any, targets: Any, outputs: Any, *_: Any) -> Any:
        return super().compute_loss(inputs, targets, outputs)


@pytest.mark.parametrize("cls", [BeforeTraining, AllowEmpty, OtherOrder, OtherNames])
def test_compute_loss_of_every_age(cls: type[Plain]) -> None:
    m = cls()
    m.compile("sgd", "mse")
    assert m.fit(X, Y, verbose=0).history["loss"] == [1.0]
    assert m.evaluate(X, Y, verbose=0) < 1.0


class NoLoss(Plain):
    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        super().compute_loss(*args, **kwargs)


class NoOutput(Plain):
    def call(self, x: Any) -> Any:
        self.dense(x)


def no_value(y_true: Any, y_pred: Any) -> Any:
    keras.ops.square(y_true - y_pred)


@pytest.mark.parametrize(
    ("cls", "loss", "message"),
    [
        (NoLoss, "mse", r"compute_loss\(\) of NoLoss .* returned None"),
        (NoOutput, "mse", r"call\(\) of NoOutput .* returned None"),
        (Plain, no_value, "loss 'no_value' returned None"),
    ],
)
def test_what_returns_nothing(cls: type[Plain], loss: Any, message: str) -> None:
    m = cls()
    m.compile("sgd", loss)
    with pytest.raises(ValueError, match=message):
        m.fit(X, Y, verbose=0)


class Vector(Plain):
    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None) -> Any:
        return y_pred - y


@pytest.mark.parametrize(
    ("cls", "loss"),
    [(Vector, None), (Plain, keras.losses.MeanSquaredError(reduction="none"))],
    ids=["compute_loss", "reduction"],
)
def test_a_loss_of_many_numbers_is_not_trained_on(cls: Any, loss: Any) -> None:
    m = cls()
    m.compile("sgd", loss)
    with pytest.raises(ValueError, match=r"has shape \(4.*Take its mean"):
        m.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": 5}, "loss=5; expected a name"),
        ({"loss": "mse", "loss_weights": "a"}, "loss_weights=.a.; expected a number"),
        ({"loss": "mean_square_error"}, "Did you mean 'mean_squared_error'"),
        ({"loss": "mse", "metrics": ["acuracy"]}, "Did you mean 'accuracy'"),
        ({"optimizer": "adm"}, "Did you mean 'adam'"),
    ],
    ids=str,
)
def test_what_compile_does_not_know(given: dict[str, Any], message: str) -> None:
    m = Plain()
    with pytest.raises(ValueError, match=message):
        m.compile(**given)
        m.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("old", "message"),
    [
        ("sample_weight_mode", "Weights of every shape"),
        ("target_tensors", r"Targets are given to fit\(x, y\)"),
    ],
)
def test_old_arguments_of_compile_say_the_new_way(old: str, message: str) -> None:
    compile_: Any = Plain().compile
    with pytest.raises(TypeError, match=message):
        compile_("sgd", "mse", **{old: None})


def test_jit_compile_can_be_set_at_any_time() -> None:
    m = Plain()
    m.jit_compile = False
    m.compile("sgd", "mse")
    assert m.jit_compile
    ran: list[int] = []
    m.dense.call = lambda x: ran.append(1) or keras.layers.Dense.call(m.dense, x)
    for jit, runs in ((False, 2), (True, 1), (False, 2)):
        m.jit_compile = jit
        m.fit(X, Y, batch_size=2, verbose=0)
        ran.clear()
        m.fit(X, Y, batch_size=2, verbose=0)
        assert len(ran) == (runs if not jit else 0)
    with pytest.raises(ValueError, match="jit_compile got 'often'"):
        m.jit_compile = "often"


def root(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.sqrt(0 * y_pred - y_true)


def test_a_loss_that_is_nan_is_looked_into_with_an_older_override() -> None:
    m = BeforeTraining()
    m.compile("sgd", root)
    with pytest.warns(UserWarning, match="became nan.*and the loss of them is not"):
        m.fit(X, Y, verbose=0)
