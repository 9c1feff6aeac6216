"""`keras.ops.numpy`: the functions of NumPy on arrays and symbolic tensors."""

from carnyx.ops import (
    _contraction,
    _creation,
    _elementwise,
    _indexing,
    _reductions,
    _shaping,
)
from carnyx.ops._contraction import *  # noqa: F403
from carnyx.ops._creation import *  # noqa: F403
from carnyx.ops._elementwise import *  # noqa: F403
from carnyx.ops._indexing import *  # noqa: F403
from carnyx.ops._reductions import *  # noqa: F403
from carnyx.ops._shaping import *  # noqa: F403

# A list of lists: with `+=` pyright loses the names, depending on the order of files.
__all__ = [
    *_contraction.__all__,
    *_creation.__all__,
    *_elementwise.__all__,
    *_indexing.__all__,
    *_reductions.__all__,
    *_shaping.__all__,
]
