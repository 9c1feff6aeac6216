"""`keras.ops`: functions of arrays and of symbolic tensors.

Each is a plain function on arrays; a `KerasTensor` it records in the graph instead.
"""

from carnyx.ops import numpy
from carnyx.ops.numpy import *  # noqa: F403

__all__: list[str] = []
__all__ += numpy.__all__
