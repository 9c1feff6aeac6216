"""Arguments of a call as a layer takes them: JAX arrays, floats in its dtype."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnyx import tree
from carnyx._core import explain
from carnyx._core.masks import get_mask, set_mask
from carnyx._core.operators import OPS
from carnyx._core.symbol import KerasTensor
from carnyx._numbers import check_narrow
from carnyx._strangers import is_symbol_elsewhere, stranger
from carnyx.dtype_policies import is_float
from carnyx.errors import ArgumentError
from carnyx.layers.input_spec import label
from carnyx.registry import is_own


def converted(layer: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
    """NumPy arrays become JAX arrays; floats get the compute dtype."""
    target = layer.compute_dtype if layer.autocast else None
    if not kwargs and len(args) == 1 and _is_ready(args[0], target):
        return args, kwargs

    def one(x: Any) -> Any:
        if not explain.is_tensor(x) and hasattr(x, "__array__"):
            if is_symbol_elsewhere(x):
                raise ArgumentError(
                    f"{label(layer)} got a symbolic tensor ({x!r}).{stranger(x)}"
                )
            x = np.asarray(x)  # a scalar of NumPy, a table, another library's
        if _is_text(x):
            return checked_text(layer, x)
        if isinstance(x, np.ndarray):
            floating = target and np.issubdtype(x.dtype, np.floating)
            check_narrow(x, f"{label(layer)}: an input")
            return jnp.asarray(x, target if floating else None)
        if explain.is_tensor(x) and target and is_float(x.dtype):
            if x.dtype != target:
                cast = _as_dtype(x, target)
                set_mask(cast, get_mask(x))
                return cast
        return x

    return tree.map_structure(one, args), tree.map_structure(one, kwargs)


def _as_dtype(x: Any, dtype: str) -> Any:
    """The cast tensor; of a symbol one that no op made: the layer itself will cast."""
    if not isinstance(x, KerasTensor):
        return OPS["cast"](x, dtype)
    cast = KerasTensor(x.shape, dtype, x.sparse, name=x.name)
    cast.given = x
    return cast


def as_given(args: Any) -> Any:
    """Arguments with the symbols that were given, before `converted` cast them."""

    def one(x: Any) -> Any:
        return x.given if isinstance(x, KerasTensor) and x.given is not None else x

    return tree.map_structure(one, args)


def _is_text(x: Any) -> bool:
    if isinstance(x, KerasTensor):
        return x.dtype == "string"
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "OSUT":
        return False
    return x.dtype.kind != "O" or (x.size > 0 and isinstance(x.flat[0], str | bytes))


def checked_text(layer: Any, x: Any) -> Any:
    """Texts stay as they are, where the layer may have to do with them.

    Raises:
        ArgumentError: where it computes with numbers.
    """
    if layer.takes_texts or not is_own(type(layer)):
        return x
    raise ArgumentError(
        f"{label(layer)} got texts, but computes with numbers. Number the words first: "
        "layers.StringLookup, TextVectorization or Hashing."
    )


def _is_ready(x: Any, target: str | None) -> bool:
    """True for an argument that needs no conversion: the common case."""
    return (
        isinstance(x, jax.Array | KerasTensor) and target is not None
        and x.dtype == target
    )  # fmt: skip
