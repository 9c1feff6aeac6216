"""Data parallel on 8 devices gives the numbers of one."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import carnyx as keras
from tests.distribution.shared_checks import (
    NETWORKS,
    compiled,
    flat,
    step_text,
    train,
    transfers,
)
from tests.training.networks import data_for

DataParallel = keras.distribution.DataParallel
WEIGHTS = np.linspace(0.1, 2.0, 50, dtype="float32")


def check_same(got: dict[str, Any], expected: dict[str, Any]) -> None:
    """Equal to 1e-5: each number of the history, predictions and weights as a whole."""
    assert list(got) == list(expected)
    for key, value in got.items():
        a, b = flat(value), flat(expected[key])
        if key in ("predict", "weights"):
            assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(b), key
        else:
            np.testing.assert_allclose(a, b, rtol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_numbers_of_one_device(name: str) -> None:
    size = 18  # the last batch has 14: neither divides by 8
    check_same(train(name, DataParallel(), size), train(name, None, size))


def test_even_batches_and_sample_weights() -> None:
    fit = {"sample_weight": WEIGHTS}
    one, many = (train("mlp", d, 24, **fit) for d in (None, DataParallel()))
    check_same(many, one)


def test_parameters_split_and_smaller_meshes() -> None:
    x, y = data_for("mlp", 40)
    results = []
    for distribution in (
        None,
        DataParallel(shard_parameters=True),
        DataParallel(devices=["cpu:1", "cpu:5", "cpu:6"]),
        keras.distribution.ModelParallel("auto", model=4),
    ):
        keras.utils.set_random_seed(1)
        keras.distribution.set_distribution(distribution)
        model = keras.Sequential(
            [
                keras.Input((12,)),
                keras.layers.Dense(128, "relu"),
                keras.layers.Dense(16),
                keras.layers.Dense(4),
            ]
        )
        model.compile(
            keras.optimizers.AdamW(0.01, global_clipnorm=1.0, use_ema=True),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        history = model.fit(x, y, batch_size=16, epochs=7, verbose=0).history
        results.append([*history["loss"], model.evaluate(x, y, verbose=0)])
        keras.distribution.set_distribution(None)
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-5)


def test_single_batches_fewer_samples_than_devices_and_a_generator() -> None:
    x, y = data_for("convnet", 21)
    results: list[dict[str, Any]] = []
    for distribution in (None, DataParallel()):
        keras.distribution.set_distribution(distribution)
        model = compiled("convnet")
        logs = [model.train_on_batch(x[:n], y[:n]) for n in (3, 8, 9)]
        batches = [(x[:5], y[:5]), (x[5:21], y[5:21])]
        history = model.fit(iter(batches), steps_per_epoch=2, verbose=0).history
        predicted = [model.predict_on_batch(x[:3]), model.predict(x[:1], verbose=0)]
        results.append({"logs": [*logs, history["loss"]], "predict": predicted})
        keras.distribution.set_distribution(None)
    check_same(results[1], results[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_moved_once_and_nothing_else(name: str) -> None:
    with DataParallel().scope():
        model = compiled(name, metrics=False)
    size = 512  # so that activations are larger than gradients
    x, y = data_for(name, size)
    model._prepare(_spec(model, x, y), training=True)
    found = transfers(step_text(model, x, y))
    assert {t.kind for t in found} == {"all-reduce"}
    # single numbers (a loss, a count) aside
    gradients = [v.nbytes for v in model.trainable_variables if v.nbytes > 4]
    if name == "two_by_two":  # of a shared layer XLA's CPU compiler sends two sums
        gradients += [v.nbytes for v in model.layers[3].trainable_variables]
    sent = [n for t in found for n in t.sizes if n > 4]
    assert sum(gradients) <= sum(sent) <= 1.05 * sum(gradients)
    assert max(sent) == max(gradients)


def _spec(model: Any, x: Any, y: Any) -> Any:
    from carnyx._data import adapt

    return adapt(x, y, None, batch_size=8).spec()


@pytest.mark.parametrize("shard", [False, True])
@pytest.mark.parametrize("pickled", [False, True])
def test_copies_and_pickles(shard: bool, pickled: bool) -> None:
    x, y = data_for("mlp", 40)
    keras.distribution.set_distribution(DataParallel(shard_parameters=shard))
    model = compiled("mlp")
    model.fit(x, y, batch_size=16, verbose=0)
    before = model.get_weights()
    twin = pickle.loads(pickle.dumps(model)) if pickled else copy.deepcopy(model)  # noqa: S301
    assert twin.weights[0].value.sharding == model.weights[0].value.sharding
    np.testing.assert_array_equal(twin.predict(x), model.predict(x))
    logs = twin.fit(x, y, batch_size=16, shuffle=False, verbose=0).history
    np.testing.assert_array_equal(flat(model.get_weights()), flat(before))
    assert model.fit(x, y, batch_size=16, shuffle=False, verbose=0).history == logs
    np.testing.assert_array_equal(flat(twin.get_weights()), flat(model.get_weights()))


def _on_two_devices(x: Any) -> Any:
    with keras.device("cpu:0"):
        x = keras.layers.Lambda(keras.ops.log)(x)
    with keras.device("cpu:1"):
        return keras.layers.Dense(1)(x)


def _anywhere(x: Any) -> Any:
    return keras.layers.Dense(1)(keras.layers.Lambda(keras.ops.log)(x))


@pytest.mark.parametrize("of", [_on_two_devices, _anywhere], ids=["scopes", "mesh"])
def test_where_a_loss_begins_to_be_nan(of: Any) -> None:
    """The step is made once more, where its parts lie."""
    x = np.ones((32, 4), "float32")
    x[13, 2] = -1
    keras.distribution.set_distribution(
        None if of is _on_two_devices else DataParallel()
    )
    inputs = keras.Input((4,))
    model = keras.Model(inputs, of(inputs))
    model.compile("sgd", "mse")
    said = "On batch 1 of epoch 1: .* 'lambda.*', 1 of 40 values; its inputs are finite"
    with pytest.warns(UserWarning, match=said):
        model.fit(x, x[:, :1], batch_size=10, shuffle=False, verbose=0)
