"""`op`: a function on arrays that also records itself on symbolic tensors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from carnyx import registry
from carnyx._core import explain
from carnyx._core.devices import ensure_device
from carnyx._core.infer import infer, judge
from carnyx._core.node import Node, OpCall
from carnyx._core.operators import OPS
from carnyx._core.results import ensure_room_for_result
from carnyx._core.scope import current
from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable


def op(
    fn: Callable[..., Any] | None = None, *, name: str | None = None, grows: bool = True
) -> Any:
    """Make a function on arrays an op.

    Given arrays it computes; variables are read; given a symbolic tensor, anywhere in
    nested arguments, it records a node whose output shape is inferred by tracing.

    What its annotations call a tensor, or a function of tensors, is an operand; all
    else configures the op, which is how a graph's record tells them apart.

    Args:
        name: the public name, where it is not the function's.
        grows: whether results may have more entries than the largest argument.

    >>> import jax.numpy as jnp
    >>> @op
    ... def doubled(x): return 2 * x
    >>> doubled(jnp.ones(2)).tolist(), doubled(KerasTensor((None, 3))).shape
    ([2.0, 2.0], (None, 3))
    """
    if fn is None:
        return functools.partial(op, name=name, grows=grows)
    public = name or fn.__name__  # type: ignore[attr-defined]

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        kinds = _kinds(args) | _kinds(kwargs.values()) if kwargs else _kinds(args)
        if kinds & _SYMBOLIC:
            return record(OpCall(call), args, kwargs)
        if kinds & _VARIABLE:
            args = tuple(_read(a) for a in args)
            kwargs = {k: _read(v) for k, v in kwargs.items()}
        ensure_device()
        if grows:
            ensure_room_for_result(fn, public, args, kwargs)
        try:
            out = fn(*args, **kwargs)
        except Exception as error:
            clearer = explain.of_op(error, call, args, kwargs)
            judge(clearer or error, fn, args, kwargs)
            if clearer is None:
                raise
            raise clearer from None
        watch = current().watch
        if watch is not None:
            watch.operation(public, args, out)
        return out

    call.op_name = public  # type: ignore[attr-defined]
    call.__name__ = public
    OPS[public] = registry.mark_own(call)
    return call


@functools.cache
def operands_of(fn: Callable[..., Any]) -> frozenset[str]:
    """The parameters that a call of the op is made on."""
    parameters = inspect.signature(fn).parameters.values()
    any_number = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return frozenset(
        p.name
        for p in parameters
        if "Tensor" in str(p.annotation) or (any_number and p.kind is p.VAR_KEYWORD)
    )


def record(call: OpCall, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Record a call on symbolic tensors; returns its symbolic outputs."""
    try:
        outputs = infer(call.fn, *args, **kwargs)
    except Exception as error:
        clearer = explain.of_op(error, call.fn, args, kwargs)
        if clearer is None:
            raise
        raise clearer from None
    Node(call, args, kwargs, outputs)
    return outputs


_SYMBOLIC, _VARIABLE = 1, 2


def _kinds(values: Any) -> int:
    """Which special kinds stand among nested arguments, as bits."""
    found = 0
    for value in values:
        if isinstance(value, KerasTensor):
            return _SYMBOLIC
        if isinstance(value, Variable):
            found |= _VARIABLE
        elif isinstance(value, list | tuple):
            found |= _kinds(value)
        elif isinstance(value, dict):
            found |= _kinds(value.values())
    return found


def _read(value: Any) -> Any:
    if isinstance(value, Variable):
        return value.value
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(_read(v) for v in value)
    if isinstance(value, dict):
        return {k: _read(v) for k, v in value.items()}
    return value
