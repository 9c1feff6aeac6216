"""A pipeline on 4 of 8 devices gives the numbers of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import carnyx as keras
from carnyx.distribution import Pipeline
from tests.distribution.checks_training import check_same
from tests.training import networks

layers = keras.layers
RANDOM = np.random.default_rng(11)


def deep_mlp() -> Any:
    hidden = [layers.Dense(16, "relu", kernel_regularizer="l2") for _ in range(5)]
    return keras.Sequential([keras.Input((12,)), *hidden, layers.Dense(4)])


def skips() -> Any:
    """Values pass by one stage or two."""
    inputs = keras.Input((12,))
    first = layers.Dense(8, "tanh")(inputs)
    second = layers.Dense(8, "tanh")(first)
    third = layers.Dense(8, "tanh")(layers.Add()([first, second]))
    fourth = layers.Dense(8, "tanh")(layers.Concatenate()([inputs, third]))
    return keras.Model(inputs, layers.Dense(4)(fourth + first))


def tagger() -> Any:
    """A label for each word; padding does not count."""
    return keras.Sequential(
        [
            keras.Input((7,), dtype="int32"),
            layers.Embedding(20, 6, mask_zero=True),
            layers.LSTM(5, return_sequences=True),
            layers.Dense(8, "relu"),
            layers.Dense(4),
        ]
    )


def data_for(name: str, count: int) -> tuple[Any, Any]:
    if name == "tagger":
        x, _ = networks.data_for("lstm", count)
        return x, RANDOM.integers(0, 4, (count, 7))
    return networks.data_for(name if name == "transformer" else "mlp", count)


MODELS = {
    "mlp": deep_mlp,
    "transformer": lambda: networks.transformer(keras),
    "skips": skips,
    "tagger": tagger,
}
crossentropy = keras.losses.SparseCategoricalCrossentropy


def twins(name: str, **pipeline: Any) -> tuple[Any, Any]:
    """A model on one device, and a pipeline of its copy."""
    keras.utils.set_random_seed(5)
    alone = MODELS[name]()
    copy = keras.models.clone_model(alone)
    copy.set_weights(alone.get_weights())
    pipeline = {"stages": 4, "microbatches": 8} | pipeline
    return alone, Pipeline(copy, **pipeline)


def gradients(model: Any, x: Any, y: Any, loss: Any, **weights: Any) -> list[Any]:
    """Of every weight, seen in a step of length one."""
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(1.0), loss)
    model.train_on_batch(x, y, **weights)
    return [a - b for a, b in zip(before, model.get_weights(), strict=True)]


def check_gradients(name: str, loss: Any, count: int, **weights: Any) -> None:
    x, y = data_for(name, count)
    alone, pipeline = twins(name)
    expected = gradients(alone, x, y, loss, **weights)
    got = gradients(pipeline, x, y, loss, **weights)
    size = np.sqrt(sum(np.sum(np.square(g)) for g in expected))
    assert size > 0.05
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * size)


# ---- gradients -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "transformer", "skips"])
def test_gradients_with_4_stages_and_8_microbatches(name: str) -> None:
    check_gradients(name, crossentropy(from_logits=True), 24)


@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"]
)
def test_uneven_microbatches_and_sample_weights(reduction: str) -> None:
    loss = crossentropy(from_logits=True, reduction=reduction)
    weights = np.linspace(0.0, 2.0, 19, dtype="float32")
    check_gradients("skips", loss, 19, sample_weight=weights)


@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "mean_with_sample_weight"]
)
def test_masked_and_ignored_steps(reduction: str) -> None:
    loss = crossentropy(from_logits=True, reduction=reduction, ignore_class=2)
    weights = RANDOM.uniform(0.1, 2, (13, 7)).astype("float32")
    check_gradients("tagger", loss, 13, sample_weight=weights)


# ---- training --------------------------------------------------------------------


def train(
    model: Any, name: str, optimizer: Any, logits: bool = True, **fit: Any
) -> dict[str, Any]:
    """What is seen of training, by default for 20 steps, and of a prediction."""
    x, y = networks.data_for(name, 36)
    losses = {
        "lstm": "binary_crossentropy",
        "two_by_two": ["mse", "categorical_crossentropy"],
    }
    loss: Any = losses.get(name, crossentropy(from_logits=logits))
    metrics: Any = {"lstm": ["accuracy", "auc"], "two_by_two": [["mae"], ["accuracy"]]}
    model.compile(optimizer, loss, metrics=metrics.get(name, ["accuracy"]))
    fit = {"batch_size": 9, "epochs": 5, "verbose": 0, "shuffle": False} | fit
    history = model.fit(x, y, **fit).history
    predicted = model.predict(x, batch_size=36, verbose=0)
    return {**history, "predict": predicted, "weights": model.get_weights()}


@pytest.mark.parametrize("name", ["mlp", "lstm", "transformer", "two_by_two"])
def test_20_steps_with_a_rest(name: str) -> None:
    def run(many: bool) -> dict[str, Any]:
        keras.utils.set_random_seed(3)
        model = getattr(networks, name)(keras)
        stages = 2 if name == "mlp" else 3
        model = Pipeline(model, stages=stages, microbatches=4) if many else model
        optimizer = keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True)
        seen = train(model, name, optimizer, name != "mlp", batch_size=8, epochs=4)
        x, y = networks.data_for(name, 36)
        return seen | {"evaluate": model.evaluate(x, y, batch_size=20, verbose=0)}

    check_same(run(True), run(False))


class Penalised(layers.Layer):
    """Adds a mean over the samples to the loss, and keeps a metric."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.size = keras.metrics.Mean(name="size")

    def call(self, x: Any, training: Any = None) -> Any:
        if training:
            self.size.update_state(keras.ops.abs(x))
        self.add_loss(0.1 * keras.ops.mean(keras.ops.square(x)))
        return x


def with_losses() -> Any:
    return keras.Sequential(
        [
            keras.Input((12,)),
            layers.Dense(8, "tanh", kernel_regularizer="l2"),
            Penalised(),
            layers.Dense(6, activity_regularizer="l2", bias_regularizer="l1"),
            layers.Dense(4, kernel_regularizer="l1"),
        ]
    )


def test_losses_and_metrics_of_layers_count_once() -> None:
    def run(many: bool) -> dict[str, Any]:
        keras.utils.set_random_seed(3)
        model = with_losses()
        model = Pipeline(model, stages=3, microbatches=4) if many else model
        weights = {0: 0.5, 1: 2.0, 2: 1.0, 3: 0.0}
        return train(model, "mlp", "sgd", class_weight=weights)

    check_same(run(True), run(False))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_precision_accumulation_clipping_and_averages(policy: str) -> None:
    def run(many: bool) -> dict[str, Any]:
        keras.utils.set_random_seed(3)
        keras.config.set_dtype_policy(policy)
        try:
            model = skips()
        finally:
            keras.config.set_dtype_policy("float32")
        model = Pipeline(model, stages=3, microbatches=3) if many else model
        optimizer = keras.optimizers.SGD(
            0.05, momentum=0.9, global_clipnorm=0.1, use_ema=True,
            gradient_accumulation_steps=2,
        )  # fmt: skip
        return train(model, "mlp", optimizer)

    many, one = run(True), run(False)
    if policy == "float32":
        check_same(many, one)
    else:  # gradients of microbatches are rounded to 8 or 11 bits before they are added
        np.testing.assert_allclose(many["loss"], one["loss"], rtol=2e-3)
        for a, b in zip(many["weights"], one["weights"], strict=True):
            np.testing.assert_allclose(a, b, atol=3e-3)


def test_frozen_stages_and_models_inside() -> None:
    def build() -> Any:
        inputs = keras.Input((12,))
        inner = keras.Sequential(
            [keras.Input((12,)), layers.Dense(8, "tanh"), layers.Dense(8, "tanh")],
            name="inner",
        )
        inner.layers[0].trainable = False
        return keras.Model(
            inputs, layers.Dense(4)(layers.Dense(6, "tanh")(inner(inputs)))
        )

    def run(many: bool) -> dict[str, Any]:
        keras.utils.set_random_seed(3)
        model = build()
        if many:
            model = Pipeline(model, microbatches=4, devices=["cpu:5", "cpu:1", "cpu:3"])
            assert len(model.calls) >= 4  # those of the model inside, too
        return train(model, "mlp", "sgd")

    many = run(True)
    check_same(many, run(False))


def test_layers_frozen_later() -> None:
    _, pipeline = twins("mlp", stages=3, microbatches=2)
    x, y = data_for("mlp", 8)
    for frozen in ([], [0], [0, 3], []):
        for number, layer in enumerate(pipeline.layers):
            layer.trainable = number not in frozen
        before = [layer.get_weights()[0] for layer in pipeline.layers]
        pipeline.compile("sgd", crossentropy(from_logits=True))
        pipeline.train_on_batch(x, y)
        after = [layer.get_weights()[0] for layer in pipeline.layers]
        pairs = enumerate(zip(before, after, strict=True))
        assert [i for i, (a, b) in pairs if np.array_equal(a, b)] == frozen


def test_batch_normalization_and_dropout_a_microbatch() -> None:
    def run(microbatches: int | None) -> dict[str, Any]:
        keras.utils.set_random_seed(3)
        model = networks.convnet(keras)
        if microbatches:
            model = Pipeline(model, stages=2, microbatches=microbatches)
        return train(model, "convnet", "sgd", batch_size=18, epochs=1)

    check_same(run(1), run(None))  # one microbatch: the statistics of the batch
    assert np.isfinite(run(4)["loss"]).all()

    def dropout() -> Any:
        keras.utils.set_random_seed(3)
        model = keras.Sequential(
            [keras.Input((12,)), layers.Dense(8), layers.Dropout(0.5), layers.Dense(4)]
        )
        pipeline = Pipeline(model, stages=2, microbatches=3)
        return train(pipeline, "mlp", "sgd", epochs=1)

    check_same(dropout(), dropout())
