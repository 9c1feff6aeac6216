"""Kind: a count of calls where a count of updates is meant.

With `gradient_accumulation_steps` a schedule and the averaged weights moved on at every
small step (in Keras, too): the learning rate decayed k times too fast. All that an
optimizer does besides adding up gradients now belongs to the update, so that k small
steps equal one big one.
"""

import numpy as np
import pytest

import carnyx as keras
from carnyx import Variable, optimizers

K = 3
SCHEDULE = optimizers.schedules.ExponentialDecay(0.1, 2, 0.5, staircase=True)
NAMES = [
    "SGD", "RMSprop", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax", "Nadam", "Ftrl",
    "Lion", "Lamb", "Adafactor", "Muon",
]  # fmt: skip
OPTIONS = {
    "a schedule": {"learning_rate": SCHEDULE},
    "averages": {"use_ema": True, "ema_momentum": 0.5},
    "averages that take the weights' place": {
        "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2,
    },
    "decay and clipping": {"weight_decay": 0.1, "clipnorm": 0.5},
    "all": {
        "learning_rate": SCHEDULE, "use_ema": True, "weight_decay": 0.1,
        "global_clipnorm": 0.5,
    },
}  # fmt: skip


def _weights():
    values = np.linspace(-1, 1, 12, dtype="float32")
    matrix = Variable(values.reshape(4, 3), name="matrix")
    matrix.constraint = keras.constraints.MaxNorm(1.5)
    return [matrix, Variable(values[:3], name="vector")]


def _run(name, options, small):
    options = {"learning_rate": 0.1} | options
    if small:
        options |= {"gradient_accumulation_steps": K}
    optimizer = getattr(optimizers, name)(**options)
    weights = _weights()
    optimizer.build(weights)
    random = np.random.default_rng(0)
    for _ in range(5):
        shapes = [(K, *v.shape) for v in weights]
        gradients = [random.normal(size=s).astype("float32") for s in shapes]
        steps = (
            zip(*gradients, strict=True) if small else [[g.mean(0) for g in gradients]]
        )
        for gradient in steps:
            optimizer.apply(list(gradient), weights)
    rate = float(optimizer.learning_rate)
    averages = [v.numpy() for v in getattr(optimizer, "averages", [])]
    optimizer.finalize_variable_values(weights)
    numbers = [int(optimizer.iterations), rate]
    return numbers, averages + [v.numpy() for v in weights]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_small_steps_equal_a_big_one(name, options):
    small, big = (_run(name, OPTIONS[options], small) for small in (True, False))
    assert small[0] == pytest.approx(big[0])
    for a, b in zip(small[1], big[1], strict=True):
        np.testing.assert_allclose(a, b, 2e-4, 1e-5)


def test_in_fit():
    """Compiled and fused, with a loss scale of its own around it."""
    x = np.linspace(-1, 1, 48, dtype="float32").reshape(24, 2)
    y = x[:, :1] ** 2

    def run(k, wrap):
        keras.utils.set_random_seed(0)
        inner = optimizers.Adam(
            SCHEDULE, use_ema=True, gradient_accumulation_steps=k and K
        )
        net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        optimizer = optimizers.LossScaleOptimizer(inner) if wrap else inner
        net.compile(optimizer, "mse")
        size = 4 if k else 4 * K
        net.fit(x, y, size, epochs=4, shuffle=False, verbose=0)
        return [int(inner.iterations), *(v.numpy() for v in net.weights)]

    for wrap in (False, True):
        for a, b in zip(run(True, wrap), run(None, wrap), strict=True):
            np.testing.assert_allclose(a, b, 1e-4, 1e-6)
