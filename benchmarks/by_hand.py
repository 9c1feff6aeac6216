"""The same steps in plain JAX: parameters in lists, one jitted function, a loop.

With everything that was found to be faster on a CPU, gradients by hand included: it is
what Carnyx is measured against, not what one would write first.
"""

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


def _bits(key: Any, shape: tuple[int, ...]) -> Any:
    """Threefry unrolled: on a CPU `jax.random` makes it a loop, four times as slow."""
    keys = key[0], key[1], key[0] ^ key[1] ^ np.uint32(0x1BD11BDA)
    a = jnp.broadcast_to(keys[0], shape)
    b = lax.iota("uint32", a.size).reshape(shape) + keys[1]
    for i in range(5):
        for r in ((13, 15, 26, 6), (17, 29, 16, 24))[i % 2]:
            a = a + b
            b = a ^ (b << np.uint32(r) | b >> np.uint32(32 - r))
        a, b = a + keys[(i + 1) % 3], b + keys[(i + 2) % 3] + np.uint32(i + 1)
    return a ^ b


def _dropout(key: Any, x: Any, rate: float) -> Any:
    kept = _bits(key, x.shape) < np.uint32((1 - rate) * 2**32)
    return jnp.where(lax.optimization_barrier(kept), x / (1 - rate), 0)


@jax.custom_vjp
def _tall(x: Any, w: Any) -> Any:
    """x @ w for a w of many more rows than columns."""
    return x @ w


_tall.defvjp(
    lambda x, w: (x @ w, (x, w)),
    lambda r, g: (g @ r[1].T, lax.optimization_barrier(g.T @ r[0]).T),
)


def _sparse_loss(logits: Any, y: Any) -> Any:
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1)
    return -jnp.mean(picked)


def tiny(rng: Any) -> tuple[Params, Callable[..., Any]]:
    params = [_dense(rng, 20, 64), jnp.zeros(64), _dense(rng, 64, 10), jnp.zeros(10)]

    def loss(p: Params, x: Any, y: Any, key: Any) -> Any:
        return _sparse_loss(_tall(jax.nn.relu(x @ p[0] + p[1]), p[2]) + p[3], y)

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
        return _sparse_loss(_tall(x, p[4]) + p[5], y)

    return params, loss


def _lax_conv(x: Any, kernel: Any) -> Any:
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=numbers
    )


def _convolve_back(saved: Any, g: Any) -> Any:
    """The kernel's gradient over eight images at a time."""
    x, kernel = saved
    (dx,) = jax.linear_transpose(lambda x: _lax_conv(x, kernel), x)(g)
    dk: Any = 0
    for i in range(0, len(x), 8):
        some = x[i : i + 8]
        pull = jax.linear_transpose(lambda k, s=some: _lax_conv(s, k), kernel)
        dk = dk + pull(g[i : i + 8])[0]
    return dx, dk


_convolve = jax.custom_vjp(_lax_conv)
_convolve.defvjp(lambda x, k: (_lax_conv(x, k), (x, k)), _convolve_back)


def _pool_forward(x: Any) -> Any:
    best, winner = x[:, ::2, ::2], jnp.uint8(0)
    for place in (1, 2, 3):
        new = x[:, place // 2 :: 2, place % 2 :: 2]
        winner = jnp.where(new > best, jnp.uint8(place), winner)
        best = jnp.maximum(new, best)
    return best, winner


def _pool_back(winner: Any, g: Any) -> Any:
    b, h, w, c = g.shape
    place = jnp.arange(4, dtype="uint8").reshape(2, 1, 2, 1)
    won = winner[:, :, None, :, None] == place
    return (jnp.where(won, g[:, :, None, :, None], 0).reshape(b, 2 * h, 2 * w, c),)


_pool = jax.custom_vjp(lambda x: _pool_forward(x)[0])
_pool.defvjp(_pool_forward, _pool_back)


def convnet(rng: Any) -> tuple[Params, Callable[..., Any]]:
    params = [
        _dense(rng, 3, 3, 1, 32) * 0.3, jnp.zeros(32),
        _dense(rng, 3, 3, 32, 64) * 0.3, jnp.zeros(64),
        _dense(rng, 9216, 128), jnp.zeros(128), _dense(rng, 128, 10), jnp.zeros(10),
    ]  # fmt: skip

    def loss(p: Params, x: Any, y: Any, key: Any) -> Any:
        first, second = jax.random.split(key)
        x = jax.nn.relu(_convolve(x, p[0]) + p[1])
        x = jax.nn.relu(_convolve(x, p[2]) + p[3])
        x = _dropout(first, _pool(x), 0.25).reshape(len(x), -1)
        x = _dropout(second, jax.nn.relu(_tall(x, p[4]) + p[5]), 0.5)
        return _sparse_loss(_tall(x, p[6]) + p[7], y)

    return params, loss


def _lstm_forward(x: Any, w: Any, u: Any, b: Any) -> Any:
    def step(carry: Any, x: Any) -> Any:
        h, c = carry
        i, f, g, o = jnp.split(x @ w + h @ u + b, 4, -1)
        i, f, g, o = (
            jax.nn.sigmoid(i),
            jax.nn.sigmoid(f),
            jnp.tanh(g),
            jax.nn.sigmoid(o),
        )
        new = f * c + i * g
        return (o * jnp.tanh(new), new), (h, c, new, i, f, g, o)

    zeros = jnp.zeros((x.shape[1], u.shape[0]))
    (h, _), kept = lax.scan(step, (zeros, zeros), x)
    return h, (x, w, u, kept)


def _lstm_back(saved: Any, dh: Any) -> Any:
    """Back through the gates; the weights' gradients in one product after the scan."""
    x, w, u, kept = saved

    def step(carry: Any, kept: Any) -> Any:
        dh, dc = carry
        _, c, new, i, f, g, o = kept
        t = jnp.tanh(new)
        dc = dc + dh * o * (1 - t * t)
        dz = (dc * g * i * (1 - i), dc * c * f * (1 - f))
        dz += (dc * i * (1 - g * g), dh * t * o * (1 - o))
        dz = jnp.concatenate(dz, -1)
        return (dz @ u.T, dc * f), dz

    _, dz = lax.scan(step, (dh, jnp.zeros_like(dh)), kept, reverse=True)
    flat = lambda a: a.reshape(-1, a.shape[-1])  # noqa: E731
    dw, du = flat(x).T @ flat(dz), flat(kept[0]).T @ flat(dz)
    return (flat(dz) @ w.T).reshape(x.shape), dw, du, flat(dz).sum(0)


_lstm = jax.custom_vjp(lambda *a: _lstm_forward(*a)[0])
_lstm.defvjp(_lstm_forward, _lstm_back)


def lstm(rng: Any) -> tuple[Params, Callable[..., Any]]:
    params = [
        _dense(rng, 5000, 128), _dense(rng, 128, 512), _dense(rng, 128, 512),
        jnp.zeros(512), _dense(rng, 128, 1), jnp.zeros(1),
    ]  # fmt: skip

    def loss(p: Params, tokens: Any, y: Any, key: Any) -> Any:
        x = jnp.swapaxes(p[0][tokens], 0, 1)
        z = _tall(_lstm(x, *p[1:4]), p[4]) + p[5]
        return jnp.mean(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z))))

    return params, loss


def _attend_forward(q: Any, k: Any, v: Any) -> Any:
    q, k, v = (jnp.swapaxes(a, 1, 2) for a in (q, k, v))
    weights = jax.nn.softmax(jnp.einsum("bnth,bnsh->bnts", q, k) / 8)
    out = jnp.swapaxes(jnp.einsum("bnts,bnsh->bnth", weights, v), 1, 2)
    return out, (q, k, v, weights, out)


def _attend_back(saved: Any, g: Any) -> Any:
    q, k, v, weights, out = saved
    total = jnp.swapaxes((g * out).sum(-1, keepdims=True), 1, 2)
    g = jnp.swapaxes(g, 1, 2)
    ds = weights * (jnp.einsum("bnth,bnsh->bnts", g, v) - total) / 8
    back = (
        jnp.einsum("bnts,bnsh->bnth", ds, k),
        jnp.einsum("bnts,bnth->bnsh", ds, q),
        jnp.einsum("bnts,bnth->bnsh", weights, g),
    )
    return tuple(jnp.swapaxes(a, 1, 2) for a in back)


_attend = jax.custom_vjp(lambda *a: _attend_forward(*a)[0])
_attend.defvjp(_attend_forward, _attend_back)


def _phi(x: Any) -> Any:
    return 0.5 * (1 + lax.erf(x * np.float32(0.5**0.5)))


def _gelu_back(x: Any, g: Any) -> Any:
    x = lax.optimization_barrier(x)
    density = jnp.exp(-0.5 * x * x) * np.float32((0.5 / np.pi) ** 0.5)
    return (g * (_phi(x) + x * density),)


_gelu = jax.custom_vjp(lambda x: x * _phi(x))
_gelu.defvjp(lambda x: (x * _phi(x), x), _gelu_back)


def _norm_forward(x: Any, scale: Any) -> Any:
    x = x - x.mean(-1, keepdims=True)
    factor = lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-3)
    x = x * factor
    return x * scale, (x, factor, scale)


def _norm_back(saved: Any, g: Any) -> Any:
    x, factor, scale = lax.optimization_barrier(saved)
    dscale, g = (g * x).sum(0), g * scale
    along = (g * x).mean(-1, keepdims=True)
    return factor * (g - g.mean(-1, keepdims=True) - x * along), dscale


_norm = jax.custom_vjp(lambda x, scale: _norm_forward(x, scale)[0])
_norm.defvjp(_norm_forward, _norm_back)


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

    def loss(p: Params, x: Any, y: Any, key: Any) -> Any:
        b, t, d = x.shape
        x = x.reshape(b * t, d)  # products on two axes are faster than on three
        for i in range(4):
            s1, b1, wq, wk, wv, wo, bq, bk, bv, bo, s2, b2, w1, c1, w2, c2 = p[
                16 * i : 16 * i + 16
            ]
            h = _norm(x, s1) + b1
            q, k, v = (
                (h @ w + c).reshape(b, t, 4, 64)
                for w, c in ((wq, bq), (wk, bk), (wv, bv))
            )
            x = x + _attend(q, k, v).reshape(b * t, d) @ wo + bo
            h = _norm(x, s2) + b2
            x = x + _tall(_gelu(h @ w1 + c1), w2) + c2
        return _sparse_loss(_tall(x.reshape(b, t, d).mean(1), p[-2]) + p[-1], y)

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
