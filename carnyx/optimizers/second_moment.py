"""Steps divided by a size of recent gradients, without a first moment."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from carnyx import initializers
from carnyx._core.variable import Variable
from carnyx.configurable import above_zero, at_least, field, fraction
from carnyx.optimizers.base import Optimizer
from carnyx.typing import Tensor

not_negative = at_least(0)


def not_positive(value: Any) -> str | None:
    return None if value <= 0 else "a number of at most 0"


class RMSprop(Optimizer):
    """w ← w - lr · g / √(v + ε), v ← ρ v + (1 - ρ) g².

    Args:
        momentum: sum up steps, m ← momentum · m + step.
        centered: divide by the variance instead, v - (mean of g)².

    References: Tieleman & Hinton 2012, lecture 6e of "Neural Networks for Machine
    Learning"; centered: Graves 2013, arXiv:1308.0850.
    """

    learning_rate: Any = field(1e-3)
    rho: float = field(0.9, check=fraction)
    momentum: float = field(0.0, check=fraction)
    epsilon: float = field(1e-7, check=not_negative)
    centered: bool = field(False)

    slots = (("velocity",), ("momentum",), ("average_gradient",))

    def keeps(self, slot: str, variable: Variable) -> bool:
        needed = {"momentum": self.momentum > 0, "average_gradient": self.centered}
        return needed.get(slot, True)

    def rule(self, g, w, v, m, mean, *, lr, t):
        rho = self.rho
        v = rho * v + (1 - rho) * g**2
        spread = v
        if self.centered:
            mean = rho * mean + (1 - rho) * g
            spread = v - mean**2
        step = lr * g / jnp.sqrt(spread + self.epsilon)
        if self.momentum > 0:
            step = m = self.momentum * m + step
        return w - step, v, m, mean


class Adagrad(Optimizer):
    """w ← w - lr · g / √(a + ε), a the sum of all g².

    References: Duchi et al. 2011, jmlr.org/papers/v12/duchi11a.html.
    """

    learning_rate: Any = field(1e-3)
    initial_accumulator_value: float = field(0.1, check=not_negative)
    epsilon: float = field(1e-7, check=not_negative)

    slots = (("accumulator",),)

    def initial(self, slot: str, variable: Variable) -> Tensor:
        return initializers.Constant(self.initial_accumulator_value)

    def rule(self, g, w, a, *, lr, t):
        a = a + g**2
        return w - lr * g / jnp.sqrt(a + self.epsilon), a


class Adadelta(Optimizer):
    """w ← w - lr · √(d + ε) / √(a + ε) · g, with a, d the means of g² and step².

    References: Zeiler 2012, arXiv:1212.5701.
    """

    learning_rate: Any = field(1e-3)
    rho: float = field(0.95, check=fraction)
    epsilon: float = field(1e-7, check=not_negative)

    slots = (("accumulated_grad", "accumulated_delta_var"),)

    def rule(self, g, w, a, d, *, lr, t):
        rho, epsilon = self.rho, self.epsilon
        a = rho * a + (1 - rho) * g**2
        step = jnp.sqrt(d + epsilon) * g / jnp.sqrt(a + epsilon)
        d = rho * d + (1 - rho) * step**2
        return w - lr * step, a, d


class Adafactor(Optimizer):
    """A second moment kept as row and column means, whose product stands for it.

    Args:
        beta_2_decay: the mean's coefficient is 1 - t^beta_2_decay.
        epsilon_1, epsilon_2: added to g²; the least size of w that scales a step.
        clip_threshold: the largest root mean square of a step before scaling.
        relative_step: bound the learning rate by 1 / √t.

    References: Shazeer & Stern 2018, arXiv:1804.04235.
    """

    learning_rate: Any = field(1e-3)
    beta_2_decay: float = field(-0.8)
    epsilon_1: float = field(1e-30, check=not_negative)
    epsilon_2: float = field(1e-3, check=not_negative)
    clip_threshold: float = field(1.0, check=above_zero)
    relative_step: bool = field(True)

    slots = (("row", "column", "velocity"),)

    def make_slot(self, name: str, variable: Variable) -> Variable | None:
        """As Keras's files have them: vectors have scalars, unused, for both means."""
        shape = variable.shape
        if name == "velocity":
            return super().make_slot(name, variable)
        if len(shape) < 2:
            unused = Variable(0, dtype="int32", name=variable.name, trainable=False)
            return self._track(unused)
        if variable.overwrite_with_gradient:
            return None
        kept = shape[:-1] if name == "row" else (*shape[:-2], shape[-1])
        return self.add_variable(kept, dtype=variable.dtype, name=variable.name)

    def rule(self, g, w, r, c, v, *, lr, t):
        if self.relative_step:  # Keras bounds by 1/√t even without; its words say not
            lr = jnp.minimum(lr, 1 / jnp.sqrt(t))
        b2 = 1 - t**self.beta_2_decay
        square = g**2 + self.epsilon_1
        if w.ndim >= 2:
            r = b2 * r + (1 - b2) * jnp.mean(square, -1)
            c = b2 * c + (1 - b2) * jnp.mean(square, -2)
            share = r / jnp.mean(r, -1, keepdims=True)
            v = share[..., :, None] * c[..., None, :]
        else:
            v = b2 * v + (1 - b2) * square
        step = g / jnp.sqrt(v)
        step = step / jnp.maximum(1, _rms(step) / self.clip_threshold)
        return w - lr * jnp.maximum(self.epsilon_2, _rms(w)) * step, r, c, v


def _rms(x: Any) -> Any:
    return jnp.sqrt(jnp.mean(x**2))


class Ftrl(Optimizer):
    """Follow the regularized leader: weights in closed form from summed gradients.

    Args:
        learning_rate_power: 0 for a constant rate, -1/2 for Adagrad's.
        beta: of the paper; adds β / (2 lr) to the L2 penalty.
        l2_shrinkage_regularization_strength: a penalty on the gradient, not the sum.

    References: McMahan et al. 2013, doi:10.1145/2487575.2488200.
    """

    learning_rate: Any = field(1e-3)
    learning_rate_power: float = field(-0.5, check=not_positive)
    initial_accumulator_value: float = field(0.1, check=not_negative)
    l1_regularization_strength: float = field(0.0, check=not_negative)
    l2_regularization_strength: float = field(0.0, check=not_negative)
    l2_shrinkage_regularization_strength: float = field(0.0, check=not_negative)
    beta: float = field(0.0)

    slots = (("accumulator", "linear"),)

    def initial(self, slot: str, variable: Variable) -> Tensor:
        if slot == "linear":
            return "zeros"
        return initializers.Constant(self.initial_accumulator_value)

    def rule(self, g, w, n, z, *, lr, t):
        power, l1 = -self.learning_rate_power, self.l1_regularization_strength
        l2 = self.l2_regularization_strength + self.beta / (2 * lr)
        n_new = n + g**2
        g = g + 2 * self.l2_shrinkage_regularization_strength * w
        z = z + g - (n_new**power - n**power) / lr * w
        w = (jnp.clip(z, -l1, l1) - z) / (n_new**power / lr + 2 * l2)
        return w, n_new, z
