"""The bases of initializers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnyx import registry
from carnyx._core.devices import ensure_device
from carnyx._core.memory import ensure_room
from carnyx._core.seed import SeedGenerator, make_default_seed
from carnyx.configurable import Configurable, field
from carnyx.dtype_policies import standardize_dtype
from carnyx.errors import ArgumentError
from carnyx.initializers.sampling import COPIES
from carnyx.typing import DTypeLike, Tensor


class Initializer(Configurable):
    """Base of initializers: `initializer(shape, dtype)` is an array.

    >>> from carnyx.initializers import Ones
    >>> class Halves(Initializer):
    ...     def __call__(self, shape, dtype=None):
    ...         return 0.5 * Ones()(shape, dtype)
    >>> Halves()((2,)).tolist()
    [0.5, 0.5]
    """

    keras_family = "initializers"

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        """An array of that shape; `floatx` if no dtype is given."""
        raise NotImplementedError(
            f"{type(self).__name__} needs a method __call__(self, shape, dtype=None)."
        )

    def clone(self) -> Initializer:
        """An initializer of the same config."""
        return type(self).from_config(self.get_config())


def seed_field() -> Any:
    return field(None, registry.deserialize_keras_object, config=False)


class RandomInitializer(Initializer):
    """Base of random initializers.

    Args:
        seed: an integer gives the same values at every call, and so does the seed that
            is drawn for None; a `SeedGenerator` gives others each time.
    """

    copies_made = COPIES

    seed: Any = seed_field()

    def __post_init__(self) -> None:
        self._given_seed = self.seed
        if self.seed is None:
            self.seed = make_default_seed()
        elif not isinstance(self.seed, int | np.integer | SeedGenerator):
            raise ArgumentError(
                f"{type(self).__name__} got seed={self.seed!r}; expected None, an "
                "integer or a SeedGenerator."
            )

    def get_config(self) -> dict[str, Any]:
        return {"seed": registry.serialize_keras_object(self._given_seed)}


def on_device(values: Any, dtype: DTypeLike) -> jax.Array:
    ensure_device()
    with jax.ensure_compile_time_eval():  # and jnp.array would compile a copy
        return jax.device_put(np.array(values, jnp.dtype(standardize_dtype(dtype))))


def filled(value: object, shape: Sequence[int], dtype: DTypeLike) -> jax.Array:
    """The value, or what broadcasts to the shape, everywhere."""
    ensure_room(shape, standardize_dtype(dtype), "The initial value")
    return on_device(np.broadcast_to(np.asarray(value), tuple(shape)), dtype)
