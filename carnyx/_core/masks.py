"""Masks travel beside tensors, by identity, for as long as the tensor lives."""

from __future__ import annotations

import weakref
from typing import Any

from carnyx.typing import Tensor

_masks: dict[int, tuple[weakref.ref[Any], Any]] = {}


def set_mask(x: object, mask: Tensor) -> None:
    """Say which steps of `x` count; None removes the mask.

    Shapes: `mask` is boolean, the leading axes of `x`.
    """
    key = id(x)
    if mask is None:
        _masks.pop(key, None)
    else:
        forget = _masks.pop  # bound here: at exit the module's names go first
        _masks[key] = (weakref.ref(x, lambda _: forget(key, None)), mask)


def get_mask(x: object) -> Any:
    """The mask of `x`, or None."""
    entry = _masks.get(id(x))
    return entry[1] if entry is not None and entry[0]() is x else None
