"""A layer of Keras and one of ours with the same weights, and how to compare them."""

import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import keras
import numpy as np

import carnyx
from carnyx import layers

OURS = SimpleNamespace(layers=layers, Layer=layers.Layer, Input=layers.Input)


def arrays(*shapes, seed=0):
    """Random float inputs."""
    random = np.random.default_rng(seed)
    return [random.uniform(-1, 1, s).astype("float32") for s in shapes]


def place(weight):
    """Its path in the layer, without the numbers that each library counts by itself."""
    return re.sub(r"_\d+(?=/)", "", weight.path).split("/")[1:]


def pair(make, *inputs, **more):
    """`make(library)` for both, built by a call; weights random and equal."""
    ours, theirs = make(OURS), make(keras)
    ours(*inputs, **more)
    theirs(*inputs, **more)
    random = np.random.default_rng(1)
    weights = [random.normal(0, 0.4, w.shape) for w in theirs.weights]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    assert [place(w) for w in ours.weights] == [place(w) for w in theirs.weights]
    return ours, theirs


def assert_close(ours, theirs, tolerance=1e-5):
    ours, theirs = (jax.tree_util.tree_leaves(t) for t in (ours, theirs))
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=tolerance)


def gradients(layer, *inputs, **more):
    """Of a weighted sum of all outputs, for weights and inputs; by each library's own
    stateless_call."""
    fixed = [v.value for v in layer.non_trainable_variables]

    def objective(weights, inputs):
        out, _ = layer.stateless_call(weights, fixed, *inputs, **more)
        return sum(
            jnp.sum(o * jnp.cos(jnp.arange(o.size)).reshape(o.shape))
            for o in jax.tree_util.tree_leaves(out)
        )

    values = [v.value for v in layer.trainable_variables]
    return jax.jit(jax.grad(objective, (0, 1)))(
        values, [jnp.asarray(x) for x in inputs]
    )


__all__ = ["OURS", "arrays", "assert_close", "carnyx", "gradients", "keras", "pair"]
