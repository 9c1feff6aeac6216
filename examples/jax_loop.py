"""A training loop written by hand in JAX, around a model built with layers.

`stateless_call` and `stateless_apply` are pure functions of the weights that they are
given, so `jax.grad`, `jax.jit` and `jax.lax.scan` apply to them.
"""

import jax
import jax.numpy as jnp
import numpy as np

import carnyx as keras
from carnyx import layers


def build():
    return keras.Sequential(
        [keras.Input((1,)), layers.Dense(64, activation="tanh"), layers.Dense(1)]
    )


def sine(n, seed=0):
    x = np.random.default_rng(seed).uniform(-np.pi, np.pi, (n, 1)).astype("float32")
    return x, np.sin(x)


def train(model, optimizer, x, y, steps):
    """`steps` updates on the whole of x, y, compiled as one program."""
    optimizer.build(model.trainable_variables)

    def objective(weights, buffers):
        y_pred, buffers = model.stateless_call(weights, buffers, x, training=True)
        return jnp.mean((y_pred - y) ** 2), buffers

    def step(state, _):
        weights, buffers, slots = state
        (loss, buffers), gradients = jax.value_and_grad(objective, has_aux=True)(
            weights, buffers
        )
        weights, slots = optimizer.stateless_apply(slots, gradients, weights)
        return (weights, buffers, slots), loss

    def values(variables):
        return [v.value for v in variables]

    state = (
        values(model.trainable_variables),
        values(model.non_trainable_variables),
        values(optimizer.variables),
    )
    state, losses = jax.jit(lambda s: jax.lax.scan(step, s, length=steps))(state)
    for variable, value in zip(model.trainable_variables, state[0]):
        variable.assign(value)
    return losses


def main(steps=2000, points=256):
    keras.utils.set_random_seed(0)
    model = build()
    losses = train(model, keras.optimizers.Adam(0.01), *sine(points), steps)
    x, y = sine(points, seed=1)
    error = float(np.abs(model.predict(x, verbose=0) - y).max())
    print(f"loss {losses[0]:.4f} -> {losses[-1]:.6f}; largest error {error:.3f}")
    return error


if __name__ == "__main__":
    main()
