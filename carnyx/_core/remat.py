"""Rematerialization: what a backward pass needs is computed again, not kept.

A layer's inner values take memory from its forward to its backward pass. A function
under `remat` keeps its inputs alone, at the price of a second forward computation.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from carnyx._core import masks
from carnyx._core.scope import (
    State,
    in_program,
    in_symbolic_scope,
    is_tracer,
    scoped,
)
from carnyx._core.symbol import is_symbolic
from carnyx._core.variable import Variable
from carnyx.errors import ArgumentError

MODES = ("full", "activations", "larger_than", "list_of_layers", None)
# Products of matrices and convolutions: dear to compute, unlike what is between them.
_PRODUCTS = ("dot_general", "conv_general_dilated")


def remat(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, a function or layer, whose inner values are not kept for the gradient.

    It may read and assign variables, and draw random numbers, which are the same when
    it is computed again. Outside of a compiled program it is `f` itself.

    References: Chen, Xu, Zhang, Guestrin 2016, arXiv:1604.06174

    >>> import jax, jax.numpy as jnp
    >>> float(jax.grad(remat(lambda x: jnp.sin(jnp.sin(x))))(0.0))
    1.0
    """
    return _rematerialized(f, None, 0)


def _rematerialized(
    f: Callable[..., Any], policy: Callable[..., bool] | None, larger_than: int
) -> Callable[..., Any]:
    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = jax.tree.flatten((args, kwargs))
        inner = _Pure(f, leaves, structure)
        if not _is_differentiated(leaves) or (
            larger_than and inner.size() <= larger_than
        ):
            return f(*args, **kwargs)
        return inner.run(policy)

    return call


class _Pure:
    """A call of a function with state as a pure function of its arrays."""

    def __init__(
        self, f: Callable[..., Any], leaves: list[Any], structure: Any
    ) -> None:
        self.f, self.leaves, self.structure = f, leaves, structure
        self.places = [i for i, x in enumerate(leaves) if _is_array(x)]
        self.arrays = [leaves[i] for i in self.places]
        self.written: list[Variable] = []
        self.adders: list[Any] = []  # layers that add losses

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        leaves = list(self.leaves)
        for place, array in zip(self.places, arrays, strict=True):
            leaves[place] = array
            masks.set_mask(array, masks.get_mask(self.leaves[place]))
        args, kwargs = jax.tree.unflatten(self.structure, leaves)
        state = State(closed=False)
        with scoped(state=state, watch=None):  # who looks on would keep what ends here
            out = self.f(*args, **kwargs)
        self.written = list(state.values)
        self.adders = [layer for layer, _ in state.losses]
        losses = [value for _, value in state.losses]
        hidden = [masks.get_mask(x) for x in jax.tree.leaves(out)]
        return out, hidden, losses, list(state.values.values())

    def size(self) -> int:
        """The number of entries that come out."""
        out, *_ = jax.eval_shape(self, *self.arrays)
        return sum(math.prod(x.shape) for x in jax.tree.leaves(out))

    def run(self, policy: Callable[..., bool] | None) -> Any:
        out, hidden, losses, values = jax.checkpoint(self, policy=policy)(*self.arrays)
        for variable, value in zip(self.written, values, strict=True):
            variable.assign(value)
        for layer, loss in zip(self.adders, losses, strict=True):
            layer.add_loss(loss)
        for array, mask in zip(jax.tree.leaves(out), hidden, strict=True):
            masks.set_mask(array, mask)
        return out


def _is_differentiated(leaves: list[Any]) -> bool:
    """Whether a gradient may be taken of a call on these."""
    if any(map(is_symbolic, leaves)) or in_symbolic_scope():
        return False
    return in_program() or any(map(is_tracer, leaves))


def _is_array(x: object) -> bool:
    return isinstance(x, jax.Array | np.ndarray)


class RematScope:
    """Layers made within the scope are rematerialized wherever they are called.

    Args:
        mode: "full" for every layer; "activations" to keep products of matrices and
            convolutions and compute again what is around them; "larger_than" for
            layers whose output has more entries than `output_size_threshold`;
            "list_of_layers" for those in `layer_names`; None for none, within another
            scope.

    Raises:
        ArgumentError: for another mode.

    >>> import carnyx as keras
    >>> with RematScope("larger_than", output_size_threshold=2048):
    ...     layer = keras.layers.Dense(64)
    """

    def __init__(
        self,
        mode: str | None = "full",
        output_size_threshold: int = 1024,
        layer_names: Sequence[str] | None = None,
    ) -> None:
        if mode not in MODES:
            raise ArgumentError(
                f"RematScope got mode={mode!r}; expected one of "
                f"{', '.join(map(repr, MODES))}."
            )
        self.mode, self.output_size_threshold = mode, output_size_threshold
        self.layer_names = list(layer_names or [])

    def __enter__(self) -> RematScope:
        self._scope = scoped(remat=self)
        self._scope.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._scope.__exit__(*error)
        del self._scope  # layers keep the rest, and may be pickled

    def wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The `call` of a layer of that name as the mode wants it."""
        if self.mode is None or (
            self.mode == "list_of_layers" and name not in self.layer_names
        ):
            return call
        if self.mode == "larger_than":
            return _rematerialized(call, None, self.output_size_threshold)
        return _rematerialized(call, _kept if self.mode == "activations" else None, 0)


def _kept(primitive: Any, *_: Any, **__: Any) -> bool:
    return primitive.name in _PRODUCTS
