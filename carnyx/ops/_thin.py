"""Makers of the ops that are one function of `jax.numpy` under Keras's signature.

`prepare` is what happens to an input first: `tensor` takes lists and numbers as arrays,
`to_float` makes `floatx` of integers too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from carnyx._core.op import op
from carnyx.ops._dtypes import tensor
from carnyx.typing import Axis, Tensor

F = TypeVar("F", bound=Callable[..., Any])


class Unary(Protocol):
    def __call__(self, x: Tensor) -> Tensor: ...


class Binary(Protocol):
    def __call__(self, x1: Tensor, x2: Tensor) -> Tensor: ...


class Bitwise(Protocol):
    def __call__(self, x: Tensor, y: Tensor) -> Tensor: ...


class Reduction(Protocol):
    def __call__(
        self, x: Tensor, axis: Axis = None, keepdims: bool = False
    ) -> Tensor: ...


def axes(axis: Axis) -> int | tuple[int, ...] | None:
    """`axis` in the hashable form that `jax.numpy` wants."""
    return axis if axis is None or isinstance(axis, int) else tuple(axis)


def named(
    function: F,
    name: str,
    doc: str,
    module: str = "carnyx.ops.numpy",
    grows: bool = True,
) -> F:
    """`function` as the public op `<module>.<name>`."""
    function.__name__ = function.__qualname__ = name
    function.__module__ = module
    function.__doc__ = doc
    return op(function, grows=grows)


def operand(x: Tensor) -> Any:
    """`x` as an array, a Python number as it is: sooner done, and weak all the same."""
    return x if isinstance(x, int | float | complex) else tensor(x)


def unary(
    fn: Callable[..., Any],
    doc: str,
    prepare=tensor,
    name: str | None = None,
    **where: str,
) -> Unary:
    """The op `fn(x)`; `module` in `where` is its home, if not `carnyx.ops.numpy`."""

    def apply(x: Tensor) -> Tensor:
        return fn(prepare(x))

    return named(apply, name or fn.__name__, doc, grows=False, **where)


def binary(
    fn: Callable[..., Any], doc: str, broadcasts: bool = True, name: str | None = None
) -> Binary:
    """The op `fn(x1, x2)`, entry by entry where it broadcasts."""

    def apply(x1: Tensor, x2: Tensor) -> Tensor:
        return fn(operand(x1), operand(x2))

    apply.broadcasts = broadcasts  # type: ignore[attr-defined]

    return named(apply, name or fn.__name__, doc)


def bitwise(fn: Callable[..., Any], doc: str, name: str) -> Bitwise:
    """The op `fn(x, y)` on the bits of integers."""

    def apply(x: Tensor, y: Tensor) -> Tensor:
        return fn(tensor(x), tensor(y))

    return named(apply, name, doc)


def reduction(fn: Callable[..., Any], doc: str, prepare=tensor) -> Reduction:
    """The op `fn(x)` over `axis` (None: over all axes)."""

    def apply(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return fn(prepare(x), axis=axes(axis), keepdims=keepdims)

    return named(apply, fn.__name__, doc, grows=False)
