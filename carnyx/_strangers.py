"""Layers, losses and optimizers of other packages, where ours are expected.

A script that was moved by `import carnyx as keras` may still say `from keras import
layers` somewhere. What comes from there looks right and computes with arrays of JAX,
but its weights are neither found nor trained.
"""

from __future__ import annotations

import sys
from typing import Any

_OTHER_KERAS = ("keras", "tf_keras", "tensorflow")


def _package(value: Any) -> str:
    kind = value if isinstance(value, type) else type(value)
    return kind.__module__.partition(".")[0]


def stranger(value: Any) -> str:
    """A sentence on where a value of another package comes from, or nothing.

    >>> stranger(3)
    ''
    """
    package = _package(value)
    if package in _OTHER_KERAS:
        return (
            f" It is of the package {package!r}: import that of the same name from "
            "carnyx, everywhere in the program."
        )
    if package == "torch":
        return " It is of PyTorch, whose modules compute with tensors of their own."
    return ""


def has_weights_of_its_own(value: Any) -> bool:
    """Whether it is a layer or module of another package."""
    if _package(value) not in (*_OTHER_KERAS, "torch"):
        return False
    return hasattr(value, "trainable_variables") or hasattr(value, "named_parameters")


def is_symbol_elsewhere(value: Any) -> bool:
    """Whether it is a symbolic tensor of another Keras."""
    return type(value).__name__ == "KerasTensor" and _package(value) in _OTHER_KERAS


def asked_by_another_keras() -> bool:
    """Whether a function of another Keras is among those that are running now."""
    frame = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] in _OTHER_KERAS:
            return True
        frame = frame.f_back
    return False
