"""`keras.utils`: helpers around models and data."""

from carnyx._core.graph import source_inputs as get_source_inputs
from carnyx._core.naming import clear_session as clear_session
from carnyx._core.seed import set_random_seed as set_random_seed
from carnyx._core.symbol import is_keras_tensor as is_keras_tensor
from carnyx._data import PyDataset as PyDataset
from carnyx._data import PyDataset as Sequence
from carnyx._data.batches import three_parts as unpack_x_y_sample_weight
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
from carnyx.utils import bounding_boxes as bounding_boxes
from carnyx.utils import legacy as legacy
from carnyx.utils.arrays import normalize as normalize
from carnyx.utils.arrays import pack_x_y_sample_weight as pack_x_y_sample_weight
from carnyx.utils.arrays import pad_sequences as pad_sequences
from carnyx.utils.arrays import to_categorical as to_categorical
from carnyx.utils.diagrams import model_to_dot as model_to_dot
from carnyx.utils.diagrams import plot_model as plot_model
from carnyx.utils.directories import (
    audio_dataset_from_directory as audio_dataset_from_directory,
)
from carnyx.utils.directories import (
    image_dataset_from_directory as image_dataset_from_directory,
)
from carnyx.utils.directories import (
    text_dataset_from_directory as text_dataset_from_directory,
)
from carnyx.utils.feature_space import FeatureSpace as FeatureSpace
from carnyx.utils.files import get_file as get_file
from carnyx.utils.images import array_to_img as array_to_img
from carnyx.utils.images import img_to_array as img_to_array
from carnyx.utils.images import load_img as load_img
from carnyx.utils.images import save_img as save_img
from carnyx.utils.learning_rates import find_learning_rate as find_learning_rate
from carnyx.utils.multi_gpu import multi_gpu_model as multi_gpu_model
from carnyx.utils.windows import split_dataset as split_dataset
from carnyx.utils.windows import (
    timeseries_dataset_from_array as timeseries_dataset_from_array,
)

__all__ = [
    "CustomObjectScope",
    "FeatureSpace",
    "Progbar",
    "PyDataset",
    "Sequence",
    "array_to_img",
    "audio_dataset_from_directory",
    "bounding_boxes",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "find_learning_rate",
    "get_custom_objects",
    "get_file",
    "get_registered_name",
    "get_registered_object",
    "get_source_inputs",
    "image_dataset_from_directory",
    "img_to_array",
    "is_interactive_logging_enabled",
    "is_keras_tensor",
    "load_img",
    "model_to_dot",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "plot_model",
    "register_keras_serializable",
    "save_img",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "standardize_dtype",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
