"""`keras.utils`: helpers around models and data."""

from carnyx._core.graph import source_inputs as get_source_inputs
from carnyx._core.naming import clear_session as clear_session
from carnyx._core.seed import set_random_seed as set_random_seed
from carnyx._core.symbol import is_keras_tensor as is_keras_tensor
from carnyx._training.trainer import unpack as unpack_x_y_sample_weight
from carnyx.callbacks.progress import Progbar as Progbar
from carnyx.config import disable_interactive_logging as disable_interactive_logging
from carnyx.config import enable_interactive_logging as enable_interactive_logging
from carnyx.config import (
    is_interactive_logging_enabled as is_interactive_logging_enabled,
)
from carnyx.dtype_policies import standardize_dtype as standardize_dtype
from carnyx.registry import CustomObjectScope as CustomObjectScope
from carnyx.registry import custom_object_scope as custom_object_scope
from carnyx.registry import deserialize_keras_object as deserialize_keras_object
from carnyx.registry import get_custom_objects as get_custom_objects
from carnyx.registry import get_registered_name as get_registered_name
from carnyx.registry import get_registered_object as get_registered_object
from carnyx.registry import register_keras_serializable as register_keras_serializable
from carnyx.registry import serialize_keras_object as serialize_keras_object
from carnyx.utils.arrays import normalize as normalize
from carnyx.utils.arrays import pack_x_y_sample_weight as pack_x_y_sample_weight
from carnyx.utils.arrays import pad_sequences as pad_sequences
from carnyx.utils.arrays import to_categorical as to_categorical
from carnyx.utils.files import get_file as get_file

__all__ = [
    "CustomObjectScope",
    "Progbar",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "get_custom_objects",
    "get_file",
    "get_registered_name",
    "get_registered_object",
    "get_source_inputs",
    "is_interactive_logging_enabled",
    "is_keras_tensor",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "standardize_dtype",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
