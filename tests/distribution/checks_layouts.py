"""Where values lie on 8 devices, and what programs send between them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import carnyx as keras
from tests.distribution.shared_checks import step_text, transfers

distribution = keras.distribution
DataParallel, ModelParallel = distribution.DataParallel, distribution.ModelParallel


@pytest.fixture(autouse=True)
def nothing_left_in_force() -> Any:
    yield
    distribution.set_distribution(None)


def transformer(vocabulary: int = 96, width: int = 32, heads: int = 4) -> Any:
    layers = keras.layers
    inputs = keras.Input((12,), dtype="int32")
    x = layers.Embedding(vocabulary, width)(inputs)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(heads, width // heads)(y, y)
        y = layers.LayerNormalization()(x)
        x = x + layers.Dense(width)(layers.Dense(4 * width, "gelu")(y))
    return keras.Model(inputs, layers.Dense(vocabulary)(x))


def trained(distributed: Any, policy: str = "float32") -> tuple[Any, Any, Any]:
    x = np.random.default_rng(0).integers(0, 96, (16, 12)).astype("int32")
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    distribution.set_distribution(distributed)
    model = transformer()
    keras.config.set_dtype_policy("float32")
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, x, batch_size=16, epochs=2, verbose=0)
    return model, x, x


def bytes_a_device(variables: list[Any]) -> list[int]:
    held = dict.fromkeys(jax.devices(), 0)
    for v in variables:
        for shard in v.value.addressable_shards:
            held[shard.device] += shard.data.nbytes
    return list(held.values())


def test_parameters_and_slots_are_split() -> None:
    model, x, y = trained(DataParallel(shard_parameters=True))
    variables = model.trainable_variables + model.optimizer.variables
    total = sum(v.nbytes for v in variables)
    assert max(bytes_a_device(variables)) <= 1.15 / 8 * total
    sent = transfers(step_text(model, x, y))
    split = [v.nbytes for v in model.trainable_variables if v.size >= 32]
    gathered = sum(t.bytes for t in sent if t.kind == "all-gather")
    assert sum(split) <= gathered <= 2.1 * sum(split)  # forward, perhaps backward
    assert model.train_program().compilations() == 1  # what comes out can go in again


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_automatic_layouts_of_a_transformer(policy: str) -> None:
    model, x, y = trained(ModelParallel("auto", model=2), policy)
    layouts = {v.path: v.value.sharding.spec for v in model.trainable_variables}
    P = jax.sharding.PartitionSpec
    assert layouts["embedding/embeddings"] == P("model")
    assert layouts["multi_head_attention/query/kernel"] == P(None, "model")
    assert layouts["multi_head_attention/attention_output/kernel"] == P("model")
    assert layouts["dense_1/kernel"] == P(None, "model")  # the wider, built first
    assert layouts["dense/kernel"] == P("model")
    sent = transfers(step_text(model, x, y))
    largest_bias = 4 * 128
    assert max(t.bytes for t in sent if t.kind == "all-gather") <= largest_bias
    assert {t.kind for t in sent} == {"all-reduce", "all-gather"}


def test_layout_maps_place_weights_slots_and_outputs() -> None:
    mesh = distribution.DeviceMesh((2, 4), ("batch", "model"))
    layouts = distribution.LayoutMap(mesh)
    layouts[".*wide/kernel"] = (None, "model")
    layouts[".*wide/bias"] = distribution.TensorLayout(("model",))
    layouts[".*narrow/output"] = ("batch", "model")
    seen = []

    class Look(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            jax.debug.inspect_array_sharding(x, callback=seen.append)
            return x

    distribution.set_distribution(ModelParallel(layout_map=layouts))
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, name="wide"),
            keras.layers.Dense(4, name="narrow"),
            Look(),
        ]
    )
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    model.fit(np.ones((8, 6)), np.ones((8, 4)), batch_size=8, verbose=0)
    spec = {v.path.partition("/")[2]: v.value.sharding.spec for v in model.variables}
    spec = {path: tuple(s) for path, s in spec.items()}
    assert spec["wide/kernel"] == (None, "model") and spec["wide/bias"] == ("model",)
    assert spec["narrow/kernel"] == ()
    slot = next(v for v in model.optimizer.variables if "wide_kernel" in v.path)
    assert tuple(slot.value.sharding.spec) == (None, "model")
    assert {tuple(s.spec) for s in seen} == {("batch", "model")}


def test_layouts_that_cannot_be() -> None:
    mesh = distribution.DeviceMesh((2, 4), ("batch", "model"))
    half = distribution.DeviceMesh((4,), ("model",), distribution.list_devices()[:4])
    other = distribution.DeviceMesh((8,), ("all",))
    layouts = distribution.LayoutMap(mesh)
    layouts["dense/kernel"] = (None, "model")
    layouts["wide.*kernel"] = distribution.TensorLayout((None, "model"), half)
    layouts["fits/kernel"] = distribution.TensorLayout((None, "all"), other)
    with ModelParallel(layouts).scope():
        three = keras.layers.Dense(4, name="dense_of_three")
        model = keras.Sequential([keras.Input((3,)), three])
        layouts["sequential.*three/output"] = ("batch", None, "model")
        with pytest.raises(ValueError, match=r"shape \(8, 4\), and its layout"):
            model.predict(np.ones((8, 3)), verbose=0)
        with pytest.raises(
            ValueError, match=r"'dense/kernel' of shape \(3, 6\).*axis 1 has 6 entries"
        ):
            keras.layers.Dense(6, name="dense").build((None, 3))
        with pytest.raises(ValueError, match=r"'wide.\*kernel': its devices .'cpu:0'"):
            keras.layers.Dense(8, name="wide").build((None, 3))
        dense = keras.layers.Dense(8, name="fits")
        dense.build((None, 3))
        assert tuple(dense.kernel.value.sharding.spec) == (None, "all")


def test_models_move_when_the_distribution_changes() -> None:
    x, y = np.ones((16, 4), "float32"), np.ones((16, 1), "float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    devices = []
    for change in (
        None,
        DataParallel(),
        DataParallel(devices=["cpu:2", "cpu:3"]),
        None,
    ):
        distribution.set_distribution(change)
        model.fit(x, y, verbose=0)
        devices.append(len(model.weights[0].value.sharding.device_set))
        kept = model.weights[0].value
        model.fit(x, y, verbose=0)
        assert np.isfinite(kept).all()  # not donated: somebody holds it
    assert devices == [1, 8, 2, 1]
    with DataParallel().scope() as scope:
        assert distribution.distribution() is scope
        model.compile("adam", "mse")
    model.fit(x, y, verbose=0)  # as in the scope in which it was compiled
    assert len(model.weights[0].value.sharding.device_set) == 8
    model.weights[0].assign(np.zeros((4, 1)))
    assert len(model.weights[0].value.sharding.device_set) == 8


def test_tensors_and_variables_with_layouts_of_their_own() -> None:
    mesh = distribution.DeviceMesh((8,), ("x",))
    layout = distribution.TensorLayout(("x",), mesh)
    x = distribution.distribute_tensor(np.arange(16.0), layout)
    assert x.addressable_shards[3].data.tolist() == [6.0, 7.0]
    doubled = jax.jit(lambda v: distribution.distribute_tensor(v * 2, layout))(x)
    assert tuple(doubled.sharding.spec) == ("x",)
    variable = keras.Variable(np.zeros(8), layout=layout)
    variable.assign_add(np.ones(8))
    assert tuple(variable.value.sharding.spec) == ("x",)
    assert distribution.list_devices() == [f"cpu:{i}" for i in range(8)]
    assert distribution.get_device_count("cpu") == 8
    with pytest.raises(ValueError, match="9 entries, which the 8 places of 'x' do not"):
        distribution.distribute_tensor(np.ones(9), layout)
