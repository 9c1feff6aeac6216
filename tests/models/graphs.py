"""Models to build with either library: `GRAPHS[name](k)`, with `k` the library."""

from __future__ import annotations

from typing import Any

import numpy as np

GRAPHS: dict[str, Any] = {}


def graph(build: Any) -> Any:
    GRAPHS[build.__name__] = build
    return build


@graph
def chain(k):
    x = k.Input((4,))
    return k.Model(x, k.layers.Dense(2)(k.layers.Dense(3, "relu")(x)), name="m")


@graph
def residual(k):
    x = k.Input((4,), name="x")
    h = k.layers.Dense(4, name="a")(x)
    h = k.layers.Add(name="sum")([x, h])
    return k.Model([x], [h, k.layers.Dense(1, name="b")(h)])


@graph
def shared_layer(k):
    a, b = k.Input((4,), name="a"), k.Input((4,), name="b")
    dense = k.layers.Dense(3, name="both")
    both = k.layers.Concatenate()([dense(a), dense(b)])
    return k.Model([a, b], k.layers.Dense(2)(both))


@graph
def at_two_depths(k):
    x = k.Input((4,))
    a, b = k.layers.Dense(4, name="a"), k.layers.Dense(4, name="b")
    return k.Model(x, a(b(a(b(x)))))


@graph
def called_elsewhere_first(k):
    dense = k.layers.Dense(3, name="both")
    dense(k.Input((4,)))
    x = k.Input((4,), name="x")
    return k.Model(x, k.layers.ReLU()(dense(x)))


@graph
def dict_inputs(k):
    x = {"q": k.Input((4,), name="b"), "p": k.Input((4,), name="a")}
    s = k.layers.Subtract()([x["q"], x["p"]])
    return k.Model(x, {"s": s, "one": k.layers.Dense(1, name="d")(s)})


@graph
def tuple_in_list(k):
    x, y = k.Input((4,), name="x"), k.Input((3,), name="y")
    return k.Model([x, y], [k.layers.Dense(2, name="a")(x), y])


@graph
def unused_input(k):
    x, y = k.Input((4,), name="x"), k.Input((3,), name="y")
    return k.Model([x, y], k.layers.Dense(2)(x))


@graph
def nested_functional(k):
    x = k.Input((4,), name="inner_x")
    inner = k.Model(x, k.layers.Dense(4, name="d")(x), name="inner")
    y = k.Input((4,), name="y")
    return k.Model(y, inner(k.layers.ReLU(name="r")(inner(y))), name="outer")


@graph
def nested_sequential(k):
    inner = k.Sequential([k.Input((4,)), k.layers.Dense(3)], name="inner")
    y = k.Input((4,), name="y")
    return k.Model(y, k.layers.ReLU()(inner(y)))


@graph
def nested_two_outputs(k):
    x = k.Input((4,), name="x")
    inner = k.Model(x, [k.layers.Dense(2, name="d")(x), x], name="inner")
    y = k.Input((4,), name="y")
    return k.Model(y, [*inner(y), k.layers.Concatenate()(inner(y))])


@graph
def intermediate(k):
    x = k.Input((4,), name="x")
    h = k.layers.Dense(3, name="h")(x)
    return k.Model(h, k.layers.Dense(2, name="o")(h))


@graph
def intermediate_output(k):
    x = k.Input((4,), name="x")
    h = k.layers.Dense(3, name="h")(x)
    full = k.Model(x, k.layers.Dense(2, name="o")(h))
    return k.Model(full.input, full.get_layer("h").output)


@graph
def call_arguments(k):
    q, v = k.Input((3, 4), name="q"), k.Input((5, 4), name="v")
    attend = k.layers.MultiHeadAttention(2, 3, name="attend")
    drop = k.layers.Dropout(0.5, name="drop", seed=1)
    return k.Model([q, v], drop(attend(q, value=v, key=v), training=False))


@graph
def masked(k):
    x = k.Input((5,), dtype="int32", name="x")
    h = k.layers.Embedding(7, 3, mask_zero=True, name="e")(x)
    return k.Model(x, k.layers.LSTM(2, name="l")(h))


@graph
def with_constants(k):
    x = k.Input((3,), name="x")
    h = k.ops.multiply(x, k.ops.convert_to_tensor([1.0, 2.0, 3.0]))
    return k.Model(x, k.layers.Dense(2)(h + 1.0) * 2)


@graph
def states(k):
    x = k.Input((5, 3), name="x")
    _, h, c = k.layers.LSTM(4, return_state=True, name="enc")(x)
    y = k.Input((2, 3), name="y")
    out = k.layers.LSTM(4, name="dec")(y, initial_state=[h, c])
    return k.Model([x, y], out)


@graph
def sequential(k):
    return k.Sequential([k.Input((4,)), k.layers.Dense(3), k.layers.Dense(2)], name="s")


@graph
def sequential_first_shape(k):
    return k.Sequential([k.layers.Dense(3, input_shape=(4,)), k.layers.ReLU()])


@graph
def sequential_of_models(k):
    inner = k.Sequential([k.Input((4,)), k.layers.Dense(3, name="d")], name="inner")
    x = k.Input((3,), name="x")
    func = k.Model(x, k.layers.Dense(2, name="o")(x), name="func")
    return k.Sequential([k.Input((4,), name="in"), inner, func, k.layers.ReLU()])


def filled(model: Any) -> Any:
    """The model with weights that differ from each other and are always the same."""
    model.set_weights(
        [
            np.cos(i + 1 + np.arange(np.prod(w.shape))).reshape(w.shape)
            for i, w in enumerate(model.get_weights())
        ]
    )
    return model


def feed(model: Any, batch: int = 2) -> Any:
    """Something to call the model on, in the structure of its inputs."""

    def one(tensor: Any) -> Any:
        shape = tuple(batch if d is None else d for d in tensor.shape)
        values = 1 + np.arange(np.prod(shape)).reshape(shape)
        whole = "int" in str(tensor.dtype)
        return (
            (values % 5).astype("int32") if whole else np.sin(values).astype("float32")
        )

    # Keras's Sequential has no `input` until it is called in a graph
    inputs = vars(model).get("_functional", model).input
    if isinstance(inputs, dict):
        return {key: one(tensor) for key, tensor in inputs.items()}
    if isinstance(inputs, list | tuple):
        return [one(tensor) for tensor in inputs]
    return one(inputs)
