"""An optimizer's step is split by where its arrays are, whatever optimizer it is.

Each device updates what lives there; scalars about all gradients are put together from
parts. One step on one device says what is right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import carnyx as keras
from carnyx._training.stages.optimizer_step import OptimizerStep

optimizers = keras.optimizers
SHAPES = {"a": (3, 4), "b": (4,), "c": (4, 5), "d": (1,), "e": (5, 3), "f": ()}
HOMES = {"a": 1, "b": 1, "c": 2, "d": 3, "e": 1, "f": 2}


class Unusual(optimizers.Optimizer):
    """Scales every step by the norm of all gradients, in a method of its own."""

    def update(self, grads: list[Any], variables: list[Any]) -> None:
        size = jnp.sqrt(sum(jnp.sum(g**2) for g in grads))
        for g, v in zip(grads, variables, strict=True):
            v.assign(v.value - 0.1 * g / (1 + size))


class Mixing(optimizers.Optimizer):
    """Needs arrays of all devices in one place."""

    def update(self, grads: list[Any], variables: list[Any]) -> None:
        flat = jnp.concatenate([jnp.ravel(g) for g in grads])
        for g, v in zip(grads, variables, strict=True):
            v.assign(v.value - 0.01 * g * flat[:1].reshape(()) - 0.001 * jnp.max(flat))


def chained() -> Any:
    import optax

    chain = optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.1))
    return optimizers.get(chain)


EVERY = [
    "SGD", "RMSprop", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax", "Adafactor",
    "Nadam", "Ftrl", "Lion", "Lamb", "Muon",
]  # fmt: skip
CASES: dict[str, Callable[[], Any]] = {
    **{name: getattr(optimizers, name) for name in EVERY},
    "global norm": lambda: optimizers.Adam(0.1, global_clipnorm=0.3),
    "options": lambda: optimizers.SGD(
        0.1,
        momentum=0.9,
        clipnorm=0.3,
        use_ema=True,
        ema_overwrite_frequency=2,
        weight_decay=0.01,
    ),
    "accumulated": lambda: optimizers.Adam(0.1, gradient_accumulation_steps=2),
    "accumulated norm": lambda: optimizers.Adam(
        0.1, gradient_accumulation_steps=2, global_clipnorm=0.3
    ),
    "scaled": lambda: optimizers.LossScaleOptimizer(optimizers.Adam(0.1)),
    "scaled norm": lambda: optimizers.LossScaleOptimizer(
        optimizers.Adam(0.1, global_clipnorm=0.3, gradient_accumulation_steps=2)
    ),
    "schedule": lambda: optimizers.SGD(
        optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    ),
    "several": lambda: optimizers.MultiOptimizer(
        optimizers.OptimizerMap(optimizers.SGD(0.1), {"a|c": optimizers.Adam(0.1)})
    ),
    "unusual": lambda: Unusual(0.1),
    "chained": chained,
}


def stepped(optimizer: Any, one: bool) -> tuple[list[Any], int]:
    """Values after some steps, one of them infinite, and on how many devices."""
    random = np.random.default_rng(0)
    devices = jax.devices()
    trainable = [
        keras.Variable(random.normal(size=shape), name=name)
        for name, shape in SHAPES.items()
    ]
    optimizer.build(trainable)
    variables = [*trainable, *optimizer.variables]

    def home(variable: Any) -> Any:
        like = variable if variable.like is None else variable.like
        return devices[0 if one else HOMES.get(like.name, 0)]

    values = {v: jax.device_put(v.value, home(v)) for v in variables}
    step = OptimizerStep(optimizer, trainable, home, devices[0])
    for number in range(5):
        gradients = {}
        for variable in trainable:
            g = random.normal(size=variable.shape).astype("float32")
            g = g * np.inf if number == 1 and "Scale" in type(optimizer).__name__ else g
            parts = (g / 2, g / 2) if variable.name == "a" else (g,)
            gradients[variable] = tuple(jax.device_put(p, devices[4]) for p in parts)
        values |= step(values, gradients)
    assert all(values[v].devices() == {home(v)} for v in variables)
    (split,) = step._steps.values()
    used = {share.device for share in split.updates}
    return [np.asarray(values[v]) for v in variables], len(used)


@pytest.mark.parametrize("name", CASES)
def test_a_split_step_is_that_of_one_device(name: str) -> None:
    expected, _ = stepped(CASES[name](), one=True)
    found, devices = stepped(CASES[name](), one=False)
    assert devices >= 3
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def test_arrays_that_meet_are_updated_on_one_device() -> None:
    expected, _ = stepped(Mixing(0.1), one=True)
    found, devices = stepped(Mixing(0.1), one=False)
    assert devices == 1
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
