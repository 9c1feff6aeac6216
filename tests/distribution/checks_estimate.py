"""What `estimate` says is sent and kept, beside what 8 devices really send and keep."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import Any

import jax
import numpy as np
import pytest

import carnyx as keras
from benchmarks.large_models import decoder
from tests.distribution.shared_checks import compiled, transfers
from tests.training import networks

distribution = keras.distribution
DataParallel, estimate = distribution.DataParallel, distribution.estimate


@pytest.fixture(autouse=True)
def nothing_left_in_force() -> Any:
    yield
    distribution.set_distribution(None)


def sums(found: list[Any]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for transfer in found:
        total[transfer.kind] += transfer.bytes
    return total


def step(name: str, shard: bool, abstract: bool = False) -> tuple[Any, Any]:
    """The model, and its compiled step for 16 samples on 8 devices."""
    distribution.set_distribution(DataParallel(shard_parameters=shard))
    with keras.abstract() if abstract else contextlib.nullcontext():
        model = compiled(name, metrics=False)
    batch = networks.data_for(name, 16)
    symbols = [keras.KerasTensor((None, *a.shape[1:]), a.dtype.name) for a in batch]
    model._prepare((*symbols, None), True)
    specs = tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in batch)
    return model, model.train_program().lower(specs).compile()


@pytest.mark.parametrize("shard", [False, True], ids=["data", "fsdp"])
@pytest.mark.parametrize("name", ["mlp", "convnet", "transformer"])
def test_what_is_sent(name: str, shard: bool) -> None:
    model, program = step(name, shard)
    really = sums(transfers(program.as_text()))
    strategy = DataParallel(shard_parameters=shard)
    batch = networks.data_for(name, 2)
    row = estimate(model, batch, devices=[8], chip="cpu", strategy=strategy).rows[0]
    for kind in ("all-reduce", "all-gather", "reduce-scatter"):
        assert row.collectives[kind] == pytest.approx(really[kind], rel=0.05, abs=8)


@pytest.mark.parametrize("shard", [False, True], ids=["data", "fsdp"])
def test_what_is_kept(shard: bool) -> None:
    model, _ = step("transformer", shard)
    batch = networks.data_for("transformer", 2)
    strategy = "fsdp" if shard else "data"
    row = estimate(model, batch, devices=[8], chip="cpu", strategy=strategy).rows[0]

    def held(variables: list[Any]) -> int:
        first = jax.devices()[0]
        shards = [s for v in variables for s in v.value.addressable_shards]
        return sum(s.data.nbytes for s in shards if s.device == first)

    weights = model.trainable_variables + model.non_trainable_variables
    assert row.memory["parameters"] == held(weights)
    assert row.memory["optimizer"] == held(model.optimizer.variables)


@pytest.mark.parametrize("shard", [False, True], ids=["data", "fsdp"])
@pytest.mark.parametrize("name", ["mlp", "decoder"])
def test_what_the_compiled_step_takes(name: str, shard: bool) -> None:
    distribution.set_distribution(DataParallel(shard_parameters=shard))
    with keras.abstract():
        if name == "decoder":
            model = decoder(keras, 4, 256, 4, 128, 1000)
        else:
            hidden = [keras.layers.Dense(512, "relu") for _ in range(6)]
            model = keras.Sequential([keras.Input((512,)), *hidden])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss if name == "decoder" else "mse")

    def batch(samples: int) -> Any:
        shape = (samples, 128 if name == "decoder" else 512)
        dtype = "int32" if name == "decoder" else "float32"
        return (jax.ShapeDtypeStruct(shape, dtype),) * 2

    strategy = "fsdp" if shard else "data"
    found = estimate(model, batch(2), devices=[8], chip="cpu", strategy=strategy)
    ours = found.rows[0].memory
    program = model.train_program().lower(batch(16)).compile()
    xla = program.memory_analysis()
    held = ours["parameters"] + ours["optimizer"] + ours["batch and other"]
    between = found.rows[0].total_memory - held
    assert held == pytest.approx(xla.argument_size_in_bytes, rel=1e-3)
    assert between == pytest.approx(xla.temp_size_in_bytes, rel=0.15)


def test_an_abstract_model_gives_the_program_of_a_real_one() -> None:
    _, real = step("convnet", True)
    model, program = step("convnet", True, abstract=True)
    assert all(v.abstract for v in model.trainable_variables)
    assert program.as_text() == real.as_text()


def test_materialized_under_a_distribution() -> None:
    distribution.set_distribution(DataParallel(shard_parameters=True))
    with keras.abstract():
        model = compiled("transformer", metrics=False)
    x, y = networks.data_for("transformer", 16)
    keras.materialize(model)
    weights = [v for v in model.trainable_variables if v.shape[0] % 8 == 0]
    assert weights and all(len(v.value.sharding.device_set) == 8 for v in weights)
    assert all(
        np.prod(v.value.addressable_shards[0].data.shape) < v.size for v in weights
    )
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"][0])
