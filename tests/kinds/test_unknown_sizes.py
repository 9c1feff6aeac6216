"""Kind: a size that is not known yet meets another one.

Two tensors of a graph, or a prediction and its target, have unknown sizes of their own,
which must agree at run time: with a known size, or with each other. Shape inference
took every unknown size for a different one, and what could not be traced so was probed
with two fixed sizes: models were refused that run, and messages showed those sizes.
"""

import itertools
import random

import jax.numpy as jnp
import keras
import numpy as np
import pytest

from carnyx import layers, ops
from carnyx._core.symbol import KerasTensor


def call(op, *shapes):
    return op, shapes


# op and real shapes, of which every pattern of unknown sizes is tried
CALLS = {
    "add": call(lambda o, x, y: o.add(x, y), (2, 3), (2, 3)),
    "add, broadcast": call(lambda o, x, y: o.add(x, y), (2, 1), (4, 2, 3)),
    "maximum, vector": call(lambda o, x, y: o.maximum(x, y), (2, 3), (3,)),
    "where": call(lambda o, c, x, y: o.where(c, x, y), (3,), (2, 3), (2, 1)),
    "concatenate": call(lambda o, x, y: o.concatenate([x, y], 1), (2, 3), (2, 4)),
    "stack": call(lambda o, x, y: o.stack([x, y], 1), (2, 3), (2, 3)),
    "vstack": call(lambda o, x, y: o.vstack([x, y]), (2, 3), (4, 3)),
    "hstack": call(lambda o, x, y: o.hstack([x, y]), (2, 3), (2, 4)),
    "dstack": call(lambda o, x, y: o.dstack([x, y]), (2, 3), (2, 3)),
    "matmul": call(lambda o, x, y: o.matmul(x, y), (2, 3), (3, 4)),
    "matmul, batches": call(lambda o, x, y: o.matmul(x, y), (5, 2, 3), (5, 3, 4)),
    "dot": call(lambda o, x, y: o.dot(x, y), (2, 3), (3, 4)),
    "inner": call(lambda o, x, y: o.inner(x, y), (2, 3), (4, 3)),
    "tensordot": call(lambda o, x, y: o.tensordot(x, y, 1), (2, 3), (3, 4)),
    "einsum": call(lambda o, x, y: o.einsum("ij,jk->ik", x, y), (2, 3), (3, 4)),
    "linspace": call(lambda o, x, y: o.linspace(x, y, 6), (2, 3), (2, 3)),
    "logspace": call(lambda o, x, y: o.logspace(x, y, 6), (2, 3), (2, 3)),
    "append": call(lambda o, x, y: o.append(x, y, 0), (2, 3), (4, 3)),
    "take_along_axis": call(
        lambda o, x, y: o.take_along_axis(x, o.cast(y, "int32"), 1), (2, 3), (2, 5)
    ),
    "cdist": call(lambda o, x, y: o.cdist(x, y), (2, 3), (4, 3)),
    "broadcast_to": call(lambda o, x: o.broadcast_to(x, (4, 2, 3)), (2, 3)),
    "repeat, each": call(lambda o, x: o.repeat(x, [1, 2, 0, 5], axis=0), (4, 3)),
    "reshape": call(lambda o, x: o.reshape(x, (-1, 7)), (2, 7)),
    "split": call(lambda o, x: o.split(x, 7, axis=1), (2, 14)),
    "unstack": call(lambda o, x: o.unstack(x, 2, axis=1), (3, 2)),
    "top_k": call(lambda o, x: o.top_k(x, 300), (2, 301)),
    "squeeze": call(lambda o, x: o.squeeze(x, 1), (2, 1)),
    "segment_sum": call(
        lambda o, x: o.segment_sum(x, np.array([0, 0, 1], "int32"), 2), (3, 4)
    ),
    "rgb_to_hsv": call(lambda o, x: o.image.rgb_to_hsv(x), (2, 4, 4, 3)),
    "pad_images": call(
        lambda o, x: o.image.pad_images(
            x, top_padding=1, left_padding=2, target_height=9, target_width=9
        ),
        (2, 4, 4, 3),
    ),
    "slice": call(lambda o, x: x[:, 1:3], (2, 5)),
}


def patterns(shapes, most=6):
    """Ways to not know some of the sizes: all, each tensor's, and others by chance."""
    flat = [(i, n) for i, shape in enumerate(shapes) for n in shape]
    every = list(itertools.product((False, True), repeat=len(flat)))
    some = [[True] * len(flat)]
    some += [[i == j for i, _ in flat] for j in range(len(shapes))]
    some += random.Random(len(flat)).sample(every, min(most, len(every)) - len(some))
    for hidden in some:
        sizes = iter(None if hide else n for (_, n), hide in zip(flat, hidden))
        yield [tuple(next(sizes) for _ in shape) for shape in shapes]


def leaves(out):
    return list(out) if isinstance(out, list | tuple) else [out]


def theirs(op, shapes):
    try:
        return leaves(op(keras.ops, *[keras.KerasTensor(s) for s in shapes]))
    except Exception:  # Keras refuses what runs, or fails
        return []


@pytest.mark.parametrize("name", CALLS)
def test_what_is_known_is_right_and_no_less_than_in_keras(name):
    op, real = CALLS[name]
    found = leaves(op(ops, *[np.ones(s, "float32") for s in real]))
    for shapes in patterns(real):
        inferred = leaves(op(ops, *[KerasTensor(s) for s in shapes]))
        assert len(inferred) == len(found), shapes
        for mine, array in zip(inferred, found):
            pairs = zip(mine.shape, array.shape, strict=True)
            assert all(n in (None, m) for n, m in pairs), (shapes, mine.shape)
        for mine, other, array in zip(inferred, theirs(op, shapes), found):
            if len(other.shape) == array.ndim:
                for n, m, true in zip(mine.shape, other.shape, array.shape):
                    assert n is not None or m != true, (shapes, mine, other)


def own(call):
    class Own(layers.Layer):
        def call(self, *inputs):
            return call(*inputs)

    return Own()


TABLE = np.ones((7, 2), "float32")
# layer, shapes, what comes out; the 7 of TABLE is in no argument
LAYERS = {
    "a primitive in a layer": (
        layers.Dot((1, 1)), [(None, None, 4), (None, 7, 5)], (None, 4, 5),
    ),
    "a primitive, flat": (layers.Dot(1), [(None, None), (None, 7)], (None, 1)),
    "a closure": (own(lambda x: jnp.matmul(x, TABLE)), [(None, None)], (None, 2)),
    "an operator": (layers.Lambda(lambda x: x @ TABLE), [(None, None)], (None, 2)),
    "of both": (
        own(lambda x, y: jnp.einsum("bi,ij,bj->b", x, TABLE, y)),
        [(None, None), (None, None)], (None,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_functions_of_jax_in_layers_meet_sizes_too(name):
    layer, shapes, right = LAYERS[name]
    tensors = [KerasTensor(s) for s in shapes]
    listed = isinstance(layer, layers.Dot | layers.Lambda) and len(tensors) > 1
    out = layer(tensors) if listed else layer(*tensors)
    assert out.shape == right
