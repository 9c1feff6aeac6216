"""Initializers by name: second names, and `get`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import jax
import numpy as np

from carnyx import registry
from carnyx.errors import ShapeError
from carnyx.initializers.base import Initializer, on_device
from carnyx.initializers.constants import STFT, Constant, Identity, Ones, Zeros
from carnyx.initializers.random import (
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
)
from carnyx.initializers.scaled import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    VarianceScaling,
)
from carnyx.typing import Config, DTypeLike, Tensor

C = TypeVar("C", bound=type)


def _known(cls: C, *names: str) -> C:
    for name in names:
        registry.add_builtin(cls, "initializers", name)
    return cls


constant = _known(Constant, "constant")
glorot_normal = _known(GlorotNormal, "glorot_normal")
glorot_uniform = _known(GlorotUniform, "glorot_uniform")
he_normal = _known(HeNormal, "he_normal")
he_uniform = _known(HeUniform, "he_uniform")
IdentityInitializer = identity = _known(Identity, "IdentityInitializer", "identity")
lecun_normal = _known(LecunNormal, "lecun_normal")
lecun_uniform = _known(LecunUniform, "lecun_uniform")
ones = _known(Ones, "ones", "one")
OrthogonalInitializer = orthogonal = _known(
    Orthogonal, "OrthogonalInitializer", "orthogonal"
)
random_normal = _known(RandomNormal, "random_normal", "normal")
random_uniform = _known(RandomUniform, "random_uniform", "uniform")
STFTInitializer = stft = _known(STFT, "STFTInitializer", "stft")
truncated_normal = _known(TruncatedNormal, "truncated_normal")
variance_scaling = _known(VarianceScaling, "variance_scaling")
zeros = _known(Zeros, "zeros", "zero")


InitializerLike: TypeAlias = str | Mapping[str, Any] | Callable[..., Any] | Initializer
"""An initializer by its name or config, a function of shape and dtype, or itself."""


def get(identifier: object) -> Any:
    """An initializer from its name, config, class, values or itself; None stays None.

    >>> type(get("he_normal")).__name__, get(np.ones(2))((2,)).tolist()
    ('HeNormal', [1.0, 1.0])
    """
    if isinstance(identifier, np.ndarray | np.generic | jax.Array):
        return _values(identifier)
    return registry.lookup_callable(identifier, "initializers", kind="initializer")


def _values(values: Any) -> Callable[..., Any]:
    def give(shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        if tuple(shape) != tuple(values.shape):
            raise ShapeError(
                f"The initial values have shape {tuple(values.shape)}; the weight has "
                f"{tuple(shape)}."
            )
        return on_device(values, dtype)

    return give


def serialize(initializer: object) -> Any:
    """An initializer as plain data."""
    return registry.serialize_keras_object(initializer)


def deserialize(config: Config, custom_objects: dict[str, Any] | None = None) -> Any:
    """The inverse of `serialize`."""
    with registry.custom_object_scope(custom_objects):
        return get(config)
