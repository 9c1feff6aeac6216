"""Classes by name, and objects as plain data: the index."""

from carnyx.registry.names import FILE_FAMILIES as FILE_FAMILIES
from carnyx.registry.names import CustomObjectScope as CustomObjectScope
from carnyx.registry.names import add_builtin as add_builtin
from carnyx.registry.names import builtin_names as builtin_names
from carnyx.registry.names import claim as claim
from carnyx.registry.names import custom_object_scope as custom_object_scope
from carnyx.registry.names import find_builtin as find_builtin
from carnyx.registry.names import find_class as find_class
from carnyx.registry.names import find_function as find_function
from carnyx.registry.names import get_custom_objects as get_custom_objects
from carnyx.registry.names import get_registered_name as get_registered_name
from carnyx.registry.names import get_registered_object as get_registered_object
from carnyx.registry.names import is_own as is_own
from carnyx.registry.names import mark_own as mark_own
from carnyx.registry.names import own_family as own_family
from carnyx.registry.names import (
    register_keras_serializable as register_keras_serializable,
)
from carnyx.registry.records import (
    deserialize_keras_object as deserialize_keras_object,
)
from carnyx.registry.records import is_serialized as is_serialized
from carnyx.registry.records import lookup as lookup
from carnyx.registry.records import lookup_callable as lookup_callable
from carnyx.registry.records import object_sharing as object_sharing
from carnyx.registry.records import serialize_dict as serialize_dict
from carnyx.registry.records import serialize_function as serialize_function
from carnyx.registry.records import serialize_keras_object as serialize_keras_object
from carnyx.registry.records import serialize_shared as serialize_shared
