"""`multi_gpu_model`, on 8 devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import carnyx as keras
from carnyx.utils import multi_gpu_model
from tests.distribution.shared_checks import networks

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_it_trains_the_weights_of_the_template(tmp_path: Path) -> None:
    x, y = networks.data_for("convnet", 50)
    template = networks.convnet(keras)
    alone = keras.models.clone_model(template)
    alone.set_weights(template.get_weights())
    parallel = multi_gpu_model(template, gpus=8)
    assert not template.compiled and parallel.layers[0] is template.layers[0]
    for model in (parallel, alone):
        keras.utils.set_random_seed(2)
        model.compile(keras.optimizers.SGD(0.01), LOSS)
        model.fit(x, y, batch_size=20, epochs=3, verbose=0)
    for a, b in zip(template.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

    expected = alone.predict(x, verbose=0)
    for number, model in enumerate((parallel, template)):
        file = tmp_path / f"{number}.keras"
        model.save(file)
        loaded = keras.models.load_model(file)
        predicted = loaded.predict(x, verbose=0)
        np.testing.assert_allclose(predicted, expected, rtol=1e-4, atol=1e-5)


def test_template_and_parallel_model_take_turns() -> None:
    x, y = np.ones((32, 3), "float32"), np.ones((32, 1), "float32")
    template = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    parallel = multi_gpu_model(template, gpus=[0, 2, 5])
    template.compile("sgd", "mse")
    parallel.compile("adam", "mse")
    losses = []
    for model in (parallel, template, parallel, template):
        losses += model.fit(x, y, batch_size=8, verbose=0).history["loss"]
        devices = {d.id for d in template.weights[0].value.sharding.device_set}
        assert devices == ({0, 2, 5} if model is parallel else {0})
    assert losses == sorted(losses, reverse=True)
    a, b = (m.predict(x, verbose=0) for m in (template, parallel))
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_each_device_gets_its_samples() -> None:
    parallel = multi_gpu_model(
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    )
    parallel.compile("sgd", "mse")
    x, y = np.ones((256, 3), "float32"), np.ones((256, 1), "float32")
    parallel.train_on_batch(x, y)
    placed, _ = parallel.train_program().put((x, y))
    assert [s.data.shape for s in placed.addressable_shards] == [(32, 3)] * 8


def test_a_model_of_a_class_and_one_without_weights() -> None:
    class Twice(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x) * 2

    template = Twice()
    with pytest.raises(ValueError, match="no weights to share yet"):
        multi_gpu_model(template, 2)
    expected = template(np.ones((5, 3)))
    parallel = multi_gpu_model(template, 4)
    np.testing.assert_allclose(parallel.predict(np.ones((5, 3)), verbose=0), expected)


def test_devices_that_are_not_there() -> None:
    template = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(
        RuntimeError, match="cpu:9 is not there; this machine has cpu:0"
    ):
        multi_gpu_model(template, [0, 9])
    with pytest.raises(RuntimeError, match="cpu:8, cpu:9 are not there"):
        multi_gpu_model(template, 10)
    for gpus in (1, [1], [1, 1], 2.0, [0, 2.5], "2", True, [0, True], ["0", "1"]):
        with pytest.raises(ValueError, match="a whole number, 2 or more"):
            multi_gpu_model(template, gpus)
    pipeline = keras.distribution.Pipeline(template, stages=1)
    for model in (None, pipeline):
        with pytest.raises(ValueError, match="expected a model"):
            multi_gpu_model(model, 2)
    assert multi_gpu_model(template, np.int64(2))._placement.shards == 2


@pytest.mark.parametrize("first", [0, 1], ids=["template", "parallel"])
def test_layers_that_are_added_or_popped_later(first: int) -> None:
    dense = [keras.layers.Dense(n, "tanh") for n in (4, 2)]
    template = keras.Sequential([keras.Input((3,)), *dense])
    pair = template, multi_gpu_model(template, 2)
    changed, other = pair[first], pair[1 - first]
    x = np.ones((8, 3), "float32")
    before = other.predict(x, verbose=0)
    changed.add(keras.layers.Dense(5))
    assert (len(changed.layers), len(other.layers)) == (3, 2)
    assert changed.predict(x, verbose=0).shape == (8, 5)
    changed.pop()
    np.testing.assert_allclose(changed.predict(x, verbose=0), before, rtol=1e-6)
    changed.pop()
    for model, units in ((changed, 4), (other, 2)):
        assert model.output_shape == (None, units)
        assert len(model.weights) == 2 * len(model.layers)
        model.compile("sgd", "mse")
        model.fit(x, np.ones((8, units), "float32"), verbose=0)
        assert model.predict(x, verbose=0).shape == (8, units)
    other.pop()
    assert other.layers == changed.layers == dense[:1]
