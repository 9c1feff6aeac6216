"""What makes a variable pass for an array."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnyx._core.operators import Operators
from carnyx._numbers import check_narrow
from carnyx.errors import ArgumentTypeError
from carnyx.typing import DTypeLike


class ActsAsArray(Operators):
    """The part of `Variable` that arrays have, too."""

    shape: tuple[int, ...]
    dtype: str
    value: Any
    abstract: bool

    def numpy(self) -> np.ndarray:
        """A copy as a NumPy array."""
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """The bytes of the value."""
        return self.size * jnp.dtype(self.dtype).itemsize

    def __jax_array__(self) -> Any:
        return self.value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Any:
        return iter(self.value)

    def _number(self) -> Any:
        """The value, for Python to decide by."""
        return self.value

    def __float__(self) -> float:
        return float(self._number())

    def __int__(self) -> int:
        return int(self._number())

    def __bool__(self) -> bool:
        if self.shape:
            raise ArgumentTypeError(
                f"{self!r} has more than one value, so it cannot be used as True or "
                "False. Use ops.any or ops.all."
            )
        return bool(self._number())

    def __index__(self) -> int:
        return self._number().__index__()

    def __getattr__(self, name: str) -> Any:
        # The methods of an array: sum, reshape, T, at, astype, …
        if name.startswith("_") or "_value" not in self.__dict__:
            raise AttributeError(name)
        if self.abstract and not hasattr(jax.Array, name):
            raise AttributeError(name)
        return getattr(self.value, name)


def as_array(
    value: object, dtype: DTypeLike, copy: bool = False, name: str = "A variable"
) -> Any:
    """A JAX array of that dtype; host data is moved without compiling a program."""
    if isinstance(value, jax.Array) and not copy and value.dtype == dtype:
        if not getattr(value, "weak_type", False):
            return value  # as jnp.asarray would, after much longer
    if isinstance(value, jax.Array) or hasattr(value, "__jax_array__"):
        return jnp.array(value, dtype) if copy else jnp.asarray(value, dtype)
    value, dtype = np.asarray(value), jnp.dtype(dtype)
    if dtype.kind in "iu":
        check_narrow(value, name)
    # a copy of our own: the move is asynchronous, and the caller may write to `value`
    return jax.device_put(np.array(value, dtype), may_alias=False)
