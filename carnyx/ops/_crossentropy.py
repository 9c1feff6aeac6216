"""Cross-entropies, from logits or probabilities, and labels as vectors."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from carnyx import config
from carnyx._core.memory import ensure_room
from carnyx._core.op import op
from carnyx._core.scope import is_tracer
from carnyx.errors import ArgumentError, ShapeError
from carnyx.ops._dtypes import given_dtype, tensor, to_float, to_floats
from carnyx.ops._safe import divisor
from carnyx.typing import DTypeLike, Tensor

# fmt: off
__all__ = [
    "binary_crossentropy", "categorical_crossentropy", "multi_hot", "one_hot", "psnr",
    "sparse_categorical_crossentropy",
]
# fmt: on


def _same_shape(name: str, target: jax.Array, output: jax.Array) -> None:
    if target.shape != output.shape:
        raise ShapeError(
            f"{name} got target {target.shape} and output {output.shape}; expected the "
            "same shape."
        )


def _log_probabilities(output: jax.Array, from_logits: bool, axis: int) -> jax.Array:
    if from_logits:
        return jax.nn.log_softmax(output, axis)
    return jnp.log(_clipped(output / divisor(output.sum(axis, keepdims=True))))


def _clipped(p: jax.Array) -> jax.Array:
    return jnp.clip(p, config.epsilon(), 1 - config.epsilon())


@op
def categorical_crossentropy(
    target: Tensor, output: Tensor, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """-sum(target · log p), p being `output` normalised, or softmax of logits.

    Shapes: (…, classes), (…, classes) -> (…,)
    """
    target, output = to_floats(target, output)
    _same_shape("categorical_crossentropy", target, output)
    if output.ndim < 1:
        raise ShapeError("categorical_crossentropy got numbers; expected rank >= 1.")
    return -jnp.sum(target * _log_probabilities(output, from_logits, axis), axis)


@op
def sparse_categorical_crossentropy(
    target: Tensor, output: Tensor, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """-log p[target], p being `output` normalised, or softmax of logits.

    A target outside the classes has loss 0.

    Shapes: (…) or (…, 1), (…, classes) -> (…,)

    >>> sparse_categorical_crossentropy([1], [[0.5, 0.5]]).round(4).tolist()
    [0.6930999755859375]
    """
    target, output = tensor(target).astype("int32"), to_float(output)
    if output.ndim < 1:
        raise ShapeError("sparse_categorical_crossentropy got a number; expected (…).")
    if target.ndim == output.ndim and target.shape[-1] == 1:
        target = target.squeeze(-1)
    axis %= output.ndim
    expected = output.shape[:axis] + output.shape[axis + 1 :]
    if target.shape != expected:
        raise ShapeError(
            f"sparse_categorical_crossentropy got target {target.shape}; expected "
            f"{expected}, that of the output {output.shape} without its classes."
        )
    # A choice by index that XLA fuses; indexing would make the gradient a scatter.
    chosen = jax.nn.one_hot(target, output.shape[axis], dtype=bool, axis=axis)
    log_p = _log_probabilities(output, from_logits, axis)
    return -jnp.sum(jnp.where(chosen, log_p, 0), axis)


@op
def binary_crossentropy(
    target: Tensor, output: Tensor, from_logits: bool = False
) -> Tensor:
    """-target log p - (1 - target) log(1 - p), elementwise; p = sigmoid(output) of logits."""  # noqa: E501
    target, output = to_floats(target, output)
    _same_shape("binary_crossentropy", target, output)
    if from_logits:
        yes, no = jax.nn.log_sigmoid(output), jax.nn.log_sigmoid(-output)
    else:
        p = _clipped(output)
        yes, no = jnp.log(p), jnp.log(1 - p)
    return -target * yes - (1 - target) * no


def _dense_only(name: str, sparse: bool | None) -> None:
    if sparse:
        raise ArgumentError(f"{name} got sparse=True; Carnyx has dense tensors only.")


@op
def one_hot(
    x: Tensor,
    num_classes: int,
    axis: int = -1,
    dtype: DTypeLike = None,
    sparse: bool = False,
) -> Tensor:
    """1 at the place of each label along a new axis; zeros for one out of range.

    >>> one_hot([0, 2], 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    _dense_only("one_hot", sparse)
    dtype = given_dtype(dtype) or config.floatx()
    labels = tensor(x)
    if not is_tracer(labels):  # a program may never make them
        ensure_room((*labels.shape, num_classes), dtype, "One-hot rows")
    return jax.nn.one_hot(labels, num_classes, dtype=dtype, axis=axis)


@op
def multi_hot(
    inputs: Tensor,
    num_classes: int | None = None,
    axis: int = -1,
    dtype: DTypeLike = None,
    sparse: bool = False,
    **kwargs: int,
) -> Tensor:
    """1 at the place of every label of a sample.

    Shapes: (labels,) -> (classes,); (batch, labels, …) -> (batch, …, classes)
    """
    num_classes = kwargs.pop("num_tokens", num_classes)
    if num_classes is None or kwargs:
        raise ArgumentError(
            f"multi_hot got num_classes={num_classes} and {sorted(kwargs)}; expected "
            "num_classes and nothing unknown."
        )
    _dense_only("multi_hot", sparse)
    labels = tensor(inputs).astype("int32")
    each = one_hot(labels, num_classes, axis, dtype)
    return each.max(1 if labels.ndim > 1 else 0)


@op
def psnr(x1: Tensor, x2: Tensor, max_val: float) -> Tensor:
    """Peak signal-to-noise ratio, 20 log10(max_val) - 10 log10(mean((x1 - x2)²))."""
    x1, x2 = tensor(x1), tensor(x2)
    if x1.shape != x2.shape:
        raise ShapeError(f"psnr got shapes {x1.shape} and {x2.shape}; expected one.")
    peak = jnp.asarray(max_val, x2.dtype)
    error = jnp.square(x1 - x2).mean()
    equal = error == 0  # infinite, and nothing to be gained: its gradient is 0
    noise = jnp.where(equal, -jnp.inf, jnp.log10(jnp.where(equal, 1, error)))
    return 20 * jnp.log10(peak) - 10 * noise
