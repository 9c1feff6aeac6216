"""What a model computes in its own `call` counts wherever its graph is cut.

Why it happened: a model inside another one, with layers in device scopes, was taken
apart into its graph, whether or not its class had a `call` of its own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import carnyx as keras

layers = keras.layers
X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(4, 1)).astype("float32")


class Twice(keras.Model):
    """Functional, and more than its graph."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return super().call(inputs, training=training, mask=mask) * 2.0


class TwiceInARow(keras.Sequential):
    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return super().call(inputs, training=training, mask=mask) * 2.0


def functional(first: str, second: str) -> Any:
    inputs = keras.Input((3,))
    with keras.device(first):
        hidden = layers.Dense(2, "tanh")(inputs)
    with keras.device(second):
        return Twice(inputs, layers.Dense(2)(hidden))


def sequential(first: str, second: str) -> Any:
    model = TwiceInARow([keras.Input((3,))])
    for device in first, second:
        with keras.device(device):
            model.add(layers.Dense(2, "tanh"))
    return model


def regularized(first: str, second: str) -> Any:
    inputs = keras.Input((3,))
    with keras.device(first):
        hidden = layers.Dense(2, "tanh")(inputs)
    with keras.device(second):
        model = keras.Model(inputs, layers.Dense(2)(hidden))
    model.activity_regularizer = keras.regularizers.L2(0.5)
    return model


def trained(inner: Any, wrap: Any = lambda model: model) -> list[Any]:
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dense(1)(inner(inputs)))
    for number, weight in enumerate(model.weights):
        values = np.random.default_rng(number).normal(size=weight.shape)
        weight.assign(values.astype("float32"))
    model = wrap(model)
    model.compile(keras.optimizers.SGD(0.01), "mse")
    loss = model.fit(X, Y, epochs=2, batch_size=4, verbose=0).history["loss"]
    return [loss, model.predict(X, verbose=0), *(np.asarray(v) for v in model.weights)]


def check_same(got: list[Any], expected: list[Any]) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), got, expected)


@pytest.mark.parametrize("make", [functional, sequential, regularized])
@pytest.mark.parametrize("devices", [("cpu:0", "cpu:1"), ("cpu:1", "cpu:1")])
def test_inside_a_model_with_device_scopes(make: Any, devices: tuple[str, str]) -> None:
    check_same(trained(make(*devices)), trained(make("cpu:0", "cpu:0")))


@pytest.mark.parametrize("make", [functional, sequential])
def test_inside_a_pipeline(make: Any) -> None:
    def pipeline(model: Any) -> Any:
        return keras.distribution.Pipeline(model, stages=2, microbatches=1)

    class Plain(keras.Model):
        """The same numbers, without a graph."""

        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.first, self.second = inner.layers[-2:]

        def call(self, x: Any) -> Any:
            return self.second(self.first(x)) * 2.0

    def inner() -> Any:  # of the same class, without scopes
        kind = Twice if make is functional else TwiceInARow
        parts = [
            layers.Dense(2, "tanh"),
            layers.Dense(2, make is sequential and "tanh" or None),
        ]
        if kind is TwiceInARow:
            return kind([keras.Input((3,)), *parts])
        inputs = keras.Input((3,))
        return kind(inputs, parts[1](parts[0](inputs)))

    check_same(trained(inner(), pipeline), trained(Plain(inner())))


# ---- what the page says that pipelines refuse ----------------------------------------


def small(*last: Any) -> Any:
    first = [keras.Input((3,)), layers.Dense(2), layers.Dense(1)]
    return keras.Sequential([*first, *last])


class NoGraph(keras.Model):
    def call(self, x: Any) -> Any:
        return x


def cut(model: Any, stages: int = 2, **options: Any) -> Any:
    return keras.distribution.Pipeline(model, stages=stages, **options)


def without_graph(_: Any) -> None:
    model = NoGraph()
    model(X)
    cut(model)


def too_few_samples(_: Any) -> None:
    pipeline = cut(small(), microbatches=8)
    pipeline.compile("sgd", "mse")
    pipeline.fit(X, Y, batch_size=4, verbose=0)


def no_axis_of_samples(_: Any) -> None:
    inputs = keras.Input((3,))
    total = keras.ops.sum(layers.Dense(4)(layers.Dense(4)(inputs)))
    pipeline = cut(keras.Model(inputs, total), microbatches=2)
    pipeline.compile("sgd", lambda y, y_pred: y_pred)
    pipeline.fit(X, Y, batch_size=4, verbose=0)


def under_distribution(_: Any) -> None:
    with keras.distribution.DataParallel().scope():
        cut(small())


def in_a_job(patch: Any) -> None:
    patch.setattr(jax, "process_count", lambda: 2)
    cut(small())


REFUSED = {
    "a model without a graph": [
        (without_graph, "neither Sequential nor functional"),
        (lambda _: cut(keras.Sequential([layers.Dense(2)])), "not built"),
        (lambda _: cut("a name"), "expected a Sequential or functional model"),
    ],
    "more stages than devices": [
        (lambda _: cut(small(), 9), "has 8 devices"),
        (lambda _: cut(small(layers.Flatten()), 3), "only 2 cost something"),
    ],
    "batches in `fit` of fewer": [(too_few_samples, "cut into microbatches=8")],
    "an output without an axis": [(no_axis_of_samples, "without an axis of samples")],
    "a distribution in force": [
        (under_distribution, "to run under DataParallel"),
        (lambda _: cut(sequential("cpu:0", "cpu:1")), "inside device scopes"),
        (in_a_job, "this job has 2"),
    ],
}


def test_the_page_lists_what_is_refused() -> None:
    page = Path(__file__).parents[2] / "docs" / "scaling.md"
    _, after = page.read_text(encoding="utf-8").split("What cannot be, and is refused")
    listed = re.findall(r"^- (.*)", after.split("\n#")[0], re.MULTILINE)
    assert len(listed) == len(REFUSED)
    assert all(any(line.startswith(start) for line in listed) for start in REFUSED)


@pytest.mark.parametrize("start", REFUSED)
def test_what_is_refused_is_refused_with_words(
    start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for do, words in REFUSED[start]:
        with (
            monkeypatch.context() as patch,
            pytest.raises(keras.errors.CarnyxError, match=words),
        ):
            do(patch)
