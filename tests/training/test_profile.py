"""`model.profile`: a table and a dict, and a model that is as before."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import carnyx as keras

X = np.random.default_rng(0).normal(size=(70, 8)).astype("float32")
Y = X[:, :1]


def build(**options: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16),
            layers.Dropout(0.5, seed=1),
            layers.BatchNormalization(),
            layers.Dense(1),
        ]
    )
    model.compile("adam", "mse", **options)
    return model


def test_the_parts_of_a_step_and_its_memory(capsys: Any) -> None:
    model = build()
    report = model.profile((X, Y), batch_size=32, steps=5)
    assert report["steps"] == 5
    for name in ("trace", "compile", "data", "host", "device", "step"):
        assert report[name] > 0
    parts = report["data"] + report["host"] + report["device"]
    np.testing.assert_allclose(report["step"], parts)
    memory = report["memory"]
    batch = 4 * 32 * (8 + 1)
    assert memory["arguments"] >= memory["variables"] + batch - 64
    assert memory["reused"] <= memory["arguments"] and memory["temporary"] > 0
    assert report["flops"] > 2 * 32 * 8 * 16
    text = capsys.readouterr().out
    assert "batches of 32" in text and "compile" in text and "peak" in text


def test_the_model_and_the_seeds_are_as_before() -> None:
    model = build()
    model.fit(X, Y, verbose=0)
    variables = model._held().store.variables
    before, drawn = [v.numpy() for v in variables], random.getstate()
    model.profile((X, Y), steps=3, print_fn=str)
    for a, b in zip(before, variables, strict=True):
        np.testing.assert_array_equal(a, b.numpy())
    assert random.getstate() == drawn


def test_a_source_of_batches_and_a_model_that_is_not_compiled_by_xla() -> None:
    tables: list[str] = []
    source = ((X[:10], Y[:10]) for _ in range(9))
    report = build(run_eagerly=True).profile(source, steps=2, print_fn=tables.append)
    assert report["compile"] == 0 and set(report["memory"]) == {"variables"}
    assert report["steps"] == 2 and len(tables) == 1 and "batches of 10" in tables[0]


def test_errors() -> None:
    with pytest.raises(ValueError, match="steps=0; expected 1 or more"):
        build().profile((X, Y), steps=0)
    with pytest.raises(ValueError, match=r"before profile\(\)"):
        keras.Sequential([keras.layers.Dense(1)]).profile((X, Y))
