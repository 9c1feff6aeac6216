"""What all loss functions share: tensors that fit together, names in configs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from carnyx import ops, registry
from carnyx._core import masks
from carnyx.losses.shapes import check_alike, squeeze_or_expand_to_same_rank
from carnyx.typing import Tensor

F = TypeVar("F", bound=Callable[..., Any])
# In these 1 - epsilon is 1 and 1 / epsilon infinite: losses compute in 32 bits.
_SHORT = ("float16", "bfloat16")


def _shortened(values: Tensor, dtype: str) -> Tensor:
    short = ops.cast(values, dtype)
    masks.set_mask(short, masks.get_mask(values))
    return short


def loss(*aliases: str, labels: bool = False) -> Callable[[F], F]:
    """Decorator of loss functions: they get tensors that fit together.

    `y_true` takes the dtype of `y_pred` and its rank, where they differ by a last axis
    of size 1.

    Args:
        aliases: further names in configs.
        labels: `y_true` holds class numbers, which stay as they are.
    """

    def decorate(fn: F) -> F:
        @functools.wraps(fn)
        def call(y_true: Any, y_pred: Any, *args: Any, **kwargs: Any) -> Tensor:
            y_pred = ops.convert_to_tensor(y_pred)
            y_true = ops.convert_to_tensor(y_true)
            dtype = str(y_pred.dtype)
            if dtype in _SHORT:
                y_pred = ops.cast(y_pred, "float32")
            if not labels:
                y_true = ops.cast(y_true, y_pred.dtype)
                y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
                check_alike(y_true, y_pred, fn.__name__)
            values = fn(y_true, y_pred, *args, **kwargs)
            return _shortened(values, dtype) if dtype in _SHORT else values

        call.takes_labels = labels  # type: ignore[attr-defined]
        for name in (fn.__name__, *aliases):
            registry.add_builtin(call, "losses", name)
        return call  # type: ignore[return-value]

    return decorate
