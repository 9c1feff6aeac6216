"""`OrbaxCheckpoint` with the real Orbax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carnyx as keras

pytest.importorskip(
    "orbax.checkpoint", reason="orbax-checkpoint is not installed (make test-interop)"
)
pytestmark = pytest.mark.filterwarnings("ignore")  # Orbax warns of its own plans

X = np.random.default_rng(0).normal(size=(48, 4)).astype("float32")
Y = X[:, :1]


def build(units: int = 3) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(units), layers.Dropout(0.1), layers.Dense(1)]
    )
    model.compile("adam", "mse")
    return model


def fit(folder: Path, **options: Any) -> tuple[Any, Any]:
    model = build()
    save = keras.callbacks.OrbaxCheckpoint(folder, **options)
    model.fit(
        X, Y, batch_size=16, epochs=3, validation_data=(X, Y), verbose=0,
        callbacks=[save],
    )  # fmt: skip
    return model, save


def steps(folder: Path) -> list[int]:
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("weights_only", [True, False])
def test_what_was_saved_comes_back(
    tmp_path: Path, background: bool, weights_only: bool
) -> None:
    options: Any = {"save_on_background": background, "save_weights_only": weights_only}
    model, save = fit(tmp_path, **options)
    other = build()
    assert save.load(other) == 3 and steps(tmp_path) == [3]
    for a, b in zip(model.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    if not weights_only:
        for a, b in zip(
            model.optimizer.variables, other.optimizer.variables, strict=True
        ):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_every_so_many_batches_and_how_many_are_kept(tmp_path: Path) -> None:
    fit(tmp_path, save_freq=2, max_to_keep=3)
    assert steps(tmp_path) == [4, 6, 8]


def test_only_the_best(tmp_path: Path) -> None:
    fit(tmp_path, save_best_only=True, initial_value_threshold=0.0, mode="min")
    assert not tmp_path.exists() or steps(tmp_path) == []


def test_another_model_is_refused(tmp_path: Path) -> None:
    _, save = fit(tmp_path)
    with pytest.raises(ValueError, match="it is of another model"):
        save.load(build(units=5))
    with pytest.raises(OSError, match="has no checkpoint"):
        keras.callbacks.OrbaxCheckpoint(tmp_path / "none").load(build())
