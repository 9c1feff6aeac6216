"""Layers one after the other, as one program."""

from __future__ import annotations

from collections.abc import Sequence

from carnyx import registry
from carnyx.configurable import field
from carnyx.errors import ArgumentError
from carnyx.layers._call import signature_of
from carnyx.layers.base import Layer
from carnyx.layers.image_preprocessing.base import DataLayer
from carnyx.typing import Config, Tensors


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

    def call(
        self, inputs: Tensors, training: bool = True, mask: Tensors = None
    ) -> Tensors:
        if mask is None:
            return super().call(inputs, training)
        return self._transformed(inputs, training, mask)

    def _transformed(
        self, data: Tensors, training: bool = True, mask: Tensors = None
    ) -> Tensors:
        for layer in self.layers:
            takes_mask = signature_of(type(layer).call).takes("mask")
            more = {"mask": mask} if mask is not None and takes_mask else {}
            data, mask = layer(data, training=training, **more), None
        return data

    def _compiles(self) -> bool:
        return all(registry.is_own(type(layer)) for layer in self._flatten_layers())

    @classmethod
    def from_config(cls, config: Config) -> Pipeline:
        """Raises ArgumentError where the config has no list of layers."""
        _layers(config.get("layers"))
        return super().from_config(config)

    def get_config(self) -> Config:
        made = [registry.serialize_keras_object(layer) for layer in self.layers]
        return {"name": self.name, "layers": made}


__all__ = ["Pipeline"]
