"""The same steps in plain JAX: parameters in lists, one jitted function, a loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Params = list[Any]


def _dense(rng: Any, *shape: int) -> Any:
    limit = np.sqrt(6 / (shape[0] + shape[-1]))
    return jnp.asarray(rng.uniform(-limit, limit, shape).astype("float32"))


def _dropout(key: Any, x: Any, rate: float) -> Any:
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)


def _sparse_loss(logits: Any, y: Any) -> Any:
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1)
    return -jnp.mean(picked)


def tiny(rng: Any) -> tuple[Params, Callable[..., Any]]:
    params = [_dense(rng, 20, 64), jnp.zeros(64), _dense(rng, 64, 10), jnp.zeros(10)]

    def loss(p: Params, x: Any, y: Any, key: Any) -> Any:
        return _sparse_loss(jax.nn.relu(x @ p[0] + p[1]) @ p[2] + p[3], y)

    return params, loss


def mlp(rng: Any) -> tuple[Params, Callable[..., Any]]:
    sizes = [784, 512, 512, 10]
    params = []
    for a, b in zip(sizes, sizes[1:], strict=False):
        params += [_dense(rng, a, b), jnp.zeros(b)]

    def loss(p: Params, x: Any, y: Any, key: Any) -> Any:
        first, second = jax.random.split(key)
        x = _dropout(first, jax.nn.relu(x @ p[0] + p[1]), 0.2)
        x = _dropout(second, jax.nn.relu(x @ p[2] + p[3]), 0.2)
        return _sparse_loss(x @ p[4] + p[5], y)

    return params, loss


def convnet(rng: Any) -> tuple[Params, Callable[..., Any]]:
    params = [
        _dense(rng, 3, 3, 1, 32) * 0.3, jnp.zeros(32),
        _dense(rng, 3, 3, 32, 64) * 0.3, jnp.zeros(64),
        _dense(rng, 9216, 128), jnp.zeros(128), _dense(rng, 128, 10), jnp.zeros(10),
    ]  # fmt: skip

    def convolve(x: Any, kernel: Any) -> Any:
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=numbers
        )

    def pool(x: Any) -> Any:
        a = jnp.maximum(x[:, ::2, ::2], x[:, 1::2, ::2])
        b = jnp.maximum(x[:, ::2, 1::2], x[:, 1::2, 1::2])
        return jnp.maximum(a, b)

    def loss(p: Params, x: Any, y: Any, key: Any) -> Any:
        first, second = jax.random.split(key)
        x = jax.nn.relu(convolve(x, p[0]) + p[1])
        x = jax.nn.relu(convolve(x, p[2]) + p[3])
        x = _dropout(first, pool(x), 0.25).reshape(len(x), -1)
        x = _dropout(second, jax.nn.relu(x @ p[4] + p[5]), 0.5)
        return _sparse_loss(x @ p[6] + p[7], y)

    return params, loss


def lstm(rng: Any) -> tuple[Params, Callable[..., Any]]:
    params = [
        _dense(rng, 5000, 128), _dense(rng, 128, 512), _dense(rng, 128, 512),
        jnp.zeros(512), _dense(rng, 128, 1), jnp.zeros(1),
    ]  # fmt: skip

    def loss(p: Params, tokens: Any, y: Any, key: Any) -> Any:
        x = jnp.swapaxes(p[0][tokens], 0, 1)

        def step(carry: Any, x: Any) -> Any:
            h, c = carry
            i, f, g, o = jnp.split(x @ p[1] + h @ p[2] + p[3], 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), None

        zeros = jnp.zeros((tokens.shape[0], 128))
        (h, _), _ = lax.scan(step, (zeros, zeros), x)
        z = h @ p[4] + p[5]
        return jnp.mean(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z))))

    return params, loss


def transformer(rng: Any) -> tuple[Params, Callable[..., Any]]:
    params = []
    for _ in range(4):
        params += [jnp.ones(256), jnp.zeros(256)]
        params += [_dense(rng, 256, 256) for _ in range(4)]
        params += [jnp.zeros(256) for _ in range(4)]
        params += [jnp.ones(256), jnp.zeros(256)]
        params += [_dense(rng, 256, 1024), jnp.zeros(1024)]
        params += [_dense(rng, 1024, 256), jnp.zeros(256)]
    params += [_dense(rng, 256, 10), jnp.zeros(10)]

    def norm(x: Any, scale: Any, shift: Any) -> Any:
        mean = jnp.mean(x, -1, keepdims=True)
        variance = jnp.mean(jnp.square(x), -1, keepdims=True) - jnp.square(mean)
        return (x - mean) * (lax.rsqrt(variance + 1e-3) * scale) + shift

    def loss(p: Params, x: Any, y: Any, key: Any) -> Any:
        b, t, d = x.shape
        x = x.reshape(b * t, d)  # products on two axes are faster than on three
        for i in range(4):
            s1, b1, wq, wk, wv, wo, bq, bk, bv, bo, s2, b2, w1, c1, w2, c2 = p[
                16 * i : 16 * i + 16
            ]
            h = norm(x, s1, b1)
            q, k, v = (
                (h @ w + c).reshape(b, t, 4, 64)
                for w, c in ((wq, bq), (wk, bk), (wv, bv))
            )
            scores = jax.nn.softmax(jnp.einsum("bthd,bshd->bhts", q / 8, k))
            h = jnp.einsum("bhts,bshd->bthd", scores, v).reshape(b * t, d)
            x = x + h @ wo + bo
            h = norm(x, s2, b2)
            x = x + jax.nn.gelu(h @ w1 + c1, approximate=False) @ w2 + c2
        return _sparse_loss(x.reshape(b, t, d).mean(1) @ p[-2] + p[-1], y)

    return params, loss


def _adam(state: Any, grads: Params, t: Any) -> Any:
    params, (m, v) = state
    m = [a + 0.1 * (g - a) for a, g in zip(m, grads, strict=True)]
    v = [a + 0.001 * (g * g - a) for a, g in zip(v, grads, strict=True)]
    rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    params = [
        p - rate * a / (jnp.sqrt(b) + 1e-7)
        for p, a, b in zip(params, m, v, strict=True)
    ]
    return params, (m, v)


def _rmsprop(state: Any, grads: Params, t: Any) -> Any:
    params, (v,) = state
    v = [0.9 * a + 0.1 * g * g for a, g in zip(v, grads, strict=True)]
    params = [
        p - 1e-3 * g / jnp.sqrt(a + 1e-7)
        for p, g, a in zip(params, grads, v, strict=True)
    ]
    return params, (v,)


def training(name: str, x: np.ndarray, y: np.ndarray, batch: int) -> Callable[[], None]:
    """A training loop: call it for an epoch in a new order."""
    params, loss = globals()[name](np.random.default_rng(0))
    update, slots = (_rmsprop, 1) if name == "mlp" else (_adam, 2)
    zeros = [[jnp.zeros_like(p) for p in params] for _ in range(slots)]
    state = (params, tuple(zeros)), jnp.zeros((), "int32"), jnp.zeros((), "float32")

    def step(state: Any, x: Any, y: Any) -> Any:
        held, t, total = state
        key = jax.random.fold_in(jax.random.PRNGKey(0), t)
        value, grads = jax.value_and_grad(loss)(held[0], x, y, key)
        return update(held, grads, t + 1), t + 1, total + value

    run, rng = jax.jit(step, donate_argnums=0), np.random.default_rng(1)

    def many(state: Any, batches: Any) -> Any:
        return lax.scan(lambda s, b: (step(s, *b), None), state, batches)[0]

    fused = jax.jit(many, donate_argnums=0)

    def epoch() -> None:
        nonlocal state
        order = rng.permutation(len(x)).reshape(-1, batch)
        if name == "tiny":  # all that dispatch costs is saved by one program an epoch
            state = fused(state, (x[order], y[order]))
        else:
            for rows in order:
                state = run(state, x[rows], y[rows])
        jax.block_until_ready(state)

    return epoch
