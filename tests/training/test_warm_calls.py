"""What a call of `fit` and its like does beside its steps, counted in Python's calls.

Times vary, calls do not: walks over all attributes of all layers had become most of a
short `fit`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carnyx as keras

PACKAGE = str(Path(keras.__file__).parent)
X, Y = np.ones((256, 20), "float32"), np.zeros(256, "int32")


def calls(run: Callable[[], Any]) -> int:
    """How often functions of the package are called, once all is built and compiled;
    now and then a state is kept, which does not count."""
    for _ in range(2):
        run()
    return min(counted(run) for _ in range(3))


def counted(run: Callable[[], Any]) -> int:
    count = 0

    def note(frame: Any, event: str, _: Any) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(PACKAGE)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


def model_of(layers: int) -> Any:
    dense = [keras.layers.Dense(20, activation="relu") for _ in range(layers)]
    model = keras.Sequential([keras.Input((20,)), *dense, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


# What one layer may add: before, fit took 211, evaluate and single batches 158.
CALLS = {
    "fit": (lambda m: m.fit(X, Y, batch_size=32, verbose=0), 30),
    "evaluate": (lambda m: m.evaluate(X, Y, batch_size=32, verbose=0), 60),
    "predict": (lambda m: m.predict(X, batch_size=32, verbose=0), 25),
    "train_on_batch": (lambda m: m.train_on_batch(X[:32], Y[:32]), 60),
    "test_on_batch": (lambda m: m.test_on_batch(X[:32], Y[:32]), 60),
}


@pytest.fixture(autouse=True)
def one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that never placed anything; where one did, every value that a
    program reads is looked at."""
    monkeypatch.setattr("carnyx._core.devices._expected", [False])


@pytest.mark.parametrize("name", CALLS)
def test_a_layer_more_costs_few_calls(name: str) -> None:
    run, most = CALLS[name]
    found = []
    for layers in (1, 5):
        model = model_of(layers)
        found.append(calls(lambda model=model: run(model)))
    few, many = found
    assert few < 700
    assert many - few <= 4 * most


def test_batches_in_one_chunk_cost_nothing_more() -> None:
    model = model_of(1)
    counts = []
    for samples in (64, 256):  # 2 and 8 batches, in a program each
        run = lambda n=samples: model.fit(X[:n], Y[:n], batch_size=32, verbose=0)  # noqa: E731
        counts.append(calls(run))
    assert abs(counts[1] - counts[0]) < 20
