"""Adam and what grew out of it: first and second moments of the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp

from carnyx._core.variable import Variable
from carnyx.configurable import at_least, field, fraction
from carnyx.errors import ArgumentError
from carnyx.optimizers.base import Optimizer
from carnyx.optimizers.options import as_array
from carnyx.typing import Tensor


def moments(g: Tensor, m: Tensor, v: Tensor, b1: float, b2: float) -> Any:
    """The running means of g and g²."""
    return m + (1 - b1) * (g - m), v + (1 - b2) * (g**2 - v)


def unbiased_rate(lr: Tensor, b1: float, b2: float, t: Tensor) -> Tensor:
    """The learning rate with both means' bias towards their first value, 0, undone."""
    return lr * jnp.sqrt(1 - b2**t) / (1 - b1**t)


class Adam(Optimizer):
    """w ← w - lr · m̂ / (√v̂ + ε), with m, v the means of g and g².

    epsilon is the paper's "epsilon hat" (text before section 2.1).

    Args:
        amsgrad: divide by the largest v so far.

    References: Kingma & Ba 2015, arXiv:1412.6980; Reddi et al. 2018, arXiv:1904.09237.

    >>> from carnyx import Variable
    >>> w, adam = Variable([1.0, -2.0]), Adam(0.1)
    >>> adam.apply([2 * w.value], [w])
    >>> [round(float(x), 4) for x in w]  # the first step has the size lr
    [0.9, -1.9]
    """

    learning_rate: Any = field(1e-3)
    beta_1: float = field(0.9, check=fraction)
    beta_2: float = field(0.999, check=fraction)
    epsilon: float = field(1e-7, check=at_least(0))
    amsgrad: bool = field(False)

    slots = (("momentum", "velocity"), ("velocity_hat",))

    def keeps(self, slot: str, variable: Variable) -> bool:
        return slot != "velocity_hat" or self.amsgrad

    def rule(self, g, w, m, v, v_max, *, lr, t):
        b1, b2 = self.beta_1, self.beta_2
        m, v = moments(g, m, v, b1, b2)
        v_used = v_max = jnp.maximum(v_max, v) if self.amsgrad else v
        lr = unbiased_rate(lr, b1, b2, t)
        return w - lr * m / (jnp.sqrt(v_used) + self.epsilon), m, v, v_max


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: w ← w - lr · λ · w first.

    References: Loshchilov & Hutter 2019, arXiv:1711.05101.
    """

    learning_rate: Any = field(1e-3)
    weight_decay: float | None = field(0.004, check=at_least(0))
    beta_1: float = field(0.9, check=fraction)
    beta_2: float = field(0.999, check=fraction)
    epsilon: float = field(1e-7, check=at_least(0))
    amsgrad: bool = field(False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight_decay is None:
            raise ArgumentError(
                "AdamW got weight_decay=None; expected a number. Adam is AdamW "
                "without decay."
            )


class Adamax(Optimizer):
    """Adam with the largest recent |g| in place of √v.

    References: Kingma & Ba 2015, section 7.1, arXiv:1412.6980.
    """

    learning_rate: Any = field(1e-3)
    beta_1: float = field(0.9, check=fraction)
    beta_2: float = field(0.999, check=fraction)
    epsilon: float = field(1e-7, check=at_least(0))

    slots = (("momentum", "norm"),)

    def rule(self, g, w, m, u, *, lr, t):
        m = m + (1 - self.beta_1) * (g - m)
        u = jnp.maximum(self.beta_2 * u, jnp.abs(g))
        return w - lr / (1 - self.beta_1**t) * m / (u + self.epsilon), m, u


class Nadam(Optimizer):
    """Adam with Nesterov momentum.

    The momentum of step t is u_t = β₁ (1 - ½ · 0.96^t), Π u its product so far.

    References: Dozat 2016, openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ.
    """

    learning_rate: Any = field(1e-3)
    beta_1: float = field(0.9, check=fraction)
    beta_2: float = field(0.999, check=fraction)
    epsilon: float = field(1e-7, check=at_least(0))

    slots = (("momentum", "velocity"),)

    def build(self, variables: Iterable[Variable]) -> None:
        if not self.built:
            variables = list(variables)
            super().build(variables)
            dtype = variables[0].dtype if variables else None
            self._u_product = Variable(1.0, dtype=dtype)

    def _u(self, t: Any) -> Any:
        return self.beta_1 * (1 - 0.5 * 0.96**t)

    def update(self, grads: list[Any], variables: list[Variable]) -> None:
        t = as_array(self.iterations, self._u_product.dtype) + 1
        self._u_product.assign(self._u_product.value * self._u(t))
        super().update(grads, variables)

    def rule(self, g, w, m, v, *, lr, t):
        u, u_next = self._u(t), self._u(t + 1)
        product = self._u_product.value.astype(w.dtype)
        m, v = moments(g, m, v, self.beta_1, self.beta_2)
        m_hat = u_next * m / (1 - product * u_next) + (1 - u) * g / (1 - product)
        v_hat = v / (1 - self.beta_2**t)
        return w - lr * m_hat / (jnp.sqrt(v_hat) + self.epsilon), m, v


class Lamb(Optimizer):
    """Adam's step, scaled for each variable to the norm of its weights.

    References: You et al. 2020, arXiv:1904.00962.
    """

    learning_rate: Any = field(1e-3)
    beta_1: float = field(0.9, check=fraction)
    beta_2: float = field(0.999, check=fraction)
    epsilon: float = field(1e-7, check=at_least(0))

    slots = (("momentum", "velocity"),)

    def rule(self, g, w, m, v, *, lr, t):
        m, v = moments(g, m, v, self.beta_1, self.beta_2)
        v_hat = v / (1 - self.beta_2**t)
        step = m / (1 - self.beta_1**t) / (jnp.sqrt(v_hat) + self.epsilon)
        size, length = (jnp.sqrt(jnp.sum(x**2)) for x in (w, step))
        trust = jnp.where((size > 0) & (length > 0), size / length, 1.0)
        return w - lr * trust * step, m, v


class ScheduleFreeAdamW(Optimizer):
    """Adam whose averaged weights need no schedule.

    z takes Adam's steps, x is the mean of all z, and the model trains at
    y = (1 - β₁) z + β₁ x, so x can be found from y and z and is not kept.

    Args:
        warmup_steps: over so many steps the learning rate rises linearly.

    References: Defazio et al. 2024, arXiv:2405.15682.
    """

    learning_rate: Any = field(0.0025)
    beta_1: float = field(0.9, check=fraction)
    beta_2: float = field(0.999, check=fraction)
    epsilon: float = field(1e-8, check=at_least(0))
    warmup_steps: int = field(0)

    slots = (("momentum", "velocity"),)  # z and v

    def initial(self, slot: str, variable: Variable) -> Tensor:
        if slot == "velocity":
            return "zeros"
        return lambda shape, dtype: jnp.copy(variable.value)

    def rule(self, g, w, z, v, *, lr, t):
        b1, b2 = self.beta_1, self.beta_2
        if self.warmup_steps > 0:
            lr = lr * jnp.minimum(t / self.warmup_steps, 1)
        x = (w - (1 - b1) * z) / b1
        v = v + (1 - b2) * (g**2 - v)
        z = z - lr * g / (jnp.sqrt(v / (1 - b2**t)) + self.epsilon)
        x = (1 - 1 / t) * x + z / t
        return (1 - b1) * z + b1 * x, z, v
