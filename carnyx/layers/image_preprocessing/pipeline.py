"""Layers one after the other, as one program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carnyx import registry
from carnyx.configurable import field
from carnyx.errors import ArgumentError
from carnyx.layers.base import Layer
from carnyx.layers.image_preprocessing.base import DataLayer
from carnyx.typing import Tensors


def _layers(given: object) -> list[Layer]:
    if not isinstance(given, list | tuple):
        raise ArgumentError(
            f"Pipeline got layers={given!r}; expected a list of layers."
        )
    made = [
        registry.deserialize_keras_object(v) if registry.is_serialized(v) else v
        for v in given
    ]
    wrong = [v for v in made if not isinstance(v, Layer)]
    if wrong:
        raise ArgumentError(f"Pipeline got {wrong[0]!r} among its layers.")
    return made


class Pipeline(DataLayer):
    """Layers in turn, of a batch or of one image: for augmentation in a feed.

    Called by itself it is one compiled program.

    Args:
        layers: a list; those of the library's, and any others.

    >>> import numpy as np, carnyx as keras
    >>> chain = Pipeline([keras.layers.RandomFlip(), keras.layers.Rescaling(1 / 255)])
    >>> chain(np.full((2, 4, 4, 3), 255)).shape
    (2, 4, 4, 3)
    """

    layers: Sequence[Layer] = field(convert=_layers)

    def _transformed(self, data: Tensors, training: bool = True) -> Tensors:
        for layer in self.layers:
            data = layer(data, training=training)
        return data

    def _compiles(self) -> bool:
        return all(registry.is_own(type(layer)) for layer in self._flatten_layers())

    def get_config(self) -> dict[str, Any]:
        made = [registry.serialize_keras_object(layer) for layer in self.layers]
        return {"name": self.name, "layers": made}


__all__ = ["Pipeline"]
