"""Kind: a gradient that finds a value by comparing it with itself computed again.

JAX finds where a maximum came from by equality. XLA computed the input of the maximum
twice, in two fusions that rounded differently (after batch normalisation, say); then
nothing was equal, and gradients were lost or went elsewhere: by 20 to 90 %. So
whatever looks for a value is tried after layers that XLA likes to compute twice,
compiled against op by op, and against differences in float64.
"""

import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import carnyx as keras
from carnyx import layers, ops

SHAPE = 16, 12, 4  # batch, time, channels


def by_segments(reduce):
    ids = np.repeat(np.arange(4), 4)
    return lambda x: reduce(x, ids, 4)


def norm(ord, axis):
    return lambda x: ops.norm(x, ord=ord, axis=axis)


REDUCTIONS = {
    "max": lambda x: ops.max(x, 1),
    "min": lambda x: ops.min(x, (0, 1)),
    "max_initial": lambda x: ops.max(x, 1, initial=0.1),
    "amax": lambda x: ops.amax(x, 1, keepdims=True),
    "amin": lambda x: ops.amin(x, -1),
    "ptp": lambda x: ops.ptp(x, 1),
    "nanmax": lambda x: ops.nanmax(x, 1),
    "nanmin": lambda x: ops.nanmin(x, 1),
    "segment_max": by_segments(ops.segment_max),
    "segment_min": by_segments(ops.segment_min),
    "norm_inf": norm(np.inf, 1),
    "norm_-inf": norm(-np.inf, 1),
    "matrix_norm_1": norm(1, (1, 2)),
    "matrix_norm_inf": norm(np.inf, (1, 2)),
    "adaptive_max_pool": lambda x: ops.adaptive_max_pool(x, 3),
    "adaptive_max_pool_all": lambda x: ops.adaptive_max_pool(x, 1),
    "global_max_pooling": layers.GlobalMaxPooling1D(),
    "max_pool_overlapping": lambda x: ops.max_pool(x, 3, 2, "same"),
    "max_pool_of_all": lambda x: ops.max_pool(x, 12),
    "max_pool_wide": lambda x: ops.max_pool(jnp.repeat(x, 6, 1), 70, 1),
    "sort": lambda x: ops.sort(x, 1)[:, -2:],
    "top_k": lambda x: ops.top_k(jnp.swapaxes(x, 1, 2), 2)[0],
    "take_argsort": lambda x: ops.take_along_axis(x, ops.argsort(x, 1), 1)[:, 3],
    "take_argmax": lambda x: ops.take_along_axis(x, ops.argmax(x, 1)[:, None], 1),
    "median": lambda x: ops.median(x, 1),
    "quantile": lambda x: ops.quantile(x, 0.3, 1),
    "logsumexp": lambda x: ops.logsumexp(x, 1),
    "maximum": lambda x: ops.maximum(x[:, :6], x[:, 6:]),
    "maximum_of_0": lambda x: ops.maximum(x, 0),
    "minimum_chain": lambda x: functools.reduce(ops.minimum, ops.unstack(x, axis=1)),
    "clip": lambda x: ops.clip(x, -0.7, 0.7),
    "categorical_hinge": lambda x: keras.losses.categorical_hinge(
        np.broadcast_to(np.eye(4)[0], x.shape), x
    ),
    "ctc_greedy_score": lambda x: ops.ctc_decode(x, np.full(16, 12))[1],
    "rgb_to_hsv": lambda x: ops.image.rgb_to_hsv(ops.sigmoid(x[:, :, None, :3])),
}
ACTIVATIONS = (
    "relu relu6 leaky_relu hard_sigmoid hard_silu hard_tanh hard_shrink soft_shrink "
    "celu elu selu sparse_plus sparse_sigmoid sparsemax"
).split()
FUNCTIONS = REDUCTIONS | {name: keras.activations.get(name) for name in ACTIVATIONS}


def network(first):
    keras.utils.set_random_seed(2)
    made = {
        "dense": layers.Dense(4),
        "conv": layers.Conv1D(4, 3, padding="same", activation="relu"),
    }
    net = keras.Sequential(
        [keras.Input(SHAPE[1:]), made[first], layers.BatchNormalization()]
    )
    # What is not the weights' own is the same in every precision.
    return net, np.random.default_rng(1).normal(size=SHAPE)


def objective(fn, first, dtype="float32"):
    """The sum of sines of `fn` of a network, of its weights; and weights to try."""
    net, x = network(first)
    fixed = [v.value.astype(dtype) for v in net.non_trainable_variables]

    def loss(weights):
        h, _ = net.stateless_call(weights, fixed, x.astype(dtype), training=True)
        return jnp.sum(jnp.sin(1.3 * fn(h)))

    return loss, [v.value.astype(dtype) for v in net.trainable_variables]


def error(got, expected):
    size = max(float(jnp.abs(e).max()) for e in expected)
    return max(float(jnp.abs(a - b).max()) for a, b in zip(got, expected)) / size


CASES = [(name, "dense") for name in FUNCTIONS]
CASES += [(name, "conv") for name in ("max", "nanmin", "max_pool_overlapping")]


@pytest.mark.parametrize(("name", "first"), CASES)
def test_the_compiled_gradient_is_that_of_op_by_op(name, first):
    loss, weights = objective(FUNCTIONS[name], first)
    compiled = jax.jit(jax.grad(loss))(weights)
    with jax.disable_jit():
        expected = jax.grad(loss)(weights)
    assert error(compiled, expected) < 1e-3


@pytest.mark.parametrize(
    "name", ["max", "norm_inf", "segment_max", "adaptive_max_pool"]
)
def test_it_is_what_differences_say_and_what_forward_mode_says(name):
    with jax.enable_x64(True):
        keras.config.set_floatx("float64")
        try:
            loss, weights = objective(FUNCTIONS[name], "dense", "float64")
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            way = [jnp.asarray(rng.normal(size=w.shape)) for w in weights]
            gradients = jax.jit(jax.grad(loss))(weights)
            along = sum(float(jnp.vdot(g, w)) for g, w in zip(gradients, way))
            moved = [[w + s * 1e-6 * d for w, d in zip(weights, way)] for s in (1, -1)]
            difference = (loss(moved[0]) - loss(moved[1])) / 2e-6
            _, forward = jax.jit(lambda w, d: jax.jvp(loss, (w,), (d,)))(weights, way)
        finally:
            keras.config.set_floatx("float32")
    assert along == pytest.approx(float(difference), rel=1e-4)
    assert along == pytest.approx(float(forward), rel=1e-8)


def test_second_derivatives_and_vmap_of_a_maximum():
    square = lambda x: ops.max(x, 0) ** 2  # noqa: E731
    assert jax.hessian(square)(jnp.array([1.0, 3.0, 2.0])).tolist() == [
        [0, 0, 0],
        [0, 2, 0],
        [0, 0, 0],
    ]
    rows = jnp.array([[1.0, 3.0], [4.0, 2.0]])
    assert jax.vmap(jax.grad(square))(rows).tolist() == [[0, 6], [8, 0]]


def test_equals_share_the_gradient_as_in_keras():
    x = jnp.array([2.0, 1.0, 2.0])
    assert jax.grad(lambda x: ops.max(x))(x).tolist() == [0.5, 0, 0.5]
    assert jax.grad(lambda x: ops.norm(x, ord=np.inf))(x).tolist() == [0.5, 0, 0.5]
