"""Any library's arrays as NumPy's; none is imported that the user has not imported."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from carnyx import config
from carnyx._data import mistakes
from carnyx.dtype_policies import is_float
from carnyx.errors import DataError
from carnyx.typing import DTypeLike

_NARROW = {"int64": "int32", "uint64": "uint32", "complex128": "complex64"}


def comes_from(value: object, *libraries: str) -> bool:
    """Whether a class of the object, or one that it inherits, is of a library."""
    return any(library in libraries for library in _roots(type(value)))


@functools.cache
def _roots(kind: type) -> tuple[str, ...]:
    return tuple(c.__module__.split(".")[0] for c in kind.__mro__)


def target_dtype(dtype: DTypeLike, name: str) -> np.dtype:
    """The dtype in which data of `dtype` reaches a model."""
    target = _target(np.dtype(dtype), config.floatx())
    if target is None:
        raise DataError(mistakes.of_dtype(name, dtype))
    return target


@functools.cache
def _target(dtype: np.dtype, floatx: str) -> np.dtype | None:
    if dtype.kind in "OSUTMm":  # objects, strings, dates
        return None
    if is_float(dtype.name):
        return np.dtype(floatx)
    return np.dtype(_NARROW.get(dtype.name, dtype))


# ---- from other libraries


def _from_torch(tensor: Any) -> np.ndarray:
    tensor = tensor.detach().cpu()
    narrow = str(tensor.dtype) == "torch.bfloat16"  # which NumPy does not have
    return (tensor.float() if narrow else tensor).numpy()


def _from_tensorflow(tensor: Any) -> np.ndarray:
    if hasattr(tensor, "to_tensor"):  # ragged: padded with zeros
        tensor = tensor.to_tensor()
    elif hasattr(tensor, "dense_shape"):
        tensor = sys.modules["tensorflow"].sparse.to_dense(tensor)
    return np.asarray(tensor)


def _from_pandas(frame: Any) -> np.ndarray:
    """A column of numbers becomes one of two axes, as in Keras; NA becomes NaN."""
    values = np.asarray(frame)
    if values.dtype == object and not mistakes.dates_of(frame):
        try:
            values = frame.to_numpy(dtype=config.floatx(), na_value=np.nan)
        except (TypeError, ValueError):
            return values
    return values[:, None] if values.ndim == 1 and hasattr(frame, "index") else values


def _from_polars(frame: Any) -> np.ndarray:
    values = np.asarray(frame.to_numpy())
    if values.dtype != object and mistakes.dates_of(frame):
        values = values.astype(object)  # beside numbers they would become numbers
    return values[:, None] if values.ndim == 1 else values


_READERS: dict[str, Callable[[Any], np.ndarray]] = {
    "torch": _from_torch,
    "tensorflow": _from_tensorflow,
    "pandas": _from_pandas,
    "polars": _from_polars,
    "scipy": lambda matrix: matrix.toarray(),
}


def is_array(value: object) -> bool:
    """Whether a leaf is an array, or gives one: frames, tensors, sparse matrices."""
    if isinstance(value, np.ndarray | jax.Array) or hasattr(value, "__array__"):
        return True
    return hasattr(value, "shape") and comes_from(value, *_READERS)


def as_array(value: object, name: str) -> np.ndarray:
    """The leaf as a NumPy array with samples along its first axis."""
    if not is_array(value):
        raise DataError(
            f"{name} is {_described(value)}; expected an array, or a dict, list or "
            "tuple of arrays. numpy.asarray makes one."
        )
    array = np.asarray(value) if isinstance(value, np.ndarray) else _read(value)
    if array.ndim == 0:
        raise DataError(
            f"{name} is a single value, {array!r}; the first axis of data counts "
            "samples. A batch of one is x[None]."
        )
    if array.dtype == object:  # a frame of mixed columns
        dates = mistakes.dates_of(value)
        try:
            if not dates:
                return array.astype(config.floatx())
        except (TypeError, ValueError):
            pass
        raise DataError(mistakes.of_objects(name, value, array))
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DataError(
            f"{name} is a masked array with {np.ma.count_masked(value)} values masked; "
            f"a model would be given what is under the mask. Fill them "
            f"({name}.filled(0)), and weigh such samples 0 with a sample_weight."
        )
    return array


def _read(value: Any) -> np.ndarray:
    for root in _roots(type(value)):
        if root in _READERS:
            return _READERS[root](value)
    return np.asarray(value)


def _described(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} ({text if len(text) < 40 else text[:37] + '...'})"
