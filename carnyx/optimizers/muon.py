"""Steps that are orthogonal matrices."""

from __future__ import annotations

import re
from typing import Any

import jax.numpy as jnp

from carnyx._core.variable import Variable
from carnyx.configurable import at_least, field, fraction
from carnyx.optimizers.adam import moments, unbiased_rate
from carnyx.optimizers.base import Optimizer
from carnyx.typing import Tensor


class Muon(Optimizer):
    """Matrices move by their orthogonalized momentum, everything else by AdamW.

    Args:
        exclude_layers: patterns in paths of matrices that AdamW takes.
        exclude_embeddings: AdamW takes what has "embedding" in its path.
        muon_a, muon_b, muon_c: coefficients of the Newton-Schulz iteration.
        adam_lr_ratio: AdamW's learning rate, as a multiple.
        ns_steps: iterations.
        rms_rate: matrices' steps are scaled by rms_rate · √(longer side), which gives
            them the root mean square of AdamW's; None to leave them.

    References: Jordan et al. 2024, kellerjordan.github.io/posts/muon; scaling: Liu et
    al. 2025, arXiv:2502.16982.
    """

    learning_rate: Any = field(1e-3)
    adam_beta_1: float = field(0.9, check=fraction)
    adam_beta_2: float = field(0.999, check=fraction)
    adam_weight_decay: float | None = field(0.004, check=at_least(0))
    epsilon: float = field(1e-7, check=at_least(0))
    weight_decay: float | None = field(0.004, check=at_least(0))
    exclude_layers: list[str] = field(None, lambda v: v or [], kw_only=True)
    exclude_embeddings: bool = field(True, kw_only=True)
    muon_a: float = field(3.4445, kw_only=True)
    muon_b: float = field(-4.775, kw_only=True)
    muon_c: float = field(2.0315, kw_only=True)
    adam_lr_ratio: float = field(1, kw_only=True)
    momentum: float = field(0.95, check=fraction, kw_only=True)
    ns_steps: int = field(5, kw_only=True)
    nesterov: bool = field(True, kw_only=True)
    rms_rate: float | None = field(0.2, kw_only=True)

    slots = (("momentum", "velocity"),)

    def keeps(self, slot: str, variable: Variable) -> bool:
        return slot == "momentum" or self._takes_adam(variable)

    def decay_of(self, variable: Variable) -> float | None:
        return (
            self.adam_weight_decay if self._takes_adam(variable) else self.weight_decay
        )

    def _takes_adam(self, variable: Variable) -> bool:
        path = variable.path
        return (
            len(variable.shape) != 2
            or (self.exclude_embeddings and "embedding" in path.lower())
            or any(re.search(pattern, path) for pattern in self.exclude_layers)
        )

    def rule(self, g, w, m, v, *, lr, t):
        if v is not None:
            return self._adam(g, w, m, v, lr * self.adam_lr_ratio, t)
        m = self.momentum * m + g
        step = g + self.momentum * m if self.nesterov else m
        step = self.zeropower_via_newtonschulz5(step, self.ns_steps)
        return w - lr * self.lr_adjust(step), m, v

    def lr_adjust(self, x: Tensor) -> Tensor:
        """A step as long as one of AdamW would be, by `rms_rate`."""
        if self.rms_rate is None:
            return x
        return x * (max(x.shape) ** 0.5 * self.rms_rate)

    def _adam(self, g, w, m, v, lr, t):
        b1, b2 = self.adam_beta_1, self.adam_beta_2
        m, v = moments(g, m, v, b1, b2)
        lr = unbiased_rate(lr, b1, b2, t)
        return w - lr * m / (jnp.sqrt(v) + self.epsilon), m, v

    def zeropower_via_newtonschulz5(self, x: Tensor, steps: int) -> Tensor:
        """Near U Vᵀ for x = U S Vᵀ: x ← a x + (b A + c A²) x with A = x xᵀ."""
        a, b, c = self.muon_a, self.muon_b, self.muon_c
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        x = x / (jnp.linalg.norm(x) + 1e-7)
        for _ in range(steps):
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        return x.T if tall else x
