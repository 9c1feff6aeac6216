"""Texts as bytes, the form in which they are hashed, split and looked up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from carnyx.errors import ArgumentTypeError
from carnyx.layers.input_spec import label
from carnyx.typing import ArrayLike

_END = "\x00"


def is_text(array: np.ndarray) -> bool:
    """Whether an array holds texts."""
    if array.dtype.kind == "O":
        return bool(array.size) and isinstance(array.flat[0], str | bytes)
    return array.dtype.kind in "SUT"


def need_text(array: np.ndarray, layer: Any) -> None:
    """Refuse numbers where texts are looked at.

    Raises:
        ArgumentTypeError: which says how they become texts.
    """
    if array.size and not is_text(array):
        raise ArgumentTypeError(
            f"{label(layer)} got an array of {array.dtype}; expected texts. "
            "x.astype(str) makes them of numbers, and IntegerLookup numbers integers."
        )


def as_bytes(texts: ArrayLike, encoding: str = "utf-8") -> list[bytes]:
    """Texts of an array, of any shape, or a list, flat.

    >>> as_bytes(["å", b"b"])
    [b'\\xc3\\xa5', b'b']
    """
    flat = texts.ravel().tolist() if isinstance(texts, np.ndarray) else list(texts)
    try:
        joined = _END.join(flat)  # encoded at once, which is several times faster
    except TypeError:  # bytes among them
        return [_encoded(t, encoding) for t in flat]
    parts = joined.encode(encoding).split(_END.encode(encoding)) if flat else []
    if len(parts) == len(flat):
        return parts
    return [t.encode(encoding) for t in flat]  # some have that character inside


def _encoded(text: Any, encoding: str) -> bytes:
    if isinstance(text, bytes):
        return text
    return str(text).encode(encoding)


def number_texts(numbers: np.ndarray) -> list[bytes]:
    """Integers in decimal digits."""
    return as_bytes(list(map(str, numbers.ravel().tolist())))


def as_text(values: Iterable[Any], encoding: str = "utf-8") -> list[str]:
    """Texts of bytes; what is no bytes is taken as text."""
    return [
        v.decode(encoding, "replace") if isinstance(v, bytes) else str(v)
        for v in values
    ]
