"""`FeatureSpace`: a table of features, each made ready and encoded, as one array."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jax.core import Tracer

from carnyx import layers, registry, saving, tree
from carnyx._core.symbol import KerasTensor
from carnyx.errors import ArgumentError, NotBuiltError
from carnyx.layers import Layer
from carnyx.layers.preprocessing._host import as_numpy
from carnyx.layers.preprocessing._pipelines import InPipelines
from carnyx.models import Model
from carnyx.typing import Data, PathLike
from carnyx.utils.feature_kinds import (
    KINDS,
    Cross,
    Feature,
    FeatureKinds,
    batches_of,
    revived,
)


class FeatureSpace(FeatureKinds, InPipelines, Layer):
    """The features of samples, made ready, crossed and encoded.

    Args:
        features: by name: a kind such as `"float_normalized"`, or a feature that one of
            the methods of that name makes, with options of its own.
        output_mode: `"concat"` gives one array, of the features in the order of their
            names, then the crosses; `"dict"` gives each by its name.
        crosses: tuples of names of features that are hashed together.
        crossing_dim, hashing_dim, num_discretization_bins: numbers of bins, where a
            feature does not say its own.

    >>> space = FeatureSpace({"age": "float_normalized", "city": "string_categorical"})
    >>> data = {"age": [20.0, 40.0, 60.0], "city": ["Oslo", "Rome", "Oslo"]}
    >>> space.adapt(data)
    >>> space(data).round(1).tolist()[0]
    [-1.2000000476837158, 0.0, 1.0, 0.0]
    """

    keras_module = "keras.utils"
    takes_texts = True
    _hidden_attributes = ("_encoder", "encoded_features", "inputs")

    def __init__(
        self,
        features: Mapping[str, Any],
        output_mode: str = "concat",
        crosses: Iterable[Any] | None = None,
        crossing_dim: int = 32,
        hashing_dim: int = 32,
        num_discretization_bins: int = 32,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if not features:
            raise ArgumentError(
                f"FeatureSpace got features={features!r}; expected a dict from names "
                "to kinds of features."
            )
        if output_mode not in ("concat", "dict"):
            raise ArgumentError(
                f"FeatureSpace got output_mode={output_mode!r}; expected 'concat' or "
                "'dict'."
            )
        self.output_mode, self.crossing_dim = output_mode, crossing_dim
        self.hashing_dim = hashing_dim
        self.num_discretization_bins = num_discretization_bins
        self.features = {n: self._feature(n, f) for n, f in features.items()}
        self.crosses = [self._cross(c) for c in crosses or ()]
        self.preprocessors = {n: f.preprocessor for n, f in self.features.items()}
        self.crossers = {cross.name: _crosser(cross) for cross in self.crosses}
        self.one_hot_encoders: dict[str, Layer] = {}
        self.inputs = {
            n: layers.Input((1,), dtype=f.dtype, name=n)
            for n, f in self.features.items()
        }
        self._is_adapted = not self._learners()
        self._encoder: Any = None

    def _feature(self, name: str, given: Any) -> Feature:
        given = revived(given)
        if isinstance(given, Feature):
            return given
        sized = {
            "float_discretized": self.num_discretization_bins,
            "integer_hashed": self.hashing_dim,
            "string_hashed": self.hashing_dim,
        }
        if given not in KINDS:
            raise ArgumentError(
                f"FeatureSpace got the feature {name!r} of kind {given!r}; expected "
                f"one of {', '.join(KINDS)}, or FeatureSpace.feature(...)."
            )
        size = {"num_bins": sized[given]} if given in sized else {}
        return getattr(self, given)(name=name, **size)

    def _cross(self, given: Any) -> Cross:
        given = revived(given)
        if isinstance(given, Cross):
            return given
        if not self.crossing_dim:
            raise ArgumentError(
                f"FeatureSpace got crosses with crossing_dim={self.crossing_dim!r}; "
                "expected how many bins they are hashed into."
            )
        unknown = [name for name in given if name not in self.features]
        if unknown:
            raise ArgumentError(
                f"FeatureSpace got a cross of {unknown}, which are not among its "
                f"features {list(self.features)}."
            )
        return Cross(given, self.crossing_dim)

    # ---- learning ----------------------------------------------------------------

    def _learners(self) -> dict[str, Any]:
        """The layers that learn from data, by feature."""
        return {n: p for n, p in self.preprocessors.items() if _learns(p)}

    def adapt(self, dataset: Data) -> None:
        """Let every feature learn from data, in one pass.

        Args:
            dataset: a dict of arrays or lists, a table, or what gives such dicts, of
                samples or of batches.
        """
        learners = self._learners()
        for layer in learners.values():
            layer.reset_state()
        for batch in batches_of(dataset):
            for name, layer in learners.items():
                layer.update_state(_column(batch[name]))
        for layer in learners.values():
            layer.finalize_state()
        self._is_adapted, self._encoder = True, None
        self.one_hot_encoders = {}  # of as many numbers as there are now
        self.get_encoded_features()

    # ---- encoding ----------------------------------------------------------------

    def get_inputs(self) -> dict[str, KerasTensor]:
        """Symbolic inputs by name, for a functional model."""
        self.get_encoded_features()
        return self.inputs

    def get_encoded_features(self) -> Any:
        """What becomes of the symbolic inputs."""
        return self._encoded()._outputs

    @property
    def encoded_features(self) -> Any:
        """The same; None before `adapt`."""
        return self._encoded()._outputs if self._is_adapted else None

    def _encoded(self) -> Any:
        """The model from features to encodings."""
        if not self._is_adapted:
            raise NotBuiltError(
                f"FeatureSpace {self.name!r} has not learned its features yet: call "
                f"adapt(dataset) first. It is needed for {list(self._learners())}."
            )
        if self._encoder is None:
            ready = {n: p(self.inputs[n]) for n, p in self.preprocessors.items()}
            crossed = {
                c.name: self.crossers[c.name]([ready[n] for n in c.feature_names])
                for c in self.crosses
            }
            specs = self.features | {c.name: c for c in self.crosses}
            named = {n: self._encode(n, specs[n], ready[n]) for n in sorted(ready)}
            named |= {n: self._encode(n, specs[n], crossed[n]) for n in sorted(crossed)}
            self._encoder = Model(self.inputs, self._merged(named))
            self.built = True
        return self._encoder

    def _encode(self, name: str, spec: Any, value: Any) -> Any:
        if spec.output_mode != "one_hot":
            return value
        if not value.dtype.startswith("int"):
            raise ArgumentError(
                f"The feature {name!r} has output_mode='one_hot', but its layer gives "
                f"{value.dtype}; expected integers."
            )
        count = _count(self.preprocessors.get(name) or self.crossers[name])
        if count is None:
            raise ArgumentError(
                f"The feature {name!r} has output_mode='one_hot', but how many numbers "
                "its layer may give is not known. Use output_mode='int'."
            )
        encoder = self.one_hot_encoders.setdefault(name, layers.CategoryEncoding(count))
        return encoder(value)

    def _merged(self, named: dict[str, Any]) -> Any:
        if self.output_mode == "dict":
            return named
        for name, value in named.items():
            if value.dtype == "string" or value.dtype.startswith("int"):
                raise ArgumentError(
                    f"The feature {name!r} is of {value.dtype}, so it cannot be put "
                    "together with others in one array. Encode it, or use "
                    "output_mode='dict'."
                )
        values = list(named.values())
        return values[0] if len(values) == 1 else layers.Concatenate()(values)

    def __call__(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise ArgumentError(
                f"FeatureSpace {self.name!r} got {type(data).__name__}; expected a "
                "dict with the values of each feature."
            )
        return super().__call__(dict(data))

    def call(self, inputs: dict[str, Any]) -> Any:
        single = all(np.ndim(v) == 0 for v in inputs.values())
        columns = {name: _column(value) for name, value in inputs.items()}
        out = self._encoded()(columns)
        return tree.map_structure(lambda v: v[0], out) if single else out

    def _convert(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        """Lists are whole columns."""
        (data,) = args
        known = {n: v for n, v in data.items() if n in self.features}
        whole = {
            n: v if isinstance(v, KerasTensor | Tracer) else as_numpy(v)
            for n, v in known.items()
        }
        return (whole,), kwargs

    def compute_output_spec(self, inputs: dict[str, Any]) -> Any:
        shapes = [tuple(t.shape) for t in inputs.values()]
        single = not any(shapes)

        def spec(t: KerasTensor) -> KerasTensor:
            batch = () if single else (shapes[0][0],)
            return KerasTensor((*batch, *t.shape[1:]), t.dtype)

        return tree.map_structure(spec, self._encoded()._outputs)

    # ---- configs and files -------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        return {
            "features": registry.serialize_dict(self.features),
            "output_mode": self.output_mode,
            "crosses": [registry.serialize_keras_object(c) for c in self.crosses],
            "crossing_dim": self.crossing_dim,
            "hashing_dim": self.hashing_dim,
            "num_discretization_bins": self.num_discretization_bins,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FeatureSpace:
        return cls(**config)

    def get_build_config(self) -> dict[str, Any]:
        return {n: p.get_build_config() for n, p in self.preprocessors.items()}

    def build_from_config(self, config: dict[str, Any]) -> None:
        for name, shapes in config.items():
            if not self.preprocessors[name].built and shapes:
                self.preprocessors[name].build_from_config(shapes)
        self._is_adapted = True

    def save(self, filepath: PathLike) -> None:
        """Write a `.keras` file; `keras.models.load_model` reads it."""
        self._encoded()
        saving.save_model(self, filepath)


def _crosser(cross: Cross) -> Layer:
    make: Any = layers.HashedCrossing
    return make(cross.crossing_dim, name=cross.name)


def _learns(layer: Any) -> bool:
    if isinstance(layer, layers.Normalization):
        return layer.input_mean is None
    if isinstance(layer, layers.Discretization):
        return layer.num_bins is not None
    if hasattr(layer, "get_vocabulary"):
        return layer._lookup()._learns
    return hasattr(layer, "adapt")


def _count(layer: Any) -> int | None:
    """How many numbers a layer may give."""
    if isinstance(layer, layers.StringLookup | layers.IntegerLookup):
        return layer.vocabulary_size()
    if isinstance(layer, layers.Discretization):
        return layer.num_bins or len(layer.bin_boundaries) + 1
    return getattr(layer, "num_tokens", getattr(layer, "num_bins", None))


def _column(values: Any) -> Any:
    """With an axis of samples, and one of features."""
    values = values if isinstance(values, Tracer) else as_numpy(values)
    return values.reshape(-1, 1) if values.ndim < 2 else values


registry.add_builtin(FeatureSpace, "utils")  # where files look for it, as Keras has it

__all__ = ["FeatureSpace"]
