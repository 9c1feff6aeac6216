"""Samples of distributions.

`seed` is None (the global generator), an integer (the same numbers at every call), or a
`SeedGenerator`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import jax
import jax.numpy as jnp

from carnyx import config
from carnyx._core.memory import ensure_room
from carnyx._core.op import op
from carnyx._core.seed import SeedLike, draw_seed
from carnyx._numbers import integer, is_plain
from carnyx.config import standardize_dtype
from carnyx.errors import ArgumentError, ShapeError
from carnyx.random._bits import bernoulli
from carnyx.typing import DTypeLike, Tensor

Sizes = Sequence[int] | int


def _in_order(name: str, least: Any, most: Any, may_meet: bool = True) -> None:
    """Refuse a range that holds nothing; of what is traced the caller knows."""
    if not (is_plain(least) and is_plain(most)):
        return
    if not (least <= most if may_meet else least < most):
        words = "the first not to be greater" if may_meet else "the first to be less"
        raise ArgumentError(
            f"{name} got minval={least} and maxval={most}; expected {words}."
        )


def _check_number(what: str, value: Any, least: float = 0, most: float = inf) -> None:
    """Refuse a plain number outside of a range; arrays are the caller's."""
    if is_plain(value) and not least <= value <= most:
        words = f"at least {least}" if most == inf else f"from {least} to {most}"
        raise ArgumentError(f"{what} got {value}; expected a number {words}.")


def _sizes(shape: Sizes) -> tuple[int, ...]:
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(isinstance(n, float) or n < 0 for n in sizes):
        raise ArgumentError(f"Got shape={sizes}; expected integers of at least 0.")
    ensure_room(sizes, "float32", "An array of random numbers")
    return sizes


def _dtype(dtype: DTypeLike) -> str:
    return config.floatx() if dtype is None else standardize_dtype(dtype)


@op
def normal(
    shape: Sizes, mean: float = 0.0, stddev: float = 1.0, dtype: DTypeLike = None,
    seed: SeedLike | None = None,
) -> Tensor:  # fmt: skip
    """Normal numbers.

    >>> bool((normal((2,), seed=1) == normal((2,), seed=1)).all())
    True
    """
    _check_number("normal: stddev", stddev)
    sample = jax.random.normal(draw_seed(seed), _sizes(shape), _dtype(dtype))
    return sample * stddev + mean


@op
def truncated_normal(
    shape: Sizes, mean: float = 0.0, stddev: float = 1.0, dtype: DTypeLike = None,
    seed: SeedLike | None = None,
) -> Tensor:  # fmt: skip
    """Normal numbers, those beyond two standard deviations drawn again."""
    _check_number("truncated_normal: stddev", stddev)
    key, dtype = draw_seed(seed), _dtype(dtype)
    sample = jax.random.truncated_normal(key, -2.0, 2.0, _sizes(shape), dtype)
    return sample * stddev + mean


@op
def uniform(
    shape: Sizes, minval: float = 0.0, maxval: float = 1.0, dtype: DTypeLike = None,
    seed: SeedLike | None = None,
) -> Tensor:  # fmt: skip
    """Numbers from `minval` up to, without, `maxval`."""
    key, dtype = draw_seed(seed), _dtype(dtype)
    if "float" not in dtype:
        raise ArgumentError(f"uniform got dtype={dtype!r}; for integers use randint.")
    _in_order("uniform", minval, maxval)
    return jax.random.uniform(key, _sizes(shape), dtype, minval, maxval)


@op
def randint(
    shape: Sizes, minval: int, maxval: int, dtype: DTypeLike = "int32",
    seed: SeedLike | None = None,
) -> Tensor:  # fmt: skip
    """Integers from `minval` up to, without, `maxval`."""
    dtype = standardize_dtype(dtype)
    if "int" not in dtype:
        raise ArgumentError(f"randint got dtype={dtype!r}; expected an integer dtype.")
    _in_order("randint", minval, maxval, may_meet=False)
    return jax.random.randint(draw_seed(seed), _sizes(shape), minval, maxval, dtype)


@op
def categorical(
    logits: Tensor,
    num_samples: int,
    dtype: DTypeLike = "int32",
    seed: SeedLike | None = None,
) -> Tensor:
    """Classes with probabilities softmax(logits).

    Shapes: (b, classes) -> (b, num_samples)
    """
    logits = jnp.asarray(logits)
    if logits.ndim != 2:
        raise ShapeError(
            f"categorical got logits of shape {logits.shape}; expected (batch, "
            "classes)."
        )
    integer(num_samples, "categorical: num_samples", 0)
    shape = (logits.shape[0], num_samples)
    sample = jax.random.categorical(draw_seed(seed), logits[..., None], 1, shape)
    return sample.astype(standardize_dtype(dtype))


@op
def dropout(
    inputs: Tensor, rate: float, noise_shape: Sequence[int | None] | None = None,
    seed: SeedLike | None = None,
) -> Tensor:  # fmt: skip
    """Zeros at `rate` of the places, the others divided by 1 - rate.

    Args:
        noise_shape: 1 where places are kept or dropped together; None: size of inputs.

    References: Srivastava et al. 2014, JMLR 15(56)
    """
    x = jnp.asarray(inputs)
    if not 0 <= rate <= 1:
        raise ArgumentError(f"dropout got rate={rate}; expected one from 0 to 1.")
    if rate == 0:
        return x
    if rate == 1:
        return jnp.zeros_like(x)
    shape = x.shape
    if noise_shape is not None:
        shape = [x.shape[i] if n is None else n for i, n in enumerate(noise_shape)]
    kept = bernoulli(draw_seed(seed), 1 - rate, shape)
    return jnp.where(kept, x / (1 - rate), 0)


@op
def shuffle(x: Tensor, axis: int = 0, seed: SeedLike | None = None) -> Tensor:
    """The elements along `axis` in random order, each row of them in its own."""
    key = draw_seed(seed)
    return jax.random.permutation(key, jnp.asarray(x), axis, independent=True)


@op
def gamma(
    shape: Sizes, alpha: Tensor, dtype: DTypeLike = None, seed: SeedLike | None = None
) -> Tensor:
    """Gamma numbers of shape parameter `alpha` and scale 1."""
    _check_number("gamma: alpha", alpha)
    return jax.random.gamma(draw_seed(seed), alpha, _sizes(shape), _dtype(dtype))


@op
def beta(
    shape: Sizes, alpha: Tensor, beta: Tensor, dtype: DTypeLike = None,
    seed: SeedLike | None = None,
) -> Tensor:  # fmt: skip
    """Numbers of (0, 1), of density x^(alpha - 1) (1 - x)^(beta - 1), normalised."""
    _check_number("beta: alpha", alpha)
    _check_number("beta: beta", beta)
    a, b = jnp.asarray(alpha), jnp.asarray(beta)
    return jax.random.beta(draw_seed(seed), a, b, _sizes(shape), _dtype(dtype))


@op
def binomial(
    shape: Sizes, counts: Tensor, probabilities: Tensor, dtype: DTypeLike = None,
    seed: SeedLike | None = None,
) -> Tensor:  # fmt: skip
    """How many of `counts` trials succeed, each with its probability."""
    _check_number("binomial: counts", counts)
    _check_number("binomial: probabilities", probabilities, most=1)
    n, p = jnp.asarray(counts), jnp.asarray(probabilities)
    return jax.random.binomial(draw_seed(seed), n, p, _sizes(shape), _dtype(dtype))
