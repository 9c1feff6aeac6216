"""`keras.backend`: the settings and helpers that Keras 3 keeps there."""

from carnyx._core.naming import clear_session as clear_session
from carnyx._core.naming import get_uid as get_uid
from carnyx._core.symbol import is_keras_tensor as is_keras_tensor
from carnyx.config import backend as backend
from carnyx.config import epsilon as epsilon
from carnyx.config import floatx as floatx
from carnyx.config import image_data_format as image_data_format
from carnyx.config import set_epsilon as set_epsilon
from carnyx.config import set_floatx as set_floatx
from carnyx.config import set_image_data_format as set_image_data_format
from carnyx.dtype_policies import is_float as is_float_dtype
from carnyx.dtype_policies import is_integer as is_int_dtype
from carnyx.dtype_policies import standardize_dtype as standardize_dtype
from carnyx.ops._dtypes import result_type as result_type

__all__ = [
    "backend",
    "clear_session",
    "epsilon",
    "floatx",
    "get_uid",
    "image_data_format",
    "is_float_dtype",
    "is_int_dtype",
    "is_keras_tensor",
    "result_type",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "standardize_dtype",
]
