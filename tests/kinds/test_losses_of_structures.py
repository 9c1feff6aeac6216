"""Kind: a loss for several outputs at once.

`compile(loss={"a": fn})`, where several outputs are under "a", gives the function their
structure, and so does one of a list such as `[whole, (first, second)]`. Losses were
kept by output, so that one for a part of the structure had no place.
"""

from collections import namedtuple

import numpy as np
import pytest

import carnyx as keras
from carnyx.errors import ArgumentError

Pair = namedtuple("Pair", ["first", "second"])
X = np.zeros((4, 2), "float32")
ONES = np.ones((4, 1), "float32")


def _model(arrange):
    """Outputs that are 1 and 2, whatever comes in."""
    inputs = keras.Input((2,))
    outputs = [
        keras.layers.Dense(1, bias_initializer=keras.initializers.Constant(v), name=n)(
            inputs
        )
        for n, v in (("one", 1), ("two", 2))
    ]
    return keras.Model(inputs, arrange(*outputs))


def _sum(y_true, y_pred):
    """What both outputs miss, added up; a function of their structure."""
    assert type(y_true) is type(y_pred)
    pairs = zip(keras.tree.flatten(y_true), keras.tree.flatten(y_pred), strict=True)
    return sum(keras.ops.sum(keras.ops.abs(t - p), axis=-1) for t, p in pairs)


def _plain(y_true, y_pred):
    return keras.ops.sum(keras.ops.abs(y_true - y_pred), axis=-1)


LISTS = {
    "tuple": lambda a, b: (a, b),
    "namedtuple": Pair,
    "dict": lambda a, b: {"u": a, "v": b},
}


@pytest.mark.parametrize("name", LISTS)
def test_one_for_all_beside_one_for_each(name):
    arrange = LISTS[name]
    model = _model(arrange)
    model.compile("sgd", [_sum, arrange(_plain, _plain)])
    y = arrange(0 * ONES, 0 * ONES)
    logs = model.evaluate(X, y, verbose=0, return_dict=True)
    one, two = ("u", "v") if name == "dict" else ("one", "two")
    assert logs == {
        "loss": 6.0, f"{one}_loss": 1.0, f"{two}_loss": 2.0, f"{one}_{two}_loss": 3.0,
    }  # fmt: skip
    history = model.fit(X, y, verbose=0, epochs=2).history
    assert sorted(history) == sorted(logs) and history["loss"][1] < history["loss"][0]


def test_a_part_by_its_key():
    model = _model(lambda a, b: {"pair": (a, b), "alone": b})
    given = {"pair": [_sum, (None, _plain)], "alone": "mae"}
    y = {"pair": (0 * ONES, 0 * ONES), "alone": 0 * ONES}
    model.compile("sgd", given)
    logs = model.evaluate(X, y, verbose=0, return_dict=True)
    assert logs == {
        "loss": 7.0, "pair_loss": 3.0, "pair/two_loss": 2.0, "alone_loss": 2.0,
    }  # fmt: skip
    weights = {"pair": [10.0, (0.0, 0.5)], "alone": 0.25}
    model.compile("sgd", given, loss_weights=weights)
    assert model.evaluate(X, y, verbose=0)[0] == pytest.approx(30 + 1 + 0.5)
    model.compile("sgd", {"pair": _sum})
    assert model.evaluate(X, y, verbose=0) == 3.0


def test_lists_for_single_outputs_stay_what_they_are():
    model = _model(lambda a, b: {"u": a, "v": b})
    y = {"u": 0 * ONES, "v": 0 * ONES}
    for given in ({"u": ["mse"], "v": [_plain]}, {"u": ["mse", None], "v": "mae"}):
        model.compile("sgd", given)
        logs = model.evaluate(X, y, verbose=0, return_dict=True)
        assert logs == {"loss": 3.0, "u_loss": 1.0, "v_loss": 2.0}


def test_metrics_and_sample_weights_go_with_it():
    model = _model(lambda a, b: {"pair": (a, b)})
    model.compile("sgd", {"pair": _sum}, metrics={"pair": ("mae", "mse")})
    y = {"pair": (0 * ONES, 0 * ONES)}
    weight = np.array([1, 0, 0, 0], "float32")
    logs = model.evaluate(X, y, sample_weight=weight, verbose=0, return_dict=True)
    assert logs == {"loss": 0.75, "pair/one_mae": 1.0, "pair/two_mse": 4.0}
    one = {"pair": (weight, None)}
    with pytest.raises(ArgumentError, match="sample weights of different shapes"):
        model.evaluate(X, y, sample_weight=one, verbose=0)


def test_what_fits_no_part_is_still_refused():
    model = _model(lambda a, b: {"pair": (a, b)})
    y = {"pair": (0 * ONES, 0 * ONES)}
    for wrong in ({"pair": "mse"}, {"pear": _sum}, {"pair": _sum, "pear": _plain}):
        model.compile("sgd", wrong)
        with pytest.raises((KeyError, ValueError), match="pair"):
            model.evaluate(X, y, verbose=0)
    model.compile("sgd", {"pair": _sum}, loss_weights=[1.0, 2.0])
    with pytest.raises(ArgumentError, match="2 numbers for 1 losses"):
        model.evaluate(X, y, verbose=0)
