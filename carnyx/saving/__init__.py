"""Models as files, classes by name, objects as plain data."""

from carnyx.registry import CustomObjectScope as CustomObjectScope
from carnyx.registry import custom_object_scope as custom_object_scope
from carnyx.registry import deserialize_keras_object as deserialize_keras_object
from carnyx.registry import get_custom_objects as get_custom_objects
from carnyx.registry import get_registered_name as get_registered_name
from carnyx.registry import get_registered_object as get_registered_object
from carnyx.registry import register_keras_serializable as register_keras_serializable
from carnyx.registry import serialize_keras_object as serialize_keras_object
from carnyx.saving.api import load_model as load_model
from carnyx.saving.api import load_weights as load_weights
from carnyx.saving.api import model_from_json as model_from_json
from carnyx.saving.api import save_model as save_model
from carnyx.saving.api import save_weights as save_weights

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "model_from_json",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]
