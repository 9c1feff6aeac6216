"""Learning rates that depend on the step."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from carnyx import registry
from carnyx._core.variable import Variable
from carnyx.configurable import Configurable, above_zero, at_least, field
from carnyx.dtype_policies import standardize_dtype
from carnyx.errors import ArgumentError
from carnyx.typing import Config, Tensor


def as_float(step: Tensor) -> Any:
    """The step as a float array; a Variable is read."""
    return jnp.asarray(getattr(step, "value", step), standardize_dtype(None))


def _now(number: Any) -> Any:
    """A number, or what a Variable holds."""
    return getattr(number, "value", number)


class LearningRateSchedule(Configurable):
    """Base of the schedules: override `__call__(self, step)`.

    >>> class Halving(LearningRateSchedule):
    ...     def __call__(self, step): return 0.1 * 0.5 ** step
    >>> Halving()(2)
    0.025
    """

    keras_family = "schedules"

    def __call__(self, step: Tensor) -> Tensor:
        raise NotImplementedError(
            f"{type(self).__name__} has no __call__(self, step); a schedule needs one."
        )


class ExponentialDecay(LearningRateSchedule):
    """initial · rate^(step / decay_steps); `staircase` rounds the exponent down.

    >>> float(ExponentialDecay(0.5, decay_steps=10, decay_rate=0.5)(20))
    0.125
    """

    initial_learning_rate: float | Variable = field()
    decay_steps: float | Variable = field(check=above_zero)
    decay_rate: float | Variable = field()
    staircase: bool = field(False)
    name: str = field("ExponentialDecay")

    def __call__(self, step: Tensor) -> Tensor:
        p = as_float(step) / self.decay_steps
        p = jnp.floor(p) if self.staircase else p
        return self.initial_learning_rate * self.decay_rate**p


class InverseTimeDecay(LearningRateSchedule):
    """initial / (1 + rate · step / decay_steps); `staircase` rounds the ratio down."""

    initial_learning_rate: float | Variable = field()
    decay_steps: float | Variable = field(check=above_zero)
    decay_rate: float | Variable = field()
    staircase: bool = field(False)
    name: str = field("InverseTimeDecay")

    def __call__(self, step: Tensor) -> Tensor:
        p = as_float(step) / self.decay_steps
        p = jnp.floor(p) if self.staircase else p
        return self.initial_learning_rate / (1 + self.decay_rate * p)


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[i] while step ≤ boundaries[i], the last value after all boundaries."""

    boundaries: list[float] = field()
    values: list[float] = field()
    name: str = field("PiecewiseConstant")

    def __post_init__(self) -> None:
        if len(self.boundaries) != len(self.values) - 1:
            raise ArgumentError(
                f"PiecewiseConstantDecay got {len(self.boundaries)} boundaries and "
                f"{len(self.values)} values; expected one value more than boundaries."
            )
        if sorted(self.boundaries) != list(self.boundaries):
            raise ArgumentError(
                f"PiecewiseConstantDecay got boundaries={self.boundaries!r}; expected "
                "them in rising order."
            )

    def __call__(self, step: Tensor) -> Tensor:
        step = jnp.asarray(getattr(step, "value", step))
        passed = [step > jnp.asarray(b, step.dtype) for b in self.boundaries]
        values = jnp.asarray(self.values, standardize_dtype(None))
        return values[sum(p.astype("int32") for p in passed)] if passed else values[0]


class PolynomialDecay(LearningRateSchedule):
    """(initial - end) · (1 - step / decay_steps)^power + end.

    Args:
        cycle: begin again with the next multiple of `decay_steps` instead of staying
            at the end value.
    """

    initial_learning_rate: float | Variable = field()
    decay_steps: float | Variable = field(check=above_zero)
    end_learning_rate: float | Variable = field(0.0001)
    power: float | Variable = field(1.0)
    cycle: bool = field(False)
    name: str = field("PolynomialDecay")

    def __call__(self, step: Any) -> Tensor:
        step, period = as_float(step), _now(self.decay_steps)
        if self.cycle:
            period = period * jnp.maximum(1.0, jnp.ceil(step / period))
        rest = 1 - jnp.minimum(step, period) / period
        span = self.initial_learning_rate - self.end_learning_rate
        return span * rest**self.power + self.end_learning_rate


class CosineDecay(LearningRateSchedule):
    """initial · ((1 - α) · ½(1 + cos(π · step / decay_steps)) + α), after a warm-up.

    Args:
        warmup_target: the rate that a linear warm-up of `warmup_steps` reaches and
            the cosine starts from; None for no warm-up.

    References: Loshchilov & Hutter 2016, arXiv:1608.03983.
    """

    initial_learning_rate: float | Variable = field()
    decay_steps: float | Variable = field(check=above_zero)
    alpha: float | Variable = field(0.0)
    name: str = field("CosineDecay")
    warmup_target: float | Variable | None = field(None)
    warmup_steps: float | Variable = field(0, check=at_least(0))

    def __call__(self, step: Any) -> Tensor:
        step, start = as_float(step), _now(self.initial_learning_rate)
        if self.warmup_target is None:
            return start * self._cosine(step)
        target, warmup = _now(self.warmup_target), _now(self.warmup_steps)
        rising = start + (target - start) * step / jnp.maximum(warmup, 1)
        return jnp.where(step < warmup, rising, target * self._cosine(step - warmup))

    def _cosine(self, step: Any) -> Any:
        done = jnp.minimum(step, _now(self.decay_steps)) / self.decay_steps
        return (1 - self.alpha) * 0.5 * (1 + jnp.cos(jnp.pi * done)) + self.alpha


class CosineDecayRestarts(LearningRateSchedule):
    """Cosine decay that restarts: the i-th period is t_mul^i times the first.

    Args:
        m_mul: the i-th period starts from m_mul^i times the initial rate.

    References: Loshchilov & Hutter 2016 (SGDR), arXiv:1608.03983.
    """

    initial_learning_rate: float | Variable = field()
    first_decay_steps: float | Variable = field(check=above_zero)
    t_mul: float = field(2.0, check=above_zero)
    m_mul: float | Variable = field(1.0)
    alpha: float | Variable = field(0.0)
    name: str = field("SGDRDecay")

    def __call__(self, step: Tensor) -> Tensor:
        done, t_mul = as_float(step) / self.first_decay_steps, self.t_mul
        if t_mul == 1.0:
            restarts = jnp.floor(done)
            done = done - restarts
        else:  # the first i periods take (1 - t^i) / (1 - t) of the first one
            restarts = jnp.floor(jnp.log(1 - done * (1 - t_mul)) / jnp.log(t_mul))
            done = done - (1 - t_mul**restarts) / (1 - t_mul)
            done = done / t_mul**restarts
        wave = 0.5 * _now(self.m_mul) ** restarts * (1 + jnp.cos(jnp.pi * done))
        return self.initial_learning_rate * ((1 - self.alpha) * wave + self.alpha)


def serialize(learning_rate_schedule: LearningRateSchedule) -> Any:
    """A schedule as plain data, as Keras 3 writes it."""
    return registry.serialize_keras_object(learning_rate_schedule)


def deserialize(config: Config, custom_objects: dict[str, Any] | None = None) -> Any:
    """The inverse of `serialize`."""
    return registry.deserialize_keras_object(config, custom_objects, family="schedules")
