"""`keras.ops.nn`: what neural networks are made of."""

from carnyx.ops import (
    _activations,
    _attention,
    _convolution,
    _crossentropy,
    _ctc,
    _normalization,
    _patches,
    _pooling,
)
from carnyx.ops._activations import *  # noqa: F403
from carnyx.ops._attention import *  # noqa: F403
from carnyx.ops._convolution import *  # noqa: F403
from carnyx.ops._crossentropy import *  # noqa: F403
from carnyx.ops._ctc import *  # noqa: F403
from carnyx.ops._normalization import *  # noqa: F403
from carnyx.ops._patches import *  # noqa: F403
from carnyx.ops._pooling import *  # noqa: F403
from carnyx.ops._signal import polar as polar

__all__ = [
    *_activations.__all__,
    *_attention.__all__,
    *_convolution.__all__,
    *_crossentropy.__all__,
    *_ctc.__all__,
    *_normalization.__all__,
    *_patches.__all__,
    *_pooling.__all__,
    "polar",
]
