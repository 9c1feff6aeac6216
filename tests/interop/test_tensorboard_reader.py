"""TensorBoard's own reader reads what the callback writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carnyx as keras

reader = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator",
    reason="tensorboard is not installed (make test-interop)",
)


def test_tensorboard_reads_curves_histograms_images_and_the_graph(
    tmp_path: Path,
) -> None:
    from tensorboard.plugins.graph import keras_util
    from tensorboard.util import tensor_util

    x = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
    inputs = keras.Input((5,), name="x")
    hidden = keras.layers.Dense(3, name="a")(inputs)
    joined = keras.layers.concatenate([inputs, hidden], name="both")
    model = keras.Model(inputs, keras.layers.Dense(1, name="b")(joined), name="m")
    model.compile("sgd", "mse")
    board = keras.callbacks.TensorBoard(
        tmp_path, histogram_freq=1, write_images=True, update_freq="batch"
    )
    history = model.fit(
        x, x[:, :1], batch_size=10, epochs=2, verbose=0, validation_split=0.25,
        callbacks=[board],
    ).history  # fmt: skip

    def load(name: str) -> Any:
        loaded = reader.EventAccumulator(str(tmp_path / name), {"tensors": 0})
        return loaded.Reload()

    def arrays(loaded: Any, tag: str) -> list[Any]:
        return [tensor_util.make_ndarray(e.tensor_proto) for e in loaded.Tensors(tag)]

    train, validation = load("train"), load("validation")
    np.testing.assert_allclose(arrays(train, "epoch_loss"), history["loss"], 1e-6)
    np.testing.assert_allclose(
        arrays(validation, "epoch_loss"), history["val_loss"], 1e-6
    )
    assert len(arrays(train, "batch_loss")) == 6
    plugins = ("scalars", "histograms", "images", "graph_keras_model")
    assert all(train.PluginTagToContent(name) for name in plugins)
    (config,) = arrays(train, "keras")
    graph = keras_util.keras_model_to_graph_def(json.loads(config.item()))
    inputs_of = {node.name: list(node.input) for node in graph.node}
    assert inputs_of["m/b"] == ["m/both"]
    assert inputs_of["m/both"] == ["m/x", "m/a"]
