"""Models without values: what they can do, what they refuse, how they become real."""

from __future__ import annotations

import importlib
import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

import carnyx as keras
from carnyx.errors import AbstractError
from tests.training import networks

LAYERS = Path(__file__).resolve().parents[1] / "layers"
FILES = sorted(p.stem for p in LAYERS.glob("cases*.py"))
CASES = [c for f in FILES for c in importlib.import_module(f"tests.layers.{f}").CASES]
OURS = SimpleNamespace(layers=keras.layers, activations=keras.activations)
NETWORKS = ["mlp", "convnet", "lstm", "transformer", "two_by_two"]


def shapes(variables: list[Any]) -> list[Any]:
    return [(v.shape, v.dtype, v.trainable) for v in variables]


def built(name: str, abstract: bool) -> Any:
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(5)
    if not abstract:
        return getattr(networks, name)(keras)
    with keras.abstract():
        return getattr(networks, name)(keras)


@pytest.mark.parametrize("index", range(len(CASES)), ids=lambda i: f"{i}-{CASES[i]}")
def test_every_layer_is_built_without_values(index: int) -> None:
    case = CASES[index]
    several = isinstance(case.shape, list)
    dtype = "int32" if case.below else "float32"

    def made() -> Any:
        inputs = [
            keras.Input(s[1:], dtype=dtype)
            for s in (case.shape if several else [case.shape])
        ]
        layer = case.make(OURS)
        return layer, keras.tree.flatten(layer(inputs if several else inputs[0]))

    real, outputs = made()
    with keras.abstract():
        layer, abstract_outputs = made()
    assert shapes(layer.variables) == shapes(real.variables)
    assert [t.shape for t in abstract_outputs] == [t.shape for t in outputs]
    assert layer.get_config().keys() == real.get_config().keys()
    floats = [v for v in layer.weights if "float" in v.dtype]
    assert all(v.abstract for v in floats)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_become_what_they_would_have_been(name: str) -> None:
    model, real = built(name, True), built(name, False)
    assert model.count_params() == real.count_params()
    lines: list[list[str]] = [[], []]
    model.summary(print_fn=lines[0].append)
    real.summary(print_fn=lines[1].append)
    assert lines[0] == lines[1]
    keras.materialize(model)
    for a, b in zip(model.weights, real.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def specs(x: Any) -> Any:
    return jax.tree_util.tree_map(
        lambda a: jax.ShapeDtypeStruct(np.shape(a), np.asarray(a).dtype), x
    )


@pytest.mark.parametrize("optimizer", ["adam", "adafactor", "lion", "muon", "ftrl"])
def test_a_step_is_lowered_without_values(optimizer: str) -> None:
    x, y = networks.data_for("transformer", 8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model, real = built("transformer", True), built("transformer", False)
    for m in (model, real):
        rule = keras.optimizers.get(optimizer)
        rule.use_ema = optimizer == "adam"
        m.compile(rule, loss, metrics=["accuracy"])
        m.optimizer.build(m.trainable_variables)
    assert shapes(model.optimizer.variables) == shapes(real.optimizer.variables)
    assert any(v.abstract for v in model.optimizer.variables)
    real.train_on_batch(x, y)
    model._prepare(
        (keras.KerasTensor((None, 6, 8)), keras.KerasTensor((None,)), None), True
    )
    texts = [m.train_program().lower((*specs((x, y)), None)) for m in (model, real)]
    assert texts[0].cost_analysis()["flops"] == texts[1].cost_analysis()["flops"]


def test_values_are_refused_with_advice(tmp_path: Path) -> None:
    model = built("mlp", True)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = networks.data_for("mlp", 8)
    kernel = model.weights[0]
    for use in (
        lambda: model.fit(x, y, verbose=0),
        lambda: model.evaluate(x, y, verbose=0),
        lambda: model.predict(x, verbose=0),
        lambda: model.predict(x[:4], batch_size=2, verbose=0),
        lambda: model.train_on_batch(x, y),
        lambda: model(x),
        lambda: model.get_weights(),
        lambda: model.save(tmp_path / "m.keras"),
        lambda: model.save_weights(tmp_path / "m.weights.h5"),
        lambda: kernel + 1,
        lambda: kernel.value,
        lambda: kernel.sum(),
        lambda: np.asarray(kernel),
        lambda: jax.jit(lambda: kernel * 2)(),
        lambda: jax.jit(lambda x: model(x))(x),
    ):
        with pytest.raises(AbstractError, match=r"carnyx\.materialize\(model\)"):
            use()
    assert not hasattr(kernel, "no_such_thing")


def test_a_value_that_is_assigned_is_kept(tmp_path: Path) -> None:
    x, y = networks.data_for("convnet", 8)
    real, model = built("convnet", False), built("convnet", True)
    real.save_weights(tmp_path / "m.weights.h5")
    model.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(
        real.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    other = built("convnet", True)
    other.set_weights(real.get_weights())
    other.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert np.isfinite(other.fit(x, y, verbose=0).history["loss"][0])
    weight = other.weights[0]
    with pytest.raises(ValueError, match="keeps its shape"):
        built("convnet", True).weights[0].assign(np.ones(3))
    assert not weight.abstract


def test_materialized_models_train_as_others() -> None:
    x, y = networks.data_for("mlp", 16)
    histories = []
    for abstract in (False, True):
        model = built("mlp", abstract)
        model.compile("adam", "sparse_categorical_crossentropy")
        if abstract:
            model.optimizer.build(model.trainable_variables)
            keras.materialize(model)
        keras.utils.set_random_seed(1)
        histories.append(model.fit(x, y, epochs=3, verbose=0).history["loss"])
    assert histories[0] == histories[1]


def test_nothing_outside_the_scope_is_abstract() -> None:
    with keras.abstract():
        optimizer, metric = keras.optimizers.Adam(), keras.metrics.AUC()
        seed = keras.random.SeedGenerator(1)
    layer = keras.layers.Dense(2)
    layer.build((None, 2))
    optimizer.build(layer.trainable_variables)
    metric.update_state([1.0, 0.0], [0.9, 0.2])
    assert float(metric.result()) == 1.0
    kept = [*layer.variables, *optimizer.variables, *metric.variables, seed.state]
    assert not any(v.abstract for v in kept)


def test_subclassed_models_are_built_on_shapes() -> None:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = keras.layers.Dense(7), keras.layers.Dense(1)
            self.norm = keras.layers.BatchNormalization()

        def call(self, x: Any, training: bool = False) -> Any:
            return self.last(self.norm(self.first(x), training=training))

    with keras.abstract():
        model = Net()
        model.build((None, 3))
    assert model.count_params() == 3 * 7 + 7 + 4 * 7 + 8
    assert all(v.abstract for v in model.weights)


def test_large_models_take_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with keras.abstract():
        model = keras.Sequential([keras.Input((1_000_000,))])
        for _ in range(3):
            model.add(keras.layers.Dense(1_000_000))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    assert model.count_params() == 3_000_003_000_000
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # kilobytes
