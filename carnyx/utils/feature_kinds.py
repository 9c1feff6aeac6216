"""What a `FeatureSpace` may hold: features of some kinds, and crosses of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from carnyx import layers, registry
from carnyx._core.naming import auto_name
from carnyx.configurable import Configurable, field, one_of, positive
from carnyx.errors import ArgumentError
from carnyx.layers import Layer
from carnyx.typing import Data, Tensor

_MODULE = "keras.src.layers.preprocessing.feature_space"  # in Keras's files
_TOGETHER = 128  # single samples that are learned from at once


def revived(value: Any) -> Any:
    if registry.is_serialized(value):
        return registry.deserialize_keras_object(value)
    return value


class Feature(Configurable):
    """How one feature is made ready, and how it is encoded then."""

    keras_module, keras_registered_name = _MODULE, "Feature"

    dtype: Any = field()
    preprocessor: Any = field(convert=revived)
    output_mode: str = field(check=one_of("int", "one_hot", "float"))


class Cross(Configurable):
    """Several features that are hashed together."""

    keras_module, keras_registered_name = _MODULE, "Cross"

    feature_names: Any = field(convert=tuple)
    crossing_dim: int = field(check=positive)
    output_mode: str = field("one_hot", check=one_of("int", "one_hot"))

    name = property(lambda self: "_X_".join(self.feature_names))


class TFDIdentity(Layer):
    """A feature as it is; named as in Keras's files."""

    keras_module, keras_registered_name = _MODULE, "TFDIdentity"

    def call(self, inputs: Tensor) -> Tensor:
        return inputs


for _cls in (Feature, Cross, TFDIdentity):  # where Keras's files look for them
    registry.add_builtin(_cls, "layers")


KINDS = (
    "float", "float_rescaled", "float_normalized", "float_discretized",
    "integer_categorical", "string_categorical", "integer_hashed", "string_hashed",
)  # fmt: skip


def _feature(
    kind: str, dtype: str, mode: str, make: Callable[..., Layer], name: str | None,
    *given: Any,
) -> Feature:  # fmt: skip
    layer = make(*given, name=f"{name or auto_name(kind)}_preprocessor")
    return Feature(dtype, layer, mode)


class FeatureKinds:
    """Mixin: a method for each kind."""

    @classmethod
    def cross(
        cls, feature_names: Iterable[str], crossing_dim: int,
        output_mode: str = "one_hot",
    ) -> Cross:  # fmt: skip
        """Features hashed together into `crossing_dim` bins."""
        return Cross(feature_names, crossing_dim, output_mode)

    @classmethod
    def feature(cls, dtype: str, preprocessor: Layer, output_mode: str) -> Feature:
        """A feature that a layer of your own makes ready."""
        return Feature(dtype, preprocessor, output_mode)

    @classmethod
    def float(cls, name: str | None = None) -> Feature:
        """A number as it is."""
        return _feature("float", "float32", "float", TFDIdentity, name)

    @classmethod
    def float_rescaled(
        cls, scale: Any = 1.0, offset: Any = 0.0, name: str | None = None
    ) -> Feature:
        """scale · x + offset"""
        make, given = layers.Rescaling, (scale, offset)
        return _feature("float_rescaled", "float32", "float", make, name, *given)

    @classmethod
    def float_normalized(cls, name: str | None = None) -> Feature:
        """A number with the mean and variance of the data taken out."""
        return _feature(
            "float_normalized", "float32", "float", layers.Normalization, name
        )

    @classmethod
    def float_discretized(
        cls,
        num_bins: int | None,
        bin_boundaries: Any = None,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """The number of a bin, of boundaries that are learned or given."""
        make, given = layers.Discretization, (bin_boundaries, num_bins)
        return _feature("float_discretized", "float32", output_mode, make, name, *given)

    @classmethod
    def integer_categorical(
        cls,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """An integer by its place in a vocabulary."""
        make, given = layers.IntegerLookup, (max_tokens, num_oov_indices)
        return _feature("integer_categorical", "int32", output_mode, make, name, *given)

    @classmethod
    def string_categorical(
        cls,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """A text by its place in a vocabulary."""
        make, given = layers.StringLookup, (max_tokens, num_oov_indices)
        return _feature("string_categorical", "string", output_mode, make, name, *given)

    @classmethod
    def string_hashed(
        cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None
    ) -> Feature:
        """A text by its hash."""
        make = layers.Hashing
        return _feature("string_hashed", "string", output_mode, make, name, num_bins)

    @classmethod
    def integer_hashed(
        cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None
    ) -> Feature:
        """An integer by its hash."""
        make = layers.Hashing
        return _feature("integer_hashed", "int32", output_mode, make, name, num_bins)


def batches_of(data: Data) -> Iterator[Mapping[str, Any]]:
    """Dicts of arrays, of several samples each."""
    if isinstance(data, Mapping) or hasattr(data, "columns"):
        yield data
        return
    if not hasattr(data, "__iter__"):
        raise ArgumentError(
            f"adapt got {type(data).__name__}; expected a dict of arrays, a table, or "
            "what gives dicts."
        )
    items = iter(data)
    for item in items:
        item = item[0] if isinstance(item, tuple) else item
        if not isinstance(item, Mapping):
            raise ArgumentError(
                f"adapt got a dataset of {type(item).__name__}; expected dicts with "
                "the values of each feature."
            )
        if any(np.ndim(v) for v in item.values()):
            yield item
        else:  # single samples
            others = itertools.islice(items, _TOGETHER - 1)
            rows = [item, *(o[0] if isinstance(o, tuple) else o for o in others)]
            yield {n: np.array([np.asarray(r[n]).item() for r in rows]) for n in item}
