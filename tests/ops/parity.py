"""Compare one call of an op with Keras 3.15: values, dtypes, gradients, shapes."""

import jax
import jax.numpy as jnp
import keras
import numpy as np

from carnyx._core.symbol import KerasTensor


def is_float(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def find(module, name):
    for part in name.split("."):
        module = getattr(module, part)
    return module


def same(ours, theirs, tolerance=1e-5):
    ours, theirs = jax.tree.leaves(ours), jax.tree.leaves(theirs)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype and a.shape == b.shape
        if a.dtype.kind in "biu":
            np.testing.assert_array_equal(a, b)
            continue
        finite = np.abs(b[np.isfinite(b)]).astype("float32")
        scale = max(1.0, finite.max(initial=0))
        np.testing.assert_allclose(a, b, tolerance, tolerance * scale)


def outputs(fn, args, kwargs, gradient):
    """What `fn` gives, and the gradients of the sum of its squares, in one program."""
    flat, tree = jax.tree.flatten(args)
    places = [i for i, x in enumerate(flat) if is_float(x)]
    flat = [jnp.asarray(x) if isinstance(x, np.ndarray) else x for x in flat]

    def value(*floats):
        now = list(flat)
        for i, x in zip(places, floats, strict=True):
            now[i] = x
        out = fn(*jax.tree.unflatten(tree, now), **kwargs)
        inexact = [
            o for o in jax.tree.leaves(out) if jnp.issubdtype(o.dtype, jnp.inexact)
        ]
        return sum((jnp.abs(o) ** 2).sum() for o in inexact), out

    floats = [flat[i] for i in places]
    if not gradient or not places:
        return jax.jit(value)(*floats)[1], ()
    run = jax.value_and_grad(value, tuple(range(len(places))), has_aux=True)
    (total, out), gradients = jax.jit(run)(*floats)
    return out, gradients if isinstance(total, jax.Array) else ()


def check(ours, theirs, args, kwargs, tolerance=1e-5, gradient=True):
    """Both functions on the same arguments (NumPy arrays are arrays)."""
    mine, my_gradients = outputs(ours, args, kwargs, gradient)
    their, their_gradients = outputs(theirs, args, kwargs, gradient)
    same(mine, their, tolerance)
    same(my_gradients, their_gradients, 10 * tolerance)


def check_symbolic(ours, theirs, args, kwargs, count=1):
    """Static shapes and dtypes where the first `count` arrays have an unknown batch."""

    def symbols(kind):
        batches = [kind((None, *x.shape[1:]), dtype=str(x.dtype)) for x in args[:count]]
        return [*batches, *args[count:]]

    out = jax.tree.leaves(ours(*symbols(KerasTensor), **kwargs))
    expected = jax.tree.leaves(theirs(*symbols(keras.KerasTensor), **kwargs))
    assert [(o.shape, o.dtype) for o in out] == [
        (tuple(e.shape), e.dtype) for e in expected
    ]
