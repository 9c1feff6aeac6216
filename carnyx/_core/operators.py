"""Python's operators on variables and symbolic tensors, as the ops of the same name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

OPS: dict[str, Callable[..., Any]] = {}
"""Every op by its public name; `op` fills it."""


class Operators:
    """`a + b` is `ops.add(a, b)`, and so on."""

    def __add__(self, other: Any) -> Any:
        return OPS["add"](self, other)

    def __radd__(self, other: Any) -> Any:
        return OPS["add"](other, self)

    def __sub__(self, other: Any) -> Any:
        return OPS["subtract"](self, other)

    def __rsub__(self, other: Any) -> Any:
        return OPS["subtract"](other, self)

    def __mul__(self, other: Any) -> Any:
        return OPS["multiply"](self, other)

    def __rmul__(self, other: Any) -> Any:
        return OPS["multiply"](other, self)

    def __truediv__(self, other: Any) -> Any:
        return OPS["divide"](self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return OPS["divide"](other, self)

    def __floordiv__(self, other: Any) -> Any:
        return OPS["floor_divide"](self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return OPS["floor_divide"](other, self)

    def __mod__(self, other: Any) -> Any:
        return OPS["mod"](self, other)

    def __rmod__(self, other: Any) -> Any:
        return OPS["mod"](other, self)

    def __pow__(self, other: Any) -> Any:
        return OPS["power"](self, other)

    def __rpow__(self, other: Any) -> Any:
        return OPS["power"](other, self)

    def __matmul__(self, other: Any) -> Any:
        return OPS["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return OPS["matmul"](other, self)

    def __and__(self, other: Any) -> Any:
        return OPS["logical_and"](self, other)

    def __rand__(self, other: Any) -> Any:
        return OPS["logical_and"](other, self)

    def __or__(self, other: Any) -> Any:
        return OPS["logical_or"](self, other)

    def __ror__(self, other: Any) -> Any:
        return OPS["logical_or"](other, self)

    def __xor__(self, other: Any) -> Any:
        return OPS["logical_xor"](self, other)

    def __rxor__(self, other: Any) -> Any:
        return OPS["logical_xor"](other, self)

    def __lt__(self, other: Any) -> Any:
        return OPS["less"](self, other)

    def __le__(self, other: Any) -> Any:
        return OPS["less_equal"](self, other)

    def __gt__(self, other: Any) -> Any:
        return OPS["greater"](self, other)

    def __ge__(self, other: Any) -> Any:
        return OPS["greater_equal"](self, other)

    def __eq__(self, other: Any) -> Any:  # type: ignore[override]
        return OPS["equal"](self, other)

    def __ne__(self, other: Any) -> Any:  # type: ignore[override]
        return OPS["not_equal"](self, other)

    def __neg__(self) -> Any:
        return OPS["negative"](self)

    def __abs__(self) -> Any:
        return OPS["absolute"](self)

    def __invert__(self) -> Any:
        return OPS["logical_not"](self)

    def __pos__(self) -> Any:
        return self

    def __round__(self, ndigits: int | None = None) -> Any:
        return OPS["round"](self, decimals=ndigits or 0)

    def __getitem__(self, key: Any) -> Any:
        return OPS["get_item"](self, key)

    __hash__ = object.__hash__  # as of an object: equality is of elements
