"""Output shapes by abstract evaluation; no layer or op writes shape code.

`infer` traces a function on shapes alone, with a symbol of JAX for every size that is
not known. To JAX two symbols are two different sizes, and a symbol never equals a
number, while at run time they may well be equal. So there are two stages.

**One symbol an axis.** Unknown sizes at the same position get the same symbol, since
sizes that meet are usually the same. Almost every call is done after this one trace.

**Trials** (`trials.py`), where that fails. A trial says what each unknown size might
be: a symbol, or a number that occurs in the call. The first under which the function
can be traced is taken, those that assume least coming first. It shows what is known
of the outputs *if* the sizes are so. Then each number that it assumed is changed, alone
and with its equals: where the function accepts another one too, an output size that
changes with it is unknown; where it accepts no other, the size is forced. Hence

    (None, 3) + (2, None)        is (2, 3): only 2 or 1 can meet a 2
    (None, None) @ (4, 3)        is (None, 3): the second must be 4
    reshape((None, 3), (-1, 7))  is (None, 7): 7 and 14 both do, and give 3 and 6

A function that no trial suits has shapes that do not fit, and its error is that of the
first trace, with None where a symbol stood. Numbers of trials are never shown.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax import export
from jax.core import Tracer

from carnyx._core import explain
from carnyx._core.scope import State, current, scoped
from carnyx._core.symbol import KerasTensor, is_symbolic
from carnyx._core.trials import (
    Assignment,
    Place,
    Sizes,
    by_axis,
    known_shapes,
    other_sizes,
    some_numbers,
    trials,
    unknown_axes,
)
from carnyx._core.variable import Variable

_MAX_RANK = 16
_MOST_TRIALS = 80
_FAILED = object()  # instead of outputs, which may be None


def infer(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The outputs of `fn` as `KerasTensor`s, for arguments that hold some.

    Variables that `fn` assigns keep their values; nothing is computed.

    Raises:
        ShapeError: where the shapes do not fit, whatever the unknown sizes are.
    """
    call = _Call(fn, args, kwargs)
    try:
        return _specs(call.trace(by_axis(call.unknown), first=True))
    except Exception as error:  # looked at, and raised again unless sizes were why
        found = _by_trials(call, error)
        if found is not _FAILED:
            return _specs(found)
        explain.clean(error)
        raise


def judge(
    error: Exception, fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]
) -> None:
    """Note at an error of `fn`, met while shapes are inferred, whether it fails always.

    What fails for all sizes of its own arguments fails wherever it is called from: a
    model need not be tried again with other sizes because a layer deep in it got a
    wrong shape.
    """
    state = current().state
    if state is None or not state.first_trace or explain.is_judged(error):
        return
    given = jax.tree_util.tree_map(_as_symbol, (args, kwargs), is_leaf=_is_leaf)
    works = any(
        found is not _FAILED for _, found in _attempts(_Call(fn, *given), error)
    )
    explain.judge(error, hopeless=not works)


def _as_symbol(x: Any) -> Any:
    return _specs(x) if isinstance(x, Tracer) else x


def some_size() -> Any:
    """The size of an axis of a result that depends on values, while shapes are
    inferred: None in what is recorded."""
    return _dimensions()[f"d{_MAX_RANK - 1}"]


class _Call:
    """A call that can be traced again and again, with other sizes each time."""

    def __init__(self, fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]):
        self.fn, self.args, self.kwargs = fn, args, kwargs
        given = args, kwargs
        self.leaves, self.form = jax.tree_util.tree_flatten(given, is_leaf=_is_leaf)
        self.places = [i for i, leaf in enumerate(self.leaves) if is_symbolic(leaf)]
        self.symbols: list[KerasTensor] = [self.leaves[i] for i in self.places]
        self.unknown = unknown_axes(self.symbols)

    @functools.cached_property
    def known(self) -> list[Sizes]:
        """The shapes of all its tensors, 0 for what is unknown."""
        return known_shapes(self.symbols, self.leaves)

    @functools.cached_property
    def numbers(self) -> list[int]:
        """Sizes that it may accept where it does not accept any."""
        return some_numbers(self.fn, (self.args, self.kwargs), self.known)

    def trace(self, sizes: Assignment, first: bool = False) -> Any:
        """The abstract outputs, with `sizes` for the unknown ones."""
        specs = [
            jax.ShapeDtypeStruct(
                tuple(
                    _size(sizes[i, axis]) if n is None else n
                    for axis, n in enumerate(symbol.shape)
                ),
                jax.dtypes.canonicalize_dtype(symbol.dtype),
            )
            for i, symbol in enumerate(self.symbols)
        ]
        return jax.eval_shape(functools.partial(self._run, first), *specs)

    def _run(self, first: bool, *values: Any) -> Any:
        leaves = list(self.leaves)
        for i, value in zip(self.places, values, strict=True):
            leaves[i] = value
        args, kwargs = jax.tree_util.tree_unflatten(self.form, leaves)
        outer = current().state
        state = State(closed=False)
        state.shapes_only, state.first_trace = True, first
        if outer is not None:
            state.writable |= outer.writable
        with scoped(state=state):
            out = self.fn(*args, **kwargs)
        return jax.tree_util.tree_map(_as_array, out, is_leaf=_is_none)


def _by_trials(call: _Call, error: Exception) -> Any:
    """The outputs under the first trial that works, what it left open unknown."""
    for sizes, found in _attempts(call, error):
        if found is not _FAILED:
            sizes, found = _freed(call, sizes, found)
            return _opened(call, sizes, found)
    return _FAILED


def _attempts(call: _Call, error: Exception) -> Iterator[tuple[Assignment, Any]]:
    """The trials of a call that failed by `error`, and what came of each."""
    if explain.is_hopeless(error) or not call.unknown:
        return
    tried = [by_axis(call.unknown)]
    numbers = list(dict.fromkeys([*call.numbers, *explain.sizes_named_by(error)]))
    made = trials(call.symbols, call.known, numbers, explain.is_of_sizes(error))
    for sizes in itertools.islice(made, _MOST_TRIALS):
        if sizes not in tried:
            tried.append(sizes)
            yield sizes, _attempt(call, sizes)


def _attempt(call: _Call, sizes: Assignment) -> Any:
    try:
        return call.trace(sizes)
    except Exception:  # of whatever class: nobody asked for a call with these sizes
        return _FAILED


def _freed(call: _Call, sizes: Assignment, found: Any) -> tuple[Assignment, Any]:
    """Symbols again for the numbers that the function did not need."""
    assumed = [place for place, size in sizes.items() if isinstance(size, int)]
    axes = {axis for _, axis in assumed}
    groups = [[p for p in assumed if p[1] == axis] for axis in sorted(axes)]
    groups += [[p] for p in assumed if [p] not in groups]
    for group in groups if len(assumed) > 1 else ():
        freer = sizes | {place: f"d{place[1]}" for place in group}
        outputs = _attempt(call, freer)
        if outputs is not _FAILED:
            sizes, found = freer, outputs
    return sizes, found


def _opened(call: _Call, sizes: dict[Place, Any], found: Any) -> Any:
    """The outputs without the sizes that change when an assumed number does."""
    assumed = [place for place, size in sizes.items() if isinstance(size, int)]
    groups = [
        [p for p in assumed if sizes[p] == n] for n in {sizes[p] for p in assumed}
    ]
    groups += [[p] for p in assumed if [p] not in groups]
    for group in groups:
        for size in other_sizes(sizes[group[0]], call.numbers):
            outputs = _attempt(call, sizes | dict.fromkeys(group, size))
            if outputs is _FAILED:
                continue
            if _has_form_of(found, outputs):
                found = _common(found, outputs)
            elif size > sizes[group[0]]:  # the size says how many outputs there are
                return _FAILED
    return found


def _has_form_of(first: Any, second: Any) -> bool:
    leaves, form = jax.tree_util.tree_flatten(first)
    others, other_form = jax.tree_util.tree_flatten(second)
    return form == other_form and all(a.ndim == b.ndim for a, b in zip(leaves, others))


def _common(first: Any, second: Any) -> Any:
    """What two evaluations agree about."""

    def tensor(a: Any, b: Any) -> KerasTensor:
        sizes = zip(a.shape, b.shape, strict=True)
        return KerasTensor([m if _is_same(m, n) else None for m, n in sizes], a.dtype)

    return jax.tree_util.tree_map(tensor, first, second)


def _is_same(a: Any, b: Any) -> bool:
    return isinstance(a, int) and isinstance(b, int) and a == b


def _is_leaf(x: Any) -> bool:
    return x is None or is_symbolic(x)


def _is_none(x: Any) -> bool:
    return x is None


def _as_array(x: Any) -> Any:
    return x.value if isinstance(x, Variable) else x


def _specs(out: Any) -> Any:
    return jax.tree_util.tree_map(
        lambda s: KerasTensor(
            [d if isinstance(d, int) else None for d in s.shape], s.dtype
        ),
        out,
    )


def _size(size: int | str) -> Any:
    return size if isinstance(size, int) else _dimensions()[size]


@functools.cache
def _dimensions() -> dict[str, Any]:
    """JAX's symbols by name, all of one scope, as sizes that meet have to be."""
    names = [f"{explain.UNKNOWN}{i}" for i in range(_MAX_RANK)]
    shape = export.symbolic_shape(
        ", ".join(names), constraints=[f"{n} >= 2" for n in names]
    )
    return {f"d{i}": size for i, size in enumerate(shape)}
