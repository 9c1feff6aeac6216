"""Scaling on paper: counts by hand, memory, communication, what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import carnyx as keras
from benchmarks.large_models import decoder, resnet50
from tests.training import networks

layers = keras.layers
estimate = keras.distribution.estimate
Spec = jax.ShapeDtypeStruct


def compiled(inner: list[Any], optimizer: str = "sgd", loss: str = "mse") -> Any:
    with keras.abstract():
        model = keras.Sequential(inner)
    model.compile(optimizer, loss)
    return model


def dense(optimizer: str = "adam") -> Any:
    return compiled(
        [keras.Input((512,)), layers.Dense(1024), layers.Dense(256)], optimizer
    )


def one(model: Any, batch: Any, **options: Any) -> Any:
    return estimate(model, batch, devices=[1], **options).rows[0]


def test_operations_of_dense_layers() -> None:
    # forward and the kernels' gradients; the first layer's input has no gradient
    products = 2 * 64 * (2 * 512 * 1024 + 3 * 1024 * 256)
    assert one(dense("sgd"), 64).flops == pytest.approx(products, rel=0.02)


def test_operations_of_convolutions() -> None:
    model = compiled(
        [keras.Input((32, 32, 16)), layers.Conv2D(32, 3), layers.Conv2D(64, 3)]
    )
    first, second = 30 * 30 * 9 * 16 * 32, 28 * 28 * 9 * 32 * 64
    products = 2 * 8 * (2 * first + 3 * second)
    assert one(model, 8).flops == pytest.approx(products, rel=0.03)


@pytest.mark.parametrize("chip", ["tpu-v5e", "h100"])
def test_operations_of_attention(chip: str) -> None:
    inputs = keras.Input((128, 64))
    with keras.abstract():
        attended = layers.MultiHeadAttention(4, 16, use_bias=False)(inputs, inputs)
        model = keras.Model(inputs, attended)
    model.compile("sgd", "mse")
    # four projections and their kernels' gradients; the last needs its input's, too
    projections = (4 * 2 + 1) * 128 * 64 * 64
    scores = 2 * 3 * 128 * 128 * 64  # two products, each with two gradients
    expected = 2 * 8 * (projections + scores)
    assert one(model, 8, chip=chip).flops == pytest.approx(expected, rel=0.06)


def test_loops_count_as_often_as_they_run() -> None:
    def flops(steps: int) -> float:
        return one(compiled([keras.Input((steps, 8)), layers.LSTM(32)]), 16).flops

    # the recurrent product, its input's and its kernel's gradient; the input's product
    # and its kernel's gradient
    products = 2 * 16 * 64 * (3 * 32 * 4 * 32 + 2 * 8 * 4 * 32)
    assert flops(64) == pytest.approx(products, rel=0.15)
    assert flops(64) / flops(16) == pytest.approx(4, rel=0.02)


def test_networks_of_the_literature() -> None:
    model = None
    with keras.abstract():
        model = resnet50(keras)
    assert model.count_params() == 25_610_152  # 25,557,032 weights, moving averages
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    # 4.09e9 multiplications forward, twice that backward, but for the first layer
    assert one(model, 8).flops / 8 == pytest.approx(3 * 2 * 4.09e9, rel=0.05)
    with keras.abstract():
        large = decoder(keras)
    assert large.count_params() > 7e9


def test_six_operations_a_weight_and_token() -> None:
    with keras.abstract():
        model = decoder(keras, depth=3, width=512, heads=8, length=64, vocabulary=800)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    weights = sum(v.size for v in model.trainable_variables if "embed" not in v.path)
    tokens = 8 * 64
    row = one(model, (Spec((8, 64), "int32"), Spec((8, 64), "int32")))
    assert row.flops == pytest.approx(6 * weights * tokens, rel=0.1)


def test_memory_of_weights_and_optimizer() -> None:
    model = dense()
    weights = 4 * (512 * 1024 + 1024 + 1024 * 256 + 256)
    alone, split = estimate(model, 32, devices=[1, 8], strategy="fsdp").rows
    assert alone.memory["parameters"] == weights
    assert alone.memory["optimizer"] == 2 * weights + 8  # the count, the rate
    assert split.memory["parameters"] == weights / 8
    assert split.memory["optimizer"] == 2 * weights / 8 + 8
    whole = estimate(model, 32, devices=[8], strategy="data").rows[0]
    assert whole.memory["parameters"] == weights
    assert whole.memory["weights as read"] == 0
    assert split.memory["weights as read"] == weights  # gathered
    assert split.memory["gradients"] <= whole.memory["gradients"]


@pytest.mark.parametrize("name", ["mlp", "transformer"])
def test_activations_are_near_what_xla_takes(name: str) -> None:
    width = 256
    if name == "mlp":
        shape: Any = (64, width)
        model = compiled(
            [keras.Input((width,)), *(layers.Dense(width, "relu") for _ in range(6))]
        )
    else:
        shape = (4, 64)
        with keras.abstract():
            model = decoder(keras, 3, width, 4, 64, 500)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
    dtype = "float32" if name == "mlp" else "int32"
    batch = (Spec(shape, dtype), Spec(shape, dtype))
    row = one(model, batch, chip="cpu")
    program = model.train_program().lower((*batch, None)).compile()
    temporary = program.memory_analysis().temp_size_in_bytes
    ours = row.memory["activations"] + row.memory["gradients"]
    assert 0.6 < ours / temporary < 1.6


def test_a_gpus_attention_keeps_no_scores() -> None:
    def activations(length: int, chip: str) -> float:
        with keras.abstract():
            model = decoder(keras, 2, 64, 4, length, 16)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
        batch = (Spec((2, length), "int32"),) * 2
        return one(model, batch, chip=chip).memory["activations"]

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        gpu = activations(1024, "h100") / activations(256, "h100")
        tpu = activations(1024, "tpu-v5e") / activations(256, "tpu-v5e")
    finally:
        keras.config.set_dtype_policy("float32")
    assert gpu == pytest.approx(4, rel=0.1) and tpu > 8


def test_the_kernel_on_paper_computes_attention() -> None:
    from carnyx.ops._flash import flash_attention

    q, k, v = np.random.default_rng(0).normal(size=(3, 2, 8, 4, 16)).astype("float32")

    def total(fn: Any) -> Any:
        total = lambda q, k, v: (fn(q, k, v) ** 2).sum()  # noqa: E731
        return jax.jit(jax.value_and_grad(total, (0, 1, 2)))

    plain = keras.ops.dot_product_attention
    ours = total(lambda *a: flash_attention(*a, None, 0.25, True))(q, k, v)
    expected = total(lambda *a: plain(*a, scale=0.25, is_causal=True))(q, k, v)
    for a, b in zip(*map(jax.tree_util.tree_leaves, (ours, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_rings() -> None:
    model = dense()
    gradients = 4 * (512 * 1024 + 1024 + 1024 * 256 + 256)
    row = estimate(model, 32, devices=[8], strategy="data").rows[0]
    assert row.collectives["all-reduce"] == gradients
    assert row.sent["all-reduce"] == 2 * 7 / 8 * gradients
    row = estimate(model, 32, devices=[8], strategy="fsdp").rows[0]
    parts = {"all-reduce": 0, "all-gather": gradients, "reduce-scatter": gradients}
    assert row.collectives == parts
    assert row.sent["all-gather"] == 7 / 8 * gradients


def test_half_precision_halves_what_is_sent() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = dense()
    finally:
        keras.config.set_dtype_policy("float32")
    gradients = 4 * (512 * 1024 + 1024 + 1024 * 256 + 256)
    row = estimate(model, 32, devices=[8], strategy="fsdp").rows[0]
    assert row.collectives["all-gather"] == gradients / 2
    assert row.memory["weights as read"] == gradients / 2
    assert row.memory["parameters"] == gradients / 8


def test_statistics_of_batch_normalization_are_counted() -> None:
    inner = [keras.Input((16,)), layers.Dense(8), layers.BatchNormalization()]
    row = estimate(compiled(inner), 32, devices=[8], overlap=1.0).rows[0]
    weights = 4 * (16 * 8 + 8 + 8 + 8)
    assert row.collectives["all-reduce"] == weights + 4 * 4 * 8
    assert row.step >= row.compute + 4 * keras.distribution.CHIPS["h100"].latency


def test_weak_and_strong_scaling() -> None:
    model = dense()
    weak = estimate(model, 64, devices=[1, 8, 64])
    strong = estimate(model, 64, devices=[1, 8, 64], scaling="strong")
    assert [r.samples for r in weak.rows] == [64, 512, 4096]
    assert [r.samples for r in strong.rows] == [64, 64, 64]
    assert weak.rows[0].efficiency == strong.rows[0].efficiency == 1
    assert weak.rows[0].flops == weak.rows[2].flops == strong.rows[0].flops
    assert strong.rows[1].flops < strong.rows[0].flops / 6
    for rows in (weak.rows, strong.rows):
        assert rows[0].communicate == 0 < rows[1].communicate < rows[2].communicate
        assert rows[0].efficiency > rows[1].efficiency > rows[2].efficiency > 0


def test_overlap_hides_communication() -> None:
    rows = [
        estimate(dense(), 4096, devices=[64], overlap=x).rows[0]
        for x in (0.0, 0.5, 1.0)
    ]
    assert rows[0].step == rows[0].compute + rows[0].communicate
    assert rows[0].step > rows[1].step > rows[2].step >= rows[2].compute


def test_a_model_that_does_not_fit_is_split() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        with keras.abstract():
            model = decoder(keras, depth=8, length=64)
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))
    batch = (Spec((1, 64), "int32"),) * 2
    found = estimate(model, batch, devices=[1, 64], chip="tpu-v5e")
    assert found.strategy == "fsdp"
    assert [r.fits for r in found.rows] == [False, True]
    assert found.rows[0].total_memory > 5 * found.rows[1].total_memory


def test_a_chip_of_ones_own() -> None:
    h100 = keras.distribution.CHIPS["h100"]
    fast = dataclasses.replace(
        h100, name="dream", bandwidth=1e18, link=1e18, network=1e18, latency=0.0,
        network_latency=0.0, launch=0.0, matrix_share=1.0,
    )  # fmt: skip
    row = one(dense("sgd"), 64, chip=fast)
    products = 2 * 64 * (2 * 512 * 1024 + 3 * 1024 * 256)
    assert row.compute == pytest.approx(products / h100.flops["float32"], rel=1e-3)
    assert row.utilization == pytest.approx(1, rel=1e-3)


def test_batches_may_be_arrays_shapes_or_a_number() -> None:
    model = dense()
    x, y = np.zeros((32, 512)), np.zeros((32, 256), "float32")
    shapes = Spec((32, 512), "float32"), Spec((32, 256), "float32")
    rows = [one(model, b) for b in (32, (x, y), shapes, [*shapes, None])]
    assert all(row == rows[0] for row in rows)
    weighted = one(model, (x, y, np.ones(32, "float32")))
    assert weighted.memory["batch and other"] == rows[0].memory["batch and other"] + 128
    sparse = compiled(
        [keras.Input((8,)), layers.Dense(4, activation="softmax")],
        loss="sparse_categorical_crossentropy",
    )
    by_hand = (Spec((16, 8), "float32"), Spec((16,), "int32"))
    assert one(sparse, 16) == one(sparse, by_hand)


def test_real_models_are_left_as_they_are() -> None:
    x, y = networks.data_for("mlp", 16)
    model = networks.mlp(keras)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.train_on_batch(x, y)
    kept = [v.numpy() for v in model.variables + model.optimizer.variables]
    found = estimate(model, (x, y), devices=[1, 4])
    for variable, before in zip(
        model.variables + model.optimizer.variables, kept, strict=True
    ):
        np.testing.assert_array_equal(variable, before)
    with keras.abstract():
        paper = networks.mlp(keras)
    paper.compile("adam", "sparse_categorical_crossentropy")
    assert estimate(paper, (x, y), devices=[1, 4]).rows == found.rows


@pytest.mark.parametrize("name", ["lstm", "two_by_two"])
def test_other_networks(name: str) -> None:
    with keras.abstract():
        model = getattr(networks, name)(keras)
    several = name == "two_by_two"
    model.compile("adam", ["mse", "categorical_crossentropy"] if several else "mse")
    row = estimate(model, networks.data_for(name, 8), devices=[4]).rows[0]
    assert row.flops > 0 and math.isfinite(row.step)


def test_a_users_own_step() -> None:
    class Twice(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = layers.Dense(64)

        def call(self, x: Any) -> Any:
            return self.inner(x)

        def train_step(self, data: Any) -> Any:
            x, y = data
            for _ in range(2):
                loss, gradients = self.value_and_grad(
                    lambda: keras.ops.mean((self(x, training=True) - y) ** 2)
                )
                self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss}

    model = Twice()
    model.build((None, 128))
    model.compile("sgd")
    batch = (Spec((256, 128), "float32"), Spec((256, 64), "float32"))
    assert one(model, batch).flops == pytest.approx(
        2 * 2 * 2 * 256 * 128 * 64, rel=0.05
    )


def test_it_prints_and_is_plain_data() -> None:
    found = estimate(dense(), 64, chip="v5e")
    text = str(found)
    assert all(
        title in text
        for title in ("devices", "efficiency", "all-reduce GB", "optimizer")
    )
    assert "tpu-v5e" in text and "50% of their time is hidden" in text
    assert len(text.splitlines()) == 2 + 2 * 5 + len(found.assumptions())
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["rows"][1]["devices"] == 8
    assert plain["rows"][1]["throughput"] == found.rows[1].throughput


@pytest.mark.parametrize(
    "options, message",
    [
        ({"chip": "h10"}, "Did you mean 'h100'"),
        ({"strategy": "tensor"}, "Tensor parallelism and pipelines are not"),
        ({"scaling": "linear"}, '"weak" or "strong"'),
        ({"overlap": 2}, "0 to 1"),
        ({"devices": [0]}, "1 or more devices"),
        ({"devices": []}, "no number of devices"),
        ({"devices": None}, "devices=None; expected numbers of devices"),
        ({"devices": ["8"]}, "expected numbers of devices"),
        ({"devices": "8"}, "expected numbers of devices"),
        ({"devices": [1.5]}, "expected numbers of devices"),
        ({"devices": True}, "expected numbers of devices"),
        ({"overlap": "x"}, "overlap='x'; expected 0 to 1"),
        ({"batch": True}, "batch=True; expected"),
        ({"batch": 0}, "batch=0; expected"),
        ({"batch": -3}, "batch=-3; expected"),
        ({"batch": 1.5}, "batch=1.5; expected"),
        ({"batch": ((4, 512), (4, 256))}, "with 4 in it, which has no axis"),
        ({"batch": (np.zeros((0, 512)), np.zeros((0, 256)))}, "have .0. samples"),
        ({"devices": [64], "scaling": "strong"}, "a sample for each"),
        ({"batch": (np.zeros((3, 512)), np.zeros((4, 256)))}, "have .3, 4. samples"),
        ({"batch": np.zeros((3, 512))}, r"expected \(x, y\)"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    batch = options.pop("batch", 8)
    with pytest.raises(ValueError, match=message):
        estimate(dense(), batch, **options)


def test_one_number_of_devices_needs_no_list() -> None:
    assert [r.devices for r in estimate(dense(), np.int64(8), 4).rows] == [4]
    found = estimate(dense(), 8, iter([np.int32(2)]))
    assert [r.devices for r in found.rows] == [2]


def test_a_model_that_is_not_built_stays_so() -> None:
    model = keras.Sequential([layers.Dense(3)])
    model.compile("sgd", "mse")
    batch = np.ones((4, 3), "float32"), np.ones((4, 3), "float32")
    with pytest.raises(keras.errors.NotBuiltError, match=r"call model\.build\(shape\)"):
        estimate(model, batch)
    assert not model.built
    with keras.abstract():
        model.build((None, 3))
    assert estimate(model, batch, 1).parameters == 12 and model.weights[0].abstract


def test_models_that_say_too_little_are_refused() -> None:
    model = keras.Sequential([keras.Input((None, 8)), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"call model\.compile"):
        estimate(model, 4)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="pass \\(x, y\\)"):
        estimate(model, 4)


def test_the_example_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "scaling.md").read_text()
    example = page.split("```python\n")[1].split("```")[0]
    try:
        exec(compile(example, "scaling.md", "exec"), {})
    finally:
        keras.config.set_dtype_policy("float32")
    assert "fsdp [False, True, True]" in capsys.readouterr().out
