"""`keras.legacy.saving`: another name of `keras.utils.legacy`."""

from carnyx.utils.legacy import deserialize_keras_object as deserialize_keras_object
from carnyx.utils.legacy import serialize_keras_object as serialize_keras_object

__all__ = ["deserialize_keras_object", "serialize_keras_object"]
