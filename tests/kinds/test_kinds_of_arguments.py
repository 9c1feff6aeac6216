"""Kind: an argument that is no such thing at all, told as if its value did not fit.

A number where a function is expected went down to JAX, whose TypeError came back as a
`ShapeError`; a dict for an axis was a ValueError where Keras raises a TypeError; a flag
was anything, by its truth. What names no dtype was a TypeError, in Keras a ValueError.
Such an error is both here, so that code written for either still works.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import carnyx as keras
from carnyx import layers, ops

X = np.ones((3, 2), "float32")
TAKES_FUNCTIONS = {
    "map": (3, X),
    "vectorized_map": (3, X),
    "scan": (3, X[0], X),
    "associative_scan": (3, X),
    "while_loop": (3, lambda x: x, X),
    "fori_loop": (0, 1, 3, X),
    "cond": (True, 3, lambda: 1),
    "jvp": (3, [X], [X]),
    "vectorize": (3,),
}


def test_every_op_that_takes_a_function_stands_in_the_table() -> None:
    taking = {
        name
        for name, op in vars(ops).items()
        if hasattr(op, "op_name")
        and any(
            str(p.annotation).startswith("Callable")
            for p in inspect.signature(op).parameters.values()
        )
    }
    assert taking <= set(TAKES_FUNCTIONS)


@pytest.mark.parametrize("name", [n for n in TAKES_FUNCTIONS if n != "vectorize"])
@pytest.mark.parametrize("symbolic", [False, True])
def test_a_number_is_no_function(name: str, symbolic: bool) -> None:
    args: Any = TAKES_FUNCTIONS[name]
    if symbolic:
        args = [keras.KerasTensor((3, 2)) if a is X else a for a in args]
    with pytest.raises(TypeError, match=f"{name} got .*=3; expected a function"):
        getattr(ops, name)(*args)


@pytest.mark.parametrize(
    "layer",
    [layers.LayerNormalization, layers.RMSNormalization, layers.UnitNormalization],
)
@pytest.mark.parametrize("error", [TypeError, ValueError])
def test_a_dict_is_no_axis(layer: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="expected an integer or several"):
        layer(axis={"axis": -1})


@pytest.mark.parametrize("value", ["yes", 1, None, 0.0])
def test_trainable_is_a_flag(value: Any) -> None:
    with pytest.raises(ValueError, match=f"Dense got trainable={value!r}; expected a"):
        layers.Dense(2, trainable=value)
    assert layers.Dense(2, trainable=np.bool_(False)).trainable is False


@pytest.mark.parametrize(
    "options",
    [dict(batch_size=5), dict(sparse=True), dict(dtype="float16"), dict(shape=(4,))],
)
def test_an_input_is_not_told_what_its_tensor_is_not(options: Any) -> None:
    tensor = keras.KerasTensor((2, 3))
    with pytest.raises(ValueError, match="Input got a tensor"):
        layers.InputLayer(input_tensor=tensor, **options)
    assert layers.InputLayer(input_tensor=tensor).output is tensor
    assert layers.InputLayer(shape=(3,)).call() is None


@pytest.mark.parametrize("value", [123, "float33", object(), [1]])
@pytest.mark.parametrize(
    "ask",
    [
        keras.dtype_policies.get,
        keras.config.set_dtype_policy,
        lambda d: ops.cast(X, d),
        lambda d: layers.Dense(2, dtype=d),
        lambda d: keras.Input((2,), dtype=d),
        lambda d: keras.Variable(1.0, dtype=d),
    ],
)
def test_what_names_no_dtype(value: Any, ask: Any) -> None:
    with pytest.raises(ValueError):
        ask(value)
