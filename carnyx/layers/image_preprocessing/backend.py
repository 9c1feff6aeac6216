"""`self.backend` of layers that were written for Keras: the ops, by their modules."""

from __future__ import annotations

from carnyx import random as random
from carnyx.ops import cast as cast
from carnyx.ops import convert_to_tensor as convert_to_tensor
from carnyx.ops import core as core
from carnyx.ops import image as image
from carnyx.ops import is_tensor as is_tensor
from carnyx.ops import linalg as linalg
from carnyx.ops import math as math
from carnyx.ops import nn as nn
from carnyx.ops import numpy as numpy
from carnyx.ops import shape as shape

name = _backend = "jax"


def set_backend(backend: str) -> None:
    """There is one."""


def reset() -> None:
    """There is one."""
