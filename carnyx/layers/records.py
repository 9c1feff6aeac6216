"""Layers as plain data."""

from __future__ import annotations

from typing import Any

from carnyx import registry
from carnyx.errors import ArgumentError
from carnyx.layers.base import Layer
from carnyx.typing import Config


def serialize(layer: Layer) -> dict[str, Any]:
    """A layer as plain data, as Keras 3 writes it."""
    return registry.serialize_keras_object(layer)


def deserialize(config: Config, custom_objects: dict[str, Any] | None = None) -> Layer:
    """The layer that `serialize` described, not built.

    >>> from carnyx.layers import Dense
    >>> deserialize(serialize(Dense(3))).units
    3
    """
    layer = registry.deserialize_keras_object(config, custom_objects, family="layers")
    if not isinstance(layer, Layer):
        raise ArgumentError(f"Got {config!r}; expected the record of a layer.")
    return layer


__all__ = ["deserialize", "serialize"]
