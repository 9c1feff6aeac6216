"""The recurrent kernels against layers of Keras 3.15, and their gradient rule."""

import jax
import jax.numpy as jnp
import jax.test_util
import keras
import numpy as np
import pytest

from carnyx._core.scope import scoped
from carnyx.ops import recurrent

rng = np.random.default_rng(0)
X = rng.normal(size=(3, 5, 2)).astype("float32")
MASK = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [1, 1, 1, 1, 1]], bool)
UNITS = 4
TANH = dict(activation=jnp.tanh)
GATED = dict(**TANH, recurrent_activation=jax.nn.sigmoid)
KINDS = {  # layer, kernel, its options, the layer's, how many states
    "lstm": (keras.layers.LSTM, recurrent.lstm, GATED, {}, 2),
    "gru": (keras.layers.GRU, recurrent.gru, GATED, {}, 1),
    "gru before": (
        keras.layers.GRU, recurrent.gru, dict(**GATED, reset_after=False),
        dict(reset_after=False), 1,
    ),
    "simple": (keras.layers.SimpleRNN, recurrent.simple_rnn, TANH, {}, 1),
}  # fmt: skip
MODES = [
    (m, r, z)
    for m in (None, MASK)
    for r in (0, 1)
    for z in (0, 1)
    if not z or m is not None
]  # noqa: E501


def setup(kind, bias=True, **how):
    layer, kernel, options, more, count = KINDS[kind]
    layer = layer(
        UNITS, use_bias=bias, return_state=True, return_sequences=True, **more, **how
    )  # noqa: E501
    layer.build(X.shape)
    weights = [rng.normal(size=w.shape).astype("float32") / 2 for w in layer.weights]
    layer.set_weights(weights)
    states = [rng.normal(size=(3, UNITS)).astype("float32") for _ in range(count)]
    return layer, kernel, options, weights if bias else [*weights, None], states


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_are_those_of_keras(kind):
    for mask, reverse, zero in MODES:
        layer, kernel, options, weights, states = setup(
            kind, go_backwards=bool(reverse), zero_output_for_mask=bool(zero)
        ) if kind != "simple" else setup(kind, go_backwards=bool(reverse))  # fmt: skip
        if kind == "simple":
            layer.zero_output_for_mask = bool(zero)
        expected, *expected_states = layer(X, mask=mask, initial_state=states)
        last, outputs, after = kernel(
            X, *states, *weights, mask=mask, reverse=bool(reverse),
            zero_output_for_mask=bool(zero), **options,
        )  # fmt: skip
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(last, outputs[:, -1])
        for mine, theirs in zip(after, expected_states, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def loss(kernel, options, mask, reverse, x, states, weights):
    last, outputs, after = kernel(
        x, *states, *weights, mask=mask, reverse=reverse, **options
    )
    return (outputs**2).sum() + (last * after[-1]).sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
def test_the_rule_gives_the_gradients_of_the_scan(kind, bias):
    _, kernel, options, weights, states = setup(kind, bias)
    for mask, reverse, _ in MODES[::3]:

        def of(fast, mask=mask, reverse=reverse):
            with scoped(fast_gradients=fast):
                f = jax.grad(
                    lambda *a: loss(kernel, options, mask, bool(reverse), *a), (0, 1, 2)
                )  # noqa: E501
                return jax.tree.leaves(jax.jit(f)(X, states, weights))

        for mine, plain in zip(of(True), of(False), strict=True):
            np.testing.assert_allclose(mine, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_second_derivatives_of_the_rule(kind):
    _, kernel, options, weights, states = setup(kind)
    small = X[:1, :3] / 2
    args = small, [s[:1] for s in states], [w / 2 for w in weights]
    f = jax.jit(lambda *a: loss(kernel, options, MASK[:1, :3], True, *a))
    with scoped(fast_gradients=True):
        jax.test_util.check_grads(f, args, 2, ["rev"], 3e-2, 3e-2, 1e-2)


def test_an_activation_that_holds_weights_takes_the_plain_way():
    def f(slope):
        def leaky(x):
            return jnp.where(x > 0, x, slope * x)

        _, kernel, _, weights, states = simple
        return kernel(X, *states, *weights, activation=leaky)[1].sum()

    simple = setup("simple")
    with scoped(fast_gradients=True):
        assert np.isfinite(jax.grad(f)(0.1)) and jax.grad(f)(0.1) != 0


def test_forward_mode_works_outside_a_training_step():
    _, kernel, options, weights, states = setup("lstm")
    f = jax.jit(lambda x: kernel(x, *states, *weights, **options)[1])
    jax.test_util.check_grads(f, (X,), 1, ["fwd"], 2e-2, 2e-2, 1e-2)
