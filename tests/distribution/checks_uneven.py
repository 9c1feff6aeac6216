"""Batches that do not divide, on meshes of two axes; models of several devices called
while a program is traced."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import carnyx as keras

layers, distribution = keras.layers, keras.distribution
RANDOM = np.random.default_rng(0)
SIZES = (2, 3, 5, 6, 7)


def empty_map() -> Any:
    mesh = distribution.DeviceMesh((4, 2), ["batch", "model"])
    return distribution.ModelParallel(distribution.LayoutMap(mesh))


MESHES: dict[str, Callable[[], Any]] = {
    "auto 2": lambda: distribution.ModelParallel("auto", model=2),
    "auto 4": lambda: distribution.ModelParallel("auto", model=4),
    "map": empty_map,
    "data": distribution.DataParallel,
}


def results(place: Any, run: Callable[[], list[Any]]) -> list[Any]:
    distribution.set_distribution(place)
    try:
        keras.utils.set_random_seed(0)
        return run()
    finally:
        distribution.set_distribution(None)


@pytest.mark.parametrize("mesh", MESHES)
def test_what_scatters_counts_no_filling(mesh: str) -> None:
    """The gradient of an embedding, areas under curves, confusion matrices."""
    words = RANDOM.integers(1, 7, (max(SIZES), 3))  # the word 0 is never there
    y = (np.arange(max(SIZES))[:, None] % 2).astype("float32")
    p = RANDOM.uniform(size=y.shape).astype("float32")

    def run() -> list[Any]:
        reader = keras.Sequential(
            [
                keras.Input((3,), dtype="int32"),
                layers.Embedding(7, 5),
                layers.Flatten(),
                layers.Dense(1),
            ]
        )
        reader.compile(keras.optimizers.SGD(0.1), "mse")
        seen = keras.Sequential([keras.Input((1,)), layers.Activation("linear")])
        auc, iou = keras.metrics.AUC(), keras.metrics.MeanIoU(2)
        seen.compile("sgd", "mse", metrics=[auc, iou])
        found: list[Any] = []
        for size in SIZES:
            first = reader.layers[0].embeddings.numpy()[0]
            reader.train_on_batch(words[:size], y[:size])
            table = reader.layers[0].embeddings.numpy()
            np.testing.assert_array_equal(table[0], first)
            found += [table, *seen.test_on_batch(p[:size], y[:size])]
        return found

    one, many = results(None, run), results(MESHES[mesh](), run)
    for a, b in zip(one, many, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


PLACES: dict[str, Callable[[Any], Any]] = {
    "data": lambda model: distribution.DataParallel(),
    "split": lambda model: distribution.DataParallel(shard_parameters=True),
    "gpus": lambda model: None,
}
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "layer": lambda model, x: model.layers[0](keras.Input((12,))),
    "model": lambda model, x: model(keras.Input((12,))),
    "jit": lambda model, x: jax.jit(lambda x: model(x))(x),
}


@pytest.mark.parametrize(("place", "call"), list(itertools.product(PLACES, CALLS)))
def test_a_call_in_a_trace_leaves_the_weights_alone(
    place: str, call: str, tmp_path: Path
) -> None:
    x, y = RANDOM.normal(size=(20, 12)).astype("float32"), np.ones((20, 1), "float32")

    def run() -> list[Any]:
        model = keras.Sequential([keras.Input((12,)), layers.Dense(16)])
        model.add(layers.BatchNormalization())
        model.add(layers.Dense(1))
        if place == "gpus":
            model = keras.utils.multi_gpu_model(model, 4)
        model.compile("adam", "mse")
        model.fit(x, y, 8, verbose=0)
        CALLS[call](model, x)
        model.save(tmp_path / "model.keras")
        model.fit(x, y, 8, verbose=0)
        return model.get_weights()

    assert all(np.isfinite(w).all() for w in results(PLACES[place](None), run))


def test_a_layer_of_a_trained_model_in_a_new_one() -> None:
    x, y = RANDOM.normal(size=(20, 12)).astype("float32"), np.ones((20, 4), "float32")

    def run() -> list[Any]:
        base = keras.Sequential([keras.Input((12,)), layers.Dense(16), layers.Dense(1)])
        base.compile("sgd", "mse")
        base.fit(x, y[:, :1], 8, verbose=0)
        inputs = keras.Input((12,))
        model = keras.Model(inputs, layers.Dense(4)(base.layers[0](inputs)))
        model.compile("sgd", "mse")
        history = model.fit(x, y, 8, 2, verbose=0).history
        return [history["loss"], *model.get_weights(), *base.get_weights()]

    one, many = results(None, run), results(distribution.DataParallel(), run)
    for a, b in zip(one, many, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)
