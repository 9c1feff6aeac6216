"""Layers, losses, optimizers of another Keras, or of PyTorch, among ours.

Why it happened: what comes from a forgotten `from keras import layers` computes with
arrays of JAX as ours does, so that it failed far from where it was given, or trained
nothing and said nothing. It is refused, or told, where it is given, with the package.
"""

import numpy as np
import pytest

import carnyx

keras = pytest.importorskip("keras")
X, Y = np.ones((4, 3), "float32"), np.ones((4, 1), "float32")


class Module:
    """What a module of PyTorch looks like from outside."""

    __module__ = "torch.nn.modules"

    def named_parameters(self):
        return []

    def __call__(self, *args):
        return 0.0


def model(**options):
    made = carnyx.Sequential([carnyx.Input((3,)), carnyx.layers.Dense(1)])
    made.compile(**({"optimizer": "sgd", "loss": "mse"} | options))
    return made


REFUSED = {
    "a layer in a Sequential": lambda: carnyx.Sequential([keras.layers.Dense(1)]),
    "a layer on a symbol": lambda: keras.layers.Dense(1)(carnyx.Input((3,))),
    "an op on a symbol": lambda: keras.ops.exp(carnyx.Input((3,))),
    "a symbol in a layer": lambda: carnyx.layers.Dense(1)(keras.Input((3,))),
    "a layer in a wrapper": lambda: carnyx.layers.TimeDistributed(keras.layers.ReLU()),
    "an optimizer": lambda: model(optimizer=keras.optimizers.SGD()),
    "a metric": lambda: model(metrics=[keras.metrics.Mean()]).fit(X, Y, verbose=0),
    "a module as loss": lambda: model(loss=Module()).fit(X, Y, verbose=0),
    "a module as layer": lambda: carnyx.Sequential([Module()]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_with_its_package(case):
    words = "of PyTorch" if "module" in case else "from carnyx, everywhere"
    with pytest.raises(ValueError, match=words):
        REFUSED[case]()


@pytest.mark.parametrize("make", [lambda: keras.layers.Dense(1), Module])
def test_weights_that_nothing_trains_are_told(make):
    layer = carnyx.layers.Layer()
    with pytest.warns(UserWarning, match="Layer.inner is a .* not trained or saved"):
        layer.inner = make()


def test_functions_of_arrays_are_taken():
    # losses, initializers, constraints and schedules have no weights
    made = model(loss=keras.losses.MeanSquaredError())
    assert made.fit(X, Y, verbose=0).history["loss"][0] > 0
    given = {"kernel_initializer": keras.initializers.Ones()}
    assert carnyx.layers.Dense(1, **given)(X)[0, 0] == 3
