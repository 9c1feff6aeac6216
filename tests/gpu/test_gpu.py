"""On a GPU: `JAX_PLATFORMS=cuda,cpu python -m pytest -m gpu`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

import carnyx as keras

pytestmark = pytest.mark.gpu
layers = keras.layers
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def float32_again() -> Iterator[None]:
    yield
    keras.config.set_dtype_policy("float32")


def compiled_text(model: Any, x: Any, y: Any) -> str:
    """The program of a training step, for this GPU."""
    return model.train_program().lower((x, y)).compile().as_text()


def trained(model: Any, x: Any, y: Any, epochs: int = 1) -> list[float]:
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    return model.fit(x, y, batch_size=len(x), epochs=epochs, verbose=0).history["loss"]


def capability() -> float:
    return float(getattr(jax.devices()[0], "compute_capability", 0))


def test_it_is_used_without_settings() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8), layers.Dense(1)])
    x, y = np.ones((32, 4), "float32"), np.ones((32, 1), "float32")
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    values = [v.value for v in [*model.weights, *model.optimizer.variables]]
    assert {d.platform for v in values for d in v.devices()} == {"gpu"}
    assert next(iter(model(x).devices())).platform == "gpu"
    assert model.predict(x, verbose=0).shape == (32, 1)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision(policy: str) -> None:
    x = rng.normal(size=(256, 64)).astype("float32")
    y = x[:, :1] * x[:, 1:2]
    losses = {}
    for name in ("float32", policy):
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(name)
        model = keras.Sequential([keras.Input((64,)), layers.Dense(256, "relu")])
        model.add(layers.Dense(1, dtype="float32"))
        losses[name] = trained(model, x, y, 20)
    np.testing.assert_allclose(losses[policy], losses["float32"], rtol=0.05)
    short = {"mixed_bfloat16": "bf16", "mixed_float16": "f16"}[policy]
    assert f"{short}[256,256]" in compiled_text(model, x, y)
    assert {v.dtype for v in model.trainable_variables} == {"float32"}


@pytest.mark.parametrize("causal", [False, True])
def test_attention_by_cudnn(causal: bool) -> None:
    if capability() < 8:
        pytest.skip("cuDNN's attention needs an Ampere GPU or a newer one")
    x = rng.normal(size=(8, 128, 64)).astype("float32")
    losses = {}
    for policy in ("float32", "mixed_bfloat16"):
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(policy)
        inputs = keras.Input((128, 64))
        attention = layers.MultiHeadAttention(2, 64)
        model = keras.Model(inputs, attention(inputs, inputs, use_causal_mask=causal))
        losses[policy] = trained(model, x, np.zeros_like(x), 5)
    np.testing.assert_allclose(losses["mixed_bfloat16"], losses["float32"], rtol=0.05)
    assert "__cudnn$fmha" in compiled_text(model, x, np.zeros_like(x))


@pytest.mark.parametrize("times, value_size", [(16, 64), (15, 64), (16, 32)])
def test_attention_with_padding(times: int, value_size: int) -> None:
    words = rng.integers(1, 50, (8, times)).astype("int32")
    words[np.arange(times) >= rng.integers(1, times, 8)[:, None]] = 0
    y = rng.normal(size=(8, times, 64)).astype("float32")
    losses = {}
    for policy in ("float32", "mixed_bfloat16"):
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(policy)
        inputs = keras.Input((times,), dtype="int32")
        x = layers.Embedding(50, 64, mask_zero=True)(inputs)
        attention = layers.MultiHeadAttention(2, 64, value_dim=value_size)
        losses[policy] = trained(keras.Model(inputs, attention(x, x)), words, y, 3)
    np.testing.assert_allclose(losses["mixed_bfloat16"], losses["float32"], rtol=0.05)


@pytest.mark.parametrize("masked", [False, True])
def test_lstm_by_cudnn(masked: bool) -> None:
    words = rng.integers(1, 50, (16, 12)).astype("int32")
    if masked:
        words[np.arange(12) >= rng.integers(1, 13, 16)[:, None]] = 0
    y = rng.normal(size=(16, 1)).astype("float32")
    runs = {}
    with jax.default_matmul_precision("float32"):
        for kernel in ("auto", False):
            keras.utils.set_random_seed(0)
            model = keras.Sequential(
                [
                    keras.Input((12,), dtype="int32"),
                    layers.Embedding(50, 8, mask_zero=masked),
                    layers.LSTM(32, return_sequences=True, use_cudnn=kernel),
                    layers.LSTM(16, use_cudnn=kernel),
                    layers.Dense(1),
                ]
            )
            losses = trained(model, words, y, 5)
            text = compiled_text(model, words, y)
            runs[kernel] = losses, model.predict(words, verbose=0)
            fused = "dnn_rnn" in text
            assert fused == (kernel == "auto")
    for ours, plain in zip(runs["auto"], runs[False], strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-3, atol=1e-4)


def test_convolutions_by_cudnn() -> None:
    x, y = rng.normal(size=(32, 16, 16, 3)).astype("float32"), np.zeros((32, 1))
    model = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(8, 3)])
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(1))
    losses = trained(model, x, y, 3)
    assert losses[-1] < losses[0]
    assert "__cudnn$conv" in compiled_text(model, x, y.astype("float32"))


def test_short_steps_are_fused() -> None:
    x, y = np.ones((256, 4), "float32"), np.ones((256, 1), "float32")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, y, batch_size=8, verbose=0)
    example = x[:8], y[:8]
    assert model.train_program().steps_in_chunk(example) > 1
