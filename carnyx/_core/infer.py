"""Output shapes by abstract evaluation; no layer or op writes shape code.

Unknown sizes become JAX's symbolic dimensions: the same symbol at the same position,
since sizes that meet are usually the same. Where that is not enough (a size is
compared, divided, or two unknown sizes of different positions meet), the function is
probed with concrete sizes, twice, and what differs is unknown.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax import export

from carnyx._core.scope import State, current, scoped
from carnyx._core.symbol import KerasTensor, is_symbolic
from carnyx._core.variable import Variable

# Many divisors, so that reshapes and strides that must divide do; and far above any
# kernel. A small size shows what only looks known because those are large; many
# functions refuse it, which then says nothing.
_PROBES = (240, 720)
_SMALL_PROBE = 2
_MAX_RANK = 16


def infer(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The outputs of `fn` as `KerasTensor`s, for arguments that hold some.

    Variables that `fn` assigns keep their values; nothing is computed.
    """
    leaves, definition = jax.tree_util.tree_flatten((args, kwargs), is_leaf=_is_leaf)
    places = [i for i, leaf in enumerate(leaves) if is_symbolic(leaf)]
    symbols = [leaves[i] for i in places]

    def run(*values: Any) -> Any:
        for i, value in zip(places, values, strict=True):
            leaves[i] = value
        inner_args, inner_kwargs = jax.tree_util.tree_unflatten(definition, leaves)
        outer = current().state
        state = State(closed=False)
        state.shapes_only = True
        if outer is not None:
            state.variables |= outer.variables
        with scoped(state=state):
            out = fn(*inner_args, **inner_kwargs)
        return jax.tree_util.tree_map(_as_array, out, is_leaf=_is_none)

    return _evaluate(run, symbols)


def _is_leaf(x: Any) -> bool:
    return x is None or is_symbolic(x)


def _is_none(x: Any) -> bool:
    return x is None


def _as_array(x: Any) -> Any:
    return x.value if isinstance(x, Variable) else x


def _evaluate(run: Callable[..., Any], symbols: list[KerasTensor]) -> Any:
    unknown = any(d is None for s in symbols for d in s.shape)
    if not unknown:
        return _specs(jax.eval_shape(run, *_structs(symbols, lambda axis: 0)))
    try:
        return _specs(jax.eval_shape(run, *_structs(symbols, _symbol)))
    except Exception as symbolic_error:
        try:
            first, second = (
                jax.eval_shape(run, *_structs(symbols, lambda axis, n=n: n))
                for n in _PROBES
            )
        except Exception as error:
            # The concrete probe's message has numbers in it that no user wrote.
            raise (error if _is_ours(error) else symbolic_error) from None
        merged = _merge(first, second)
        try:
            small = jax.eval_shape(run, *_structs(symbols, lambda axis: _SMALL_PROBE))
        except Exception:
            return merged
        return _merge(merged, small)


def _is_ours(error: Exception) -> bool:
    return type(error).__module__.split(".")[0] != "jax"


def _structs(symbols: list[KerasTensor], size: Callable[[int], Any]) -> list[Any]:
    return [
        jax.ShapeDtypeStruct(
            tuple(size(i) if d is None else d for i, d in enumerate(s.shape)), s.dtype
        )
        for s in symbols
    ]


def _symbol(axis: int) -> Any:
    return _symbols()[axis]


@functools.cache
def _symbols() -> tuple[Any, ...]:
    names = [f"d{i}" for i in range(_MAX_RANK)]
    return tuple(
        export.symbolic_shape(
            ", ".join(names), constraints=[f"{n} >= 2" for n in names]
        )
    )


def _specs(out: Any) -> Any:
    return jax.tree_util.tree_map(
        lambda s: KerasTensor(
            [d if isinstance(d, int) else None for d in s.shape], s.dtype
        ),
        out,
    )


def _merge(first: Any, second: Any) -> Any:
    def tensor(a: Any, b: Any) -> KerasTensor:
        sizes = zip(a.shape, b.shape, strict=True)
        return KerasTensor([d if d == e else None for d, e in sizes], a.dtype)

    return jax.tree_util.tree_map(tensor, first, second)
