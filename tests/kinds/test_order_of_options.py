"""Options of an optimizer that are applied in another order than is promised.

The order was spread over six methods that called one another. It is a list now, which
the base of the optimizers promises in its first lines.
"""

import re

import numpy as np
import pytest

from carnyx import Variable
from carnyx.optimizers import SGD, Optimizer, base, options

NAMES = [option.__name__ for option in options.STEP]


def test_the_list_is_what_is_promised():
    promised = re.search(r"^unscale.*\.$", base.__doc__ or "", re.M)
    assert promised is not None
    assert promised[0].rstrip(".").split(" → ") == NAMES[1:]
    assert NAMES[0] == "overwrite"  # of what no rule is for


@pytest.mark.parametrize("name", NAMES)
def test_what_one_option_does_not_hand_on_ends_the_step(monkeypatch, name):
    """Each is asked for the rest, so nothing after it happens by itself."""
    met = []

    def recorded(option):
        def call(o, grads, variables, rest):
            met.append(option.__name__)
            if option.__name__ != name:
                option(o, grads, variables, rest)

        return call

    monkeypatch.setattr(options, "STEP", tuple(map(recorded, options.STEP)))
    w = Variable([1.0], name="w")
    SGD(0.5, use_ema=True, global_clipnorm=1.0).apply([np.ones(1)], [w])
    assert met == NAMES[: NAMES.index(name) + 1]


class Halves(Optimizer):
    """w ← w / 2, whatever the gradient."""

    def rule(self, g, w, *, lr, t):
        return (w / 2,)


def test_every_option_at_once():
    """(8 - 8 · 0.5 · 0.5) / 2 = 3, of which the average is kept; then the bound."""
    w = Variable([8.0], name="w")
    w.constraint = lambda x: x + 100
    optimizer = Halves(0.5, weight_decay=0.5, use_ema=True, clipvalue=1.0)
    optimizer.apply([np.ones(1)], [w])
    assert (w.tolist(), optimizer.averages[0].tolist()) == ([103.0], [3.0])
