"""Steps of one size in every element."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from carnyx.configurable import field, fraction
from carnyx.optimizers.base import Optimizer


def _up_to_one(value: Any) -> str | None:
    return None if 0 < value <= 1 else "a number above 0, at most 1 (0 is sign descent)"


class Lion(Optimizer):
    """w ← w - lr · sign(β₁ m + (1 - β₁) g), m ← β₂ m + (1 - β₂) g.

    References: Chen et al. 2023, arXiv:2302.06675.
    """

    learning_rate: Any = field(1e-3)
    beta_1: float = field(0.9, check=_up_to_one)
    beta_2: float = field(0.99, check=fraction)

    slots = (("momentum",),)

    def rule(self, g, w, m, *, lr, t):
        b1, b2 = self.beta_1, self.beta_2
        w = w - lr * jnp.sign(b1 * m + (1 - b1) * g)
        return w, b2 * m + (1 - b2) * g
