"""Shapes that are remembered from another layer's call.

The kind: a layer's output shape is not found out anew where an equal layer was called
before, so two that are taken for equal and are not would give wrong shapes in silence.
All that an output's shape follows from has to be in what is compared.
"""

from __future__ import annotations

import copy

import pytest

import carnyx as keras
from carnyx._core.infer import infer
from carnyx.layers import _known_specs
from tests.layers.test_contract import CASES, OURS, every_case, symbols

layers = keras.layers


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(_known_specs, "_known", {})


def specs(outputs):
    return [(t.shape, t.dtype) for t in keras.tree.flatten(outputs)]


@every_case
def test_what_is_remembered_is_what_would_be_inferred(index):
    case = CASES[index]
    with keras.abstract():
        first = specs(case.make(OURS)(symbols(OURS, case)))
        known = copy.copy(_known_specs._known)
        again = case.make(OURS)
        second = specs(again(symbols(OURS, case)))
    assert _known_specs._known == known, "an equal layer is not known again"
    with keras.abstract():
        inferred = specs(infer(again.call, symbols(OURS, case)))
    assert first == second == inferred


def test_whatever_a_shape_follows_from_is_compared():
    image, other = keras.Input((8, 8, 3)), keras.Input((9, 8, 3))
    half = keras.Input((8, 8, 3), dtype="float16")
    calls = [
        (layers.Conv2D(4, 3), image),
        (layers.Conv2D(4, 3), other),
        (layers.Conv2D(4, 3, dtype="float16"), half),
        (layers.Conv2D(4, 3, autocast=False), image),
        (layers.Conv2D(4, 3, padding="same"), image),
        (layers.Conv2D(5, 3), image),
        (layers.Conv2D(4, (3, 2)), image),
        (layers.MaxPooling2D(2), image),
        (layers.AveragePooling2D(2), image),
        (layers.GlobalMaxPooling2D(), image),
        (layers.GlobalMaxPooling2D(keepdims=True), image),
    ]
    for count, (layer, x) in enumerate(calls, start=1):
        layer(x)
        assert len(_known_specs._known) == count, layer
    assert specs(layers.Conv2D(4, 3)(other)) == [((None, 7, 6, 4), "float32")]
    assert len(_known_specs._known) == len(calls)


def test_a_field_that_is_set_later_is_another():
    layer = layers.ZeroPadding2D(1)
    x = keras.Input((4, 4, 1))
    assert layer(x).shape == (None, 6, 6, 1)
    layer.padding = ((2, 2), (2, 2))
    assert layer(x).shape == (None, 8, 8, 1)


def test_classes_and_functions_of_others_are_asked_each_time():
    class Repeated(layers.Layer):
        times = 2

        def call(self, x):
            return keras.ops.repeat(x, Repeated.times, axis=1)

    class Doubled(layers.Dense):
        def call(self, x):
            return keras.ops.repeat(super().call(x), Repeated.times, axis=1)

    def function(x):
        return keras.ops.repeat(x, Repeated.times, axis=1)

    x = keras.Input((3,))
    made = [Repeated, lambda: Doubled(3), lambda: layers.Lambda(function)]
    made.append(lambda: layers.Activation(function))
    for times in (2, 3):
        Repeated.times = times
        assert [make()(x).shape for make in made] == [(None, 3 * times)] * 4
    layer = layers.Dense(3)
    layer.call = function  # of this one alone
    assert layer(x).shape == (None, 9)


def test_a_graph_does_not_live_on_in_what_is_remembered():
    x = keras.Input((3,))
    first, second = layers.ReLU()(x), layers.ReLU()(x)
    assert first is not second and first.node is not second.node
    for known in _known_specs._known.values():
        assert known.node is None


def test_errors_are_not_remembered():
    for _ in range(2):
        with pytest.raises(ValueError, match="ReLU|Conv2D|axes|channels"):
            layers.Conv2D(4, 9)(keras.Input((4, 4, 1)))


def test_a_network_of_equal_blocks_traces_each_kind_once(monkeypatch):
    traced = []
    x = keras.Input((16,))
    monkeypatch.setattr(
        "carnyx.layers._building.infer",
        lambda fn, *args: traced.append(fn) or infer(fn, *args),
    )
    for _ in range(20):
        x = layers.ReLU()(layers.Dense(16)(x))
    assert len(traced) == 2
