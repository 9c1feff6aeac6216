"""`keras.quantizers`: numbers of few bits in the place of floats, and back."""

from carnyx.quantizers.base import AbsMaxQuantizer as AbsMaxQuantizer
from carnyx.quantizers.base import Quantizer as Quantizer
from carnyx.quantizers.base import deserialize as deserialize
from carnyx.quantizers.base import get as get
from carnyx.quantizers.base import serialize as serialize
from carnyx.quantizers.fake import (
    fake_quant_with_min_max_vars as fake_quant_with_min_max_vars,
)
from carnyx.quantizers.float8 import (
    compute_float8_amax_history as compute_float8_amax_history,
)
from carnyx.quantizers.float8 import compute_float8_scale as compute_float8_scale
from carnyx.quantizers.float8 import quantize_and_dequantize as quantize_and_dequantize
from carnyx.quantizers.integers import (
    abs_max_quantize,
    abs_max_quantize_grouped_with_zero_point,
    pack_int4,
    unpack_int4,
)

__all__ = [
    "AbsMaxQuantizer",
    "Quantizer",
    "abs_max_quantize",
    "abs_max_quantize_grouped_with_zero_point",
    "compute_float8_amax_history",
    "compute_float8_scale",
    "deserialize",
    "fake_quant_with_min_max_vars",
    "get",
    "pack_int4",
    "quantize_and_dequantize",
    "serialize",
    "unpack_int4",
]
