"""Symbolic tensors: recorded calls, inferred shapes, errors at the mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import carnyx as keras
from carnyx._core.graph import Graph
from carnyx._core.infer import infer
from carnyx._core.node import Node

ops = keras.ops


@pytest.mark.parametrize(
    ("shapes", "fn", "expected"),
    [
        ([(None, 3)], lambda x: x + 1, (None, 3)),
        ([(None, None, 4)], lambda x: ops.reshape(x, (-1, 4)), (None, 4)),
        ([(None, 4, 5)], lambda x: ops.reshape(x, (-1, 20)), (None, 20)),
        ([(None, 8)], lambda x: x[:, 2:5], (None, 3)),
        ([(None, None)], lambda x: x[0], (None,)),
        ([(None, 3), (None, 3)], lambda a, b: ops.concatenate([a, b], 0), (None, 3)),
        ([(None, 2, 3), (3, 4)], ops.matmul, (None, 2, 4)),
        ([(None, 6)], lambda x: ops.split(x, 3, 1)[1], (None, 2)),
        ([(3, 4)], lambda x: ops.transpose(x), (4, 3)),
        ([(None, None, None)], lambda x: ops.sum(x, axis=(1, 2)), (None,)),
    ],
)
def test_shapes_are_inferred(shapes: list, fn: Any, expected: Any) -> None:
    tensors = [keras.KerasTensor(s) for s in shapes]
    out = fn(*tensors)
    assert out.shape == expected
    sizes = [tuple(5 if d is None else d for d in s) for s in shapes]
    real = fn(*[np.ones(s, "float32") for s in sizes])
    assert len(real.shape) == len(out.shape)
    for known, size in zip(out.shape, real.shape, strict=True):
        assert known in (None, size)


def test_sizes_that_are_compared_or_divided_are_probed() -> None:
    def odd(x: Any) -> Any:
        return x[: x.shape[0] // 2] if x.shape[1] > 100 else x

    assert infer(odd, keras.KerasTensor((None, None, 3))).shape == (None, None, 3)
    assert infer(odd, keras.KerasTensor((6, None, 3))).shape == (None, None, 3)


def test_structures_and_dtypes_pass_through() -> None:
    x = keras.KerasTensor((None, 2), "int32")
    out = infer(lambda d: {"a": d["x"] / 2, "b": [d["x"], None]}, {"x": x})
    assert out["a"].dtype == "float32" and out["b"][0].dtype == "int32"
    assert out["b"][1] is None


def test_a_symbolic_tensor_has_no_value() -> None:
    x = keras.Input((3,))
    for use in (bool, float, int, len, iter, np.asarray):
        with pytest.raises(ValueError, match="has no value"):
            use(x)


def test_history_and_graph() -> None:
    x = keras.Input((3,), name="x")
    y = ops.relu(x) * 2
    z = keras.layers.Dense(2, name="d")(y)
    operation, index, _ = z._keras_history
    assert operation.name == "d" and index == 0
    graph = Graph([x], [z])
    assert [o.name for o in graph.operations][0] == "x"
    (source,) = keras.utils.get_source_inputs(z)
    assert source is x
    with pytest.raises(ValueError, match="depend on input 'x'"):
        Graph([keras.Input((1,))], [z])
    with pytest.raises(ValueError, match="made by hand"):
        Graph([x], [keras.KerasTensor((1,))])


def test_input_takes_the_arguments_of_keras() -> None:
    assert keras.Input((2,), batch_size=4).shape == (4, 2)
    assert keras.Input(batch_shape=(None, 7), dtype="int32").dtype == "int32"
    assert keras.Input((2,), name="n").name == "n"
    assert keras.Input((None, 2), sparse=True).sparse
    with pytest.raises(ValueError, match="needs a shape"):
        keras.Input()
    with pytest.raises(ValueError, match="a shape is a tuple"):
        keras.Input(3)


def test_deep_graphs_do_not_recurse() -> None:
    x = inputs = keras.Input((1,))
    for _ in range(1200):  # more than Python's limit of recursion
        x = _identity(x)
    assert len(Graph([inputs], [x]).nodes) == 1201


def _identity(x: Any) -> Any:
    layer = keras.layers.Identity()
    out = keras.KerasTensor(x.shape)
    Node(layer, (x,), {}, out)
    return out
