"""`keras.ops`: functions of arrays and of symbolic tensors.

Each is a plain function on arrays; given a `KerasTensor` it records itself in the graph.
"""

from carnyx.ops import numpy
from carnyx.ops.numpy import *  # noqa: F403

__all__ = [*numpy.__all__]
