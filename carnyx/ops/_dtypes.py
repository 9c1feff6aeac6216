"""How dtypes meet: Keras 3's promotion on JAX, which is JAX's own with `floatx`.

A Python number is weak: it takes the dtype of the array it meets. Integers and booleans
that must become floats become `floatx`.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnyx import config
from carnyx._core.scope import in_symbolic_scope
from carnyx._numbers import check_narrow
from carnyx.config import standardize_dtype
from carnyx.typing import DTypeLike, Tensor


def tensor(x: Tensor) -> jax.Array:
    """`x` as a `jax.Array`; what is one already passes untouched."""
    if isinstance(x, jax.Array):
        return x
    if isinstance(x, np.ndarray | np.generic):
        check_narrow(x, "An array")
    return jnp.asarray(x)


def indices(x: Tensor) -> jax.Array:
    """`x` as an array of indices.

    A symbolic tensor may be of floats, as `Input` makes them where nothing else is
    said; floats that have values are refused, where they are used.
    """
    x = tensor(x)
    return x.astype("int32") if x.dtype.kind == "f" and in_symbolic_scope() else x


def as_dtype(x: Tensor, dtype: str) -> jax.Array:
    """`x` in another dtype; integers of 64 bits become floats on the host, exactly."""
    if jnp.issubdtype(jnp.dtype(dtype), jnp.floating):
        wide = _wide(x)
        if wide is not None:
            return jnp.asarray(wide.astype(jnp.dtype(dtype)))
    return tensor(x).astype(jax.dtypes.canonicalize_dtype(dtype))


def _wide(x: Any) -> np.ndarray | None:
    """Integers of more than 32 bits, NumPy's or Python's, as an array; else None."""
    if isinstance(x, np.ndarray | np.generic):
        return np.asarray(x) if x.dtype.name in _WIDE else None
    if not isinstance(x, int | list | tuple) or not _is_plain(x):
        return None
    array = np.asarray(x)
    if array.dtype == object:  # beyond 64 bits
        array = array.astype("float64")
    return array if array.dtype.kind in "iuf" else None


def _is_plain(x: Any) -> bool:
    """Whether it is a number of Python, or lists of such."""
    if isinstance(x, list | tuple):
        return all(_is_plain(one) for one in x)
    return type(x) in (int, float)


_WIDE = ("int64", "uint64")


def result_type(*types: Any) -> str:
    """The dtype in which arrays, numbers, dtypes and Python types meet.

    >>> result_type("bfloat16", float), result_type("int32", float)
    ('bfloat16', 'float32')
    >>> result_type("bfloat16", "float16"), result_type("uint8", "int8")
    ('float32', 'int16')
    """
    return _meet(config.floatx(), *map(_kind, types))


def _kind(x: Any) -> Any:
    """The dtype of `x`, or the Python type where it is weak."""
    if x is None or isinstance(x, str):
        return standardize_dtype(x)
    if isinstance(x, jax.Array) and x.weak_type:
        return {"i": int, "f": float, "c": complex}[x.dtype.kind]
    if isinstance(x, bool | int | float | complex):
        return type(x)
    return getattr(x, "dtype", x)


@functools.cache
def _meet(floatx: str, *kinds: Any) -> str:
    if not kinds:
        return floatx
    out = jnp.result_type(*kinds)
    # A float that bfloat16 absorbs is weak: nobody asked for its 32 bits.
    if out in (jnp.float32, jnp.float64) and jnp.result_type(
        *kinds, jnp.bfloat16
    ) == jnp.dtype(jnp.bfloat16):
        return floatx
    return out.name


def float_dtype(x: jax.Array) -> str:
    """The dtype of `x`, or `floatx` where that is an integer or boolean one."""
    return config.floatx() if x.dtype.kind in "biu" else x.dtype.name


def to_float(x: Tensor) -> jax.Array:
    """`x` as an array of floats: integers and booleans as `floatx`, others as is."""
    x = tensor(x)
    return x.astype(config.floatx()) if x.dtype.kind in "biu" else x


def among_floats(*xs: Any) -> list[Any]:
    """Arrays; integers and booleans take the dtype in which the floats of them meet.

    None stays None; where there is no float, all stay as they are.

    >>> [x.dtype.name for x in among_floats(jnp.ones(2, "int32"), jnp.bfloat16(1))]
    ['bfloat16', 'bfloat16']
    """
    arrays = [None if x is None else tensor(x) for x in xs]
    floats = [x for x in arrays if x is not None and x.dtype.kind not in "biu"]
    if not floats or len(floats) == len(arrays):
        return arrays
    dtype = result_type(*floats)
    return [
        x if x is None or x.dtype.kind not in "biu" else x.astype(dtype) for x in arrays
    ]


def to_floats(*xs: Any) -> list[Any]:
    """`among_floats`, and `floatx` for all where there is no float."""
    return [None if x is None else to_float(x) for x in among_floats(*xs)]


def given_dtype(dtype: DTypeLike) -> str | None:
    """The name of a dtype where one is given; None stays None."""
    return None if dtype is None else standardize_dtype(dtype)
