"""Whether what an op gives fits into memory, asked before the op computes it.

`a + transpose(a)` of a vector is its square. JAX begins to compute at once and says
much later, in other words, that it could not; or the system ends the process. So where
the arguments allow of a large result, its shape is inferred first, once for each kind
of call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from carnyx._core.memory import ensure_room
from carnyx._core.scope import scoped

_LARGE = 1 << 26  # entries that nobody asks about
_NUMBERS = 8  # a longer list is data; a shorter one may be a shape, or widths
_MOST_KNOWN = 4096

Spec = tuple[tuple[int, ...], Any]
_known: dict[Hashable, list[Spec]] = {}


def ensure_room_for_result(
    fn: Callable[..., Any], name: str, args: tuple, kwargs: dict[str, Any]
) -> None:
    """Nothing, or an error that says how large what `fn` gives would be.

    Raises:
        OutOfMemoryError: where it is more than what is free.
    """
    most = _most(args)
    if kwargs:
        most *= _most(kwargs.values())
    if most > _LARGE and not _is_as_large(fn, args):
        for shape, dtype in _results(fn, args, kwargs):
            ensure_room(shape, dtype, f"The result of {name}")


def _is_as_large(fn: Callable[..., Any], args: tuple) -> bool:
    """Whether the result is as large as both arguments: the common case of all."""
    if not getattr(fn, "broadcasts", False) or len(args) != 2:
        return False
    first, second = (getattr(x, "shape", ()) for x in args)
    return first == second or not first or not second


def _most(values: Iterable[Any]) -> int:
    """A bound of the entries of a result: no op makes more of its arguments than the
    product of all their sizes and numbers; 0 where nothing is computed yet."""
    most = 1
    for value in values:
        if isinstance(value, int):
            most *= abs(value) or 1
        elif isinstance(value, list | tuple):
            few = len(value) <= _NUMBERS
            most *= _most(value) if few else len(value) * _most(value[:1])
        elif isinstance(value, Tracer):
            return 0
        else:
            shape = getattr(value, "shape", None)
            if shape:
                most *= math.prod(shape) or 1
                if _is_few_numbers(value):
                    most *= _most(value.ravel().tolist())
    return most


def _is_few_numbers(value: Any) -> bool:
    few = isinstance(value, np.ndarray) and value.size <= _NUMBERS
    return few and value.dtype.kind in "iu"


def _results(fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> list[Spec]:
    """Shapes and dtypes of what `fn` gives; of calls of a kind inferred once."""
    try:
        kind: Hashable = (fn, _kind(args), _kind(kwargs))
    except TypeError:  # a function of the caller's, who would see it called twice
        return []
    if kind not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[kind] = _inferred(fn, args, kwargs)
    return _known[kind]


def _kind(value: Any) -> Hashable:
    """What the shape of a result depends on.

    Raises:
        TypeError: for something else than tensors, numbers, text and nested ones.
    """
    if _is_few_numbers(value):
        return value.shape, tuple(value.ravel().tolist())
    shape = getattr(value, "shape", None)
    if shape is not None:
        return shape, value.dtype.char
    if value is None or isinstance(value, int | float | complex | str):
        return value
    if isinstance(value, list | tuple):
        return tuple([_kind(v) for v in value])
    if isinstance(value, dict):
        return tuple([(k, _kind(v)) for k, v in value.items()])
    if isinstance(value, np.dtype | type | slice | type(...)):
        return repr(value)
    raise TypeError(type(value))


def _inferred(
    fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]
) -> list[Spec]:
    try:
        with scoped(watch=None):
            out = jax.eval_shape(lambda: fn(*args, **kwargs))
    except Exception:  # the call itself will say what is wrong
        return []
    return [(x.shape, x.dtype) for x in jax.tree_util.tree_leaves(out)]
