"""Gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from carnyx._core.variable import Variable
from carnyx.configurable import field, fraction
from carnyx.optimizers.base import Optimizer


class SGD(Optimizer):
    """w ← w - lr g; with momentum μ: m ← μ m - lr g, w ← w + m.

    Nesterov's step looks ahead: w ← w + μ m - lr g.

    References: Sutskever et al. 2013, proceedings.mlr.press/v28/sutskever13.

    >>> from carnyx import Variable
    >>> w, sgd = Variable(1.0), SGD(0.1, momentum=0.5)
    >>> for _ in range(2): sgd.apply([2 * w.value], [w])  # the gradient of w²
    >>> round(float(w), 4)
    0.54
    """

    learning_rate: Any = field(0.01)
    momentum: float = field(0.0, check=fraction)
    nesterov: bool = field(False)

    slots = (("momentum",),)

    def keeps(self, slot: str, variable: Variable) -> bool:
        return self.momentum != 0

    def rule(self, g, w, m, *, lr, t):
        if self.momentum == 0:
            return w - lr * g, m
        m = self.momentum * m - lr * g
        return w + (self.momentum * m - lr * g if self.nesterov else m), m
