"""Kind: a dtype that is told by one rule for symbols and computed by another.

A wrapper said its own compute dtype for a symbolic output, where the layer inside gives
that of its own policy. A symbolic dtype is now what the call itself computes, for every
layer, every wrapper, and policies that differ inside and outside.
"""

import functools
import itertools

import jax
import numpy as np
import pytest

import carnyx as keras
from carnyx import layers
from tests.layers.test_contract import CASES, in_structure, shapes_of, symbols

POLICIES = ["float32", "bfloat16", "mixed_bfloat16", "mixed_float16"]


def dtypes(tree):
    return [str(x.dtype) for x in jax.tree.leaves(tree)]


def given(case):
    kind = "int32" if case.below else "float32"
    sizes = [[4 if n is None else n for n in shape] for shape in shapes_of(case)]
    return in_structure(case, [jax.ShapeDtypeStruct(s, kind) for s in sizes])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_symbolic_dtypes_are_those_of_the_call(case):
    for policy in ("bfloat16", "mixed_float16"):
        layer = case.make(keras, dtype=policy, name="one")
        how = {"training": False} if case.draws else {}  # what draws has a state
        symbolic = dtypes(layer(symbols(keras, case), **how))
        called = functools.partial(layer, **how)
        assert symbolic == dtypes(jax.eval_shape(called, given(case)))


WRAPPED = {
    "TimeDistributed": lambda inner, p: layers.TimeDistributed(
        layers.Dense(2, dtype=inner), dtype=p
    ),
    "TimeDistributed of a model": lambda inner, p: layers.TimeDistributed(
        keras.Sequential([layers.Dense(2, dtype=inner), layers.Dropout(0.5)]), dtype=p
    ),
    "SpectralNormalization": lambda inner, p: layers.SpectralNormalization(
        layers.Dense(2, dtype=inner), dtype=p
    ),
    "Bidirectional": lambda inner, p: layers.Bidirectional(
        layers.LSTM(2, dtype=inner, return_state=True), dtype=p
    ),
    "RNN": lambda inner, p: layers.RNN(
        layers.GRUCell(2, dtype=inner), dtype=p, return_state=True
    ),
    "RNN of cells": lambda inner, p: layers.RNN(
        [layers.LSTMCell(2, dtype=inner), layers.SimpleRNNCell(2)], dtype=p
    ),
    "Sequential": lambda inner, p: keras.Sequential(
        [layers.Dense(2, dtype=inner), layers.Activation("relu", dtype=p)]
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_policies_may_differ_inside_and_outside(name):
    x = jax.ShapeDtypeStruct((2, 3, 4), "float32")
    for inner, outer in itertools.product(POLICIES, POLICIES):
        layer = WRAPPED[name](inner, outer)
        symbolic = dtypes(layer(keras.Input((3, 4))))
        assert symbolic == dtypes(jax.eval_shape(layer, x)), (inner, outer)


def test_a_wrapped_layer_computes_in_its_own_precision():
    layer = layers.TimeDistributed(layers.Dense(2), dtype="mixed_bfloat16")
    assert layer(np.ones((1, 2, 3), "float32")).dtype == "float32"
    assert layer.compute_output_shape((None, 7, 3)) == (None, 7, 2)
    cell = layers.LSTMCell(2, dtype="mixed_bfloat16")
    run = layers.RNN(cell, dtype="bfloat16")
    assert run(np.ones((1, 2, 3), "float32")).dtype == "bfloat16"
    assert cell.kernel.dtype == "float32"
