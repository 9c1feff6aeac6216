"""What a trace sees belongs to its program, on several devices too.

A program of a step is traced for each shape of batch, and again where an attribute that
it read is another. What one trace found (which variables a loss reads, which a layer
changes) was kept for all, so that other shapes got wrong numbers. Here layers, losses
and metrics read and write by shape; one device, op by op, says what is right.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import carnyx as keras
from carnyx.distribution import Pipeline
from tests.distribution.checks_device_scopes import check_same

layers, ops = keras.layers, keras.ops
X = np.random.default_rng(2).normal(size=(9, 4)).astype("float32")
Y = X[:, :2] * 2


class ByShape(layers.Layer):
    """Adds to one variable for large batches and to another for small ones."""

    def __init__(self, limit: int, also: bool) -> None:
        super().__init__()
        self.limit, self.also = limit, also
        self.large = self.add_weight((), "zeros", trainable=False, name="large")
        self.small = self.add_weight((3,), "ones", trainable=False, name="small")

    def call(self, x: Any) -> Any:
        if x.shape[0] > self.limit:
            self.large.assign_add(0.1)
            self.add_loss(0.01 * ops.mean(x**2))
            return x * (1 + self.large)
        self.small.assign(self.small * 0.9)
        return x * ops.sum(self.small) if self.also else x


class ByLoss(keras.Model):
    """A loss that reads a weight, and a metric that is updated, for large batches."""

    limit = 4

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ) -> Any:
        total = super().compute_loss(x, y, y_pred, sample_weight, training)
        if x.shape[0] <= self.limit:
            return total
        return total + 0.1 * ops.sum(self.layers[1].kernel ** 2)

    def compute_metrics(self, x, y, y_pred, sample_weight=None) -> Any:
        found = super().compute_metrics(x, y, y_pred, sample_weight)
        last = self.layers[-1].bias if x.shape[0] > self.limit else 1.0
        return found | {"seen": ops.sum(last * ops.mean(y_pred))}


def built(scope: Callable[[str], Any], limit: int, also: bool) -> Any:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4,))
    with scope("cpu:1"):
        x = ByShape(limit, also)(layers.Dense(3, "tanh")(inputs))
    with scope("cpu:2"):
        x = layers.Dense(2)(ByShape(limit + 2, not also)(x))
    return ByLoss(inputs, x)


def seen(model: Any, sizes: list[int], eager: bool = False) -> list[Any]:
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9), "mse", metrics=["mae"],
        run_eagerly=eager,
    )  # fmt: skip
    found: list[Any] = []
    for number, size in enumerate(sizes):
        x, y = X[:size], Y[:size]
        if number % 3 == 2:
            found.append(model.predict_on_batch(x))
        else:
            step = model.test_on_batch if number % 4 == 3 else model.train_on_batch
            found.append(step(x, y, return_dict=True))
    return [*found, *model.get_weights()]


@settings(max_examples=4, phases=[Phase.generate])  # shrinking compiles for long
@given(
    st.lists(st.integers(1, 9), min_size=4, max_size=6),
    st.integers(2, 6),
    st.booleans(),
)
def test_variables_by_shape(sizes: list[int], limit: int, also: bool) -> None:
    def nowhere(_: str) -> Any:
        return contextlib.nullcontext()

    expected = seen(built(nowhere, limit, also), sizes, eager=True)
    check_same(seen(built(nowhere, limit, also), sizes), expected)
    check_same(seen(built(keras.device, limit, also), sizes), expected)
    pipeline = Pipeline(built(nowhere, limit, also), stages=2, microbatches=1)
    check_same(seen(pipeline, sizes), expected)


# ---- attributes, and variables of nobody -------------------------------------------


def placed() -> Any:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4,))
    with keras.device("cpu:1"):
        x = layers.LeakyReLU(0.1)(layers.Dense(3, "tanh")(inputs))
    with keras.device("cpu:2"):
        return keras.Model(inputs, layers.Dense(2)(x))


def piped() -> Any:
    inputs = keras.Input((4,))
    keras.utils.set_random_seed(1)
    x = layers.LeakyReLU(0.1)(layers.Dense(3, "tanh")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(x))
    return Pipeline(model, stages=2, microbatches=2)


@pytest.mark.parametrize("make", [placed, piped])
def test_attributes_may_change_between_steps(make: Callable[[], Any]) -> None:
    model = make()
    model.compile(keras.optimizers.SGD(0.0, clipnorm=1.0), "mse")
    losses = []
    for slope in (0.1, 0.9, 0.1):
        model.layers[2].negative_slope = slope
        losses.append(float(model.train_on_batch(X[:8], Y[:8])))
    assert losses[0] == losses[2] != losses[1]
    compiled = model.train_program().compilations()
    model.train_on_batch(X[:8], Y[:8])
    assert model.train_program().compilations() == compiled


@pytest.mark.parametrize("make", [placed, piped])
def test_variables_of_nobody(make: Callable[[], Any]) -> None:
    factor = keras.Variable(1.0)
    counted = keras.Variable(0.0)

    def loss(y: Any, y_pred: Any) -> Any:
        counted.assign_add(1.0)
        return factor * ops.mean((y - y_pred) ** 2)

    model = make()
    model.compile(keras.optimizers.SGD(lambda: 0.0 * factor), loss)
    first = float(model.train_on_batch(X[:8], Y[:8]))
    factor.assign(3.0)
    assert float(model.train_on_batch(X[:8], Y[:8])) == pytest.approx(3 * first)
    assert float(counted) == 2


@pytest.mark.parametrize("make", [placed, piped])
def test_trainable_is_that_of_compile(make: Callable[[], Any]) -> None:
    model = make()
    model.compile("sgd", "mse")
    model.layers[1].trainable = False
    before = model.get_weights()
    model.train_on_batch(X[:8], Y[:8])
    after = model.get_weights()
    assert all(np.any(a != b) for a, b in zip(before, after, strict=True))
    model.compile("sgd", "mse")
    model.train_on_batch(X[:8], Y[:8])
    assert np.array_equal(model.get_weights()[0], after[0])
    assert np.any(model.get_weights()[2] != after[2])
