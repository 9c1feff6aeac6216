"""What each call of a graph costs, counted: by what it computes, not by its names."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import carnyx as keras
from carnyx._training.stages.node_costs import estimated


class Doubling(keras.layers.Layer):
    """A product with a matrix, in a scope that may have any name."""

    def __init__(self, scope: str = "twice", **options: Any) -> None:
        super().__init__(**options)
        self.scope = scope

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight((shape[-1], shape[-1]), name="kernel")

    def call(self, x: Any) -> Any:
        with jax.named_scope(self.scope):
            return x @ self.kernel


def costs(*layers: Any, shape: Any = (16,), dtype: str = "float32") -> list[Any]:
    outputs = inputs = keras.Input(shape, dtype=dtype)
    for layer in layers:
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    device = jax.devices()[0]
    return [tuple(c) for c in estimated(model._graph, model, device, 8).values()]


def test_gradients_of_inputs_are_counted_where_weights_move_them() -> None:
    (first, second) = costs(Doubling(), Doubling())
    product = 2 * 8 * 16 * 16
    assert first == (product, product)
    assert second == (product, 2 * product)


def test_what_learns_nothing_has_no_way_back() -> None:
    rescaled, embedded, dense = costs(
        keras.layers.Lambda(lambda x: 2 * x),
        keras.layers.Embedding(7, 3),
        keras.layers.Dense(2),
        shape=(5,),
        dtype="int32",
    )
    assert rescaled[1] == 0 < rescaled[0]
    assert embedded[1] > 0 and dense[1] > dense[0]


@pytest.mark.parametrize("scope", ["transpose(jvp(x))", "<call 0>", "rematted"])
def test_names_of_scopes_do_not_count(scope: str) -> None:
    assert costs(Doubling(scope), Doubling()) == costs(Doubling(), Doubling())


def test_a_call_that_assigns_and_one_that_reads_what_nobody_holds() -> None:
    free = keras.Variable(np.ones(16), name="free")

    class Counting(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            free.assign(free + 1)
            return x * free

    assert len(costs(Counting(), keras.layers.BatchNormalization())) == 2
    np.testing.assert_array_equal(free, np.ones(16))  # nothing was computed
