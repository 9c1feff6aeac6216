"""Half precision, accumulated gradients and the rest of `fit` on 8 devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import carnyx as keras
from carnyx.utils import multi_gpu_model
from tests.distribution.shared_checks import transfers

distribution = keras.distribution
PLACEMENTS: dict[str, Callable[[], Any]] = {
    "data": distribution.DataParallel,
    "split": lambda: distribution.DataParallel(shard_parameters=True),
    "tensor": lambda: distribution.ModelParallel("auto", model=2),
}
# How far a number may be from that of one device. In half precision each device
# rounds its part of a product or of a gradient before the parts are added up, so
# numbers differ by as much as a rounding or two (2^-9 in bfloat16, 2^-11 in float16).
BOUND = {"float32": 1e-5, "mixed_bfloat16": 2**-7, "mixed_float16": 2**-9}
SAMPLES = 40  # in batches of 10, which does not divide by 8
x = np.random.default_rng(0).normal(size=(SAMPLES, 12)).astype("float32")
y = np.random.default_rng(1).integers(0, 4, SAMPLES).astype("int32")


@pytest.fixture(autouse=True)
def nothing_left_in_force() -> Iterator[None]:
    yield
    distribution.set_distribution(None)
    keras.config.set_dtype_policy("float32")


def network() -> Any:
    layers = keras.layers
    inputs = keras.Input((12,))
    h = layers.BatchNormalization()(layers.Dense(16, "relu")(inputs))
    h = layers.Dropout(0.2)(h)
    h = h + layers.Dense(16)(layers.LayerNormalization()(h))
    return keras.Model(inputs, layers.Dense(4, dtype="float32")(h))


def trained(
    placement: str | None,
    policy: str = "float32",
    optimizer: Callable[[], Any] = lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    compiled: dict[str, Any] | None = None,
    **fit: Any,
) -> tuple[Any, dict[str, Any], Any]:
    """The model, the history of 20 steps, and by how much the weights changed."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    keras.config.set_dtype_policy(policy)
    made = PLACEMENTS[placement]() if placement in PLACEMENTS else None
    distribution.set_distribution(made)
    model = network()
    before = flat(model)
    if placement == "multi_gpu_model":
        model = multi_gpu_model(model, gpus=8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(), loss, **compiled or {})
    fit = {"batch_size": 10, "epochs": 5, "verbose": 0} | fit
    history = model.fit(x, y, **fit).history
    return model, history, flat(model) - before


def flat(model: Any) -> np.ndarray:
    return np.concatenate([np.ravel(w) for w in model.get_weights()]).astype("float64")


def check_same(got: Any, expected: Any, bound: float) -> None:
    """Histories number by number, changes of weights as a whole."""
    (_, history, change), (_, other, wanted) = got, expected
    for name, values in other.items():
        np.testing.assert_allclose(history[name], values, rtol=bound, err_msg=name)
    # roundings of 20 steps, of which each goes on from the one before
    allowed = bound if bound == BOUND["float32"] else 8 * bound
    assert np.linalg.norm(change - wanted) <= allowed * np.linalg.norm(wanted)


_one_device: dict[Any, Any] = {}


@pytest.mark.parametrize(
    "policy, steps, placement",
    [
        *(("mixed_bfloat16", 4, p) for p in [*PLACEMENTS, "multi_gpu_model"]),
        *(("mixed_float16", None, p) for p in PLACEMENTS),
        ("float32", 4, "data"),
        ("float32", 4, "split"),
    ],
)
def test_half_precision_and_accumulation(
    policy: str, steps: int | None, placement: str
) -> None:
    def optimizer() -> Any:
        options = {"gradient_accumulation_steps": steps}
        return keras.optimizers.SGD(0.05, momentum=0.9, **options)

    key = policy, steps
    if key not in _one_device:
        _one_device[key] = trained(None, policy, optimizer)
    model, *_ = got = trained(placement, policy, optimizer)
    check_same(got, _one_device[key], BOUND[policy])
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    kept = [*model.weights, *model.optimizer.variables]
    floats = {v.dtype for v in kept if "float" in v.dtype}
    assert floats == {"float32"}  # weights, moments and what is accumulated


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_averages_clipping_class_weights_and_validation(placement: str) -> None:
    def optimizer() -> Any:
        return keras.optimizers.AdamW(
            0.01, global_clipnorm=0.5, use_ema=True, ema_overwrite_frequency=3
        )

    fit = {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5, 3: 1.0}, "validation_split": 0.2}
    runs = [trained(p, optimizer=optimizer, **fit) for p in (placement, None)]
    assert set(runs[0][1]) == {"loss", "val_loss"}
    check_same(*runs, BOUND["float32"])


def test_sample_weights_and_several_steps_in_a_program() -> None:
    weights = np.linspace(0.1, 2, SAMPLES)
    fit = {"sample_weight": weights, "epochs": 5, "batch_size": 9}  # 4 at the end
    together = {"steps_per_execution": 3}
    one = trained(None, **fit)
    check_same(trained("split", compiled=together, **fit), one, BOUND["float32"])


def test_run_eagerly() -> None:
    few = {"epochs": 1, "steps_per_epoch": 1, "compiled": {"run_eagerly": True}}
    runs = [trained(p, **few) for p in ("tensor", None)]
    check_same(*runs, BOUND["float32"])


@pytest.mark.parametrize("steps", [None, 4])
def test_half_precision_moves_the_gradients_once(steps: int | None) -> None:
    """Accumulation does so in every step: they are summed, then kept."""
    optimizer = keras.optimizers.SGD(0.05, gradient_accumulation_steps=steps)
    model, *_ = trained("data", "mixed_bfloat16", lambda: optimizer, epochs=1)
    many = np.ones((512, 12), "float32"), np.ones(512, "int32")
    text = model.train_program().lower(many).compile().as_text()
    assert "bf16[64,16]" in text  # a device's share, computed in half precision
    found = transfers(text)
    assert {t.kind for t in found} == {"all-reduce"}
    # statistics of normalization, of a loss are sums over the batch, too
    sent = sum(n for t in found for n in t.sizes if n > 4)
    gradients = sum(v.nbytes for v in model.trainable_variables)
    batch_statistics = 4 * 16 * 4
    assert gradients <= sent <= 1.05 * gradients + batch_statistics
