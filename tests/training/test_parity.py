"""`fit` from the same weights on the same batches gives Keras's losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import carnyx
from tests.training import networks

keras = pytest.importorskip("keras")

SPARSE = "sparse_categorical_crossentropy"


def _compile(k: Any, name: str, model: Any) -> dict[str, Any]:
    """Compile for either library; returns what `fit` is also given."""
    logits = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    rng = np.random.default_rng(1)
    if name == "mlp":
        model.compile(k.optimizers.SGD(0.1, momentum=0.9), SPARSE, metrics=["accuracy"])
        return {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5, 3: 1.0}}
    if name == "convnet":
        model.compile(k.optimizers.Adam(0.01), logits, metrics=["acc"])
        return {"sample_weight": rng.uniform(0.5, 2, 72)}
    if name == "lstm":
        model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy", "AUC"])
        return {}
    if name == "transformer":
        model.compile(k.optimizers.AdamW(0.01, clipnorm=1.0), logits)
        return {}
    model.compile(
        "adam",
        {"value": "mse", "kind": "categorical_crossentropy"},
        loss_weights={"value": 0.3, "kind": 2.0},
        metrics={"value": ["mae"], "kind": ["accuracy"]},
        weighted_metrics={"kind": ["accuracy"]},
    )
    weights = [rng.uniform(0.5, 2, 72), rng.uniform(0.5, 2, 72)]
    return {"sample_weight": weights}


@pytest.mark.parametrize(
    "name", ["mlp", "convnet", "lstm", "transformer", "two_by_two"]
)
def test_fit_gives_the_losses_of_keras(name: str) -> None:
    build = getattr(networks, name)
    theirs, ours = build(keras), build(carnyx)
    ours.set_weights(theirs.get_weights())
    x, y = networks.data_for(name)
    extra = _compile(keras, name, theirs)
    _compile(carnyx, name, ours)
    options = {
        "batch_size": 16,  # 72 samples: the last batch is smaller
        "epochs": 2,
        "shuffle": False,
        "verbose": 0,
        "validation_data": (x, y),
        **extra,
    }
    expected = theirs.fit(x, y, **options).history
    got = ours.fit(x, y, **options).history
    assert list(got) == list(expected)
    for key in expected:
        np.testing.assert_allclose(got[key], expected[key], rtol=1e-4, err_msg=key)
    for mine, wanted in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        # atol: a gradient that is rounding alone, scaled up by Adam
        np.testing.assert_allclose(mine, wanted, rtol=1e-3, atol=2e-4)
    mine, wanted = ours.predict(x, verbose=0), theirs.predict(x, verbose=0)
    for a, b in zip(_list(mine), _list(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-4)
    np.testing.assert_allclose(
        ours.evaluate(x, y, verbose=0), theirs.evaluate(x, y, verbose=0), rtol=1e-3
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class Watching(carnyx.Layer):
    """A layer that keeps a metric of what passes through it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = carnyx.metrics.Mean(name="seen")

    def call(self, x: Any) -> Any:
        self.seen.update_state(x)
        return 2 * x


def test_prediction_forgets_what_layers_add_to_their_metrics() -> None:
    layer = Watching()
    model = carnyx.Sequential([carnyx.Input((3,)), layer])
    model.compile("sgd", "mse")
    x = np.ones((8, 3), "float32")
    assert model.evaluate(x, x, return_dict=True, verbose=0)["seen"] == 1
    before = float(layer.seen.total.value)
    np.testing.assert_array_equal(model.predict(3 * x, verbose=0), 6 * x)
    assert float(layer.seen.total.value) == before != 0
