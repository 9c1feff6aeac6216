"""`keras.ops`: functions of arrays and of symbolic tensors.

Each is a plain function on arrays; a `KerasTensor` it records in the graph instead.
"""

from carnyx.ops import core, linalg, math, nn, numpy
from carnyx.ops import image as image
from carnyx.ops.core import *  # noqa: F403
from carnyx.ops.linalg import *  # noqa: F403
from carnyx.ops.math import *  # noqa: F403
from carnyx.ops.nn import *  # noqa: F403
from carnyx.ops.numpy import *  # noqa: F403

__all__: list[str] = []
__all__ += core.__all__
__all__ += linalg.__all__
__all__ += math.__all__
__all__ += nn.__all__
__all__ += numpy.__all__
