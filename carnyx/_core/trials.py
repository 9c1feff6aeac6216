"""What unknown sizes may be: the trials of shape inference, least assumed first.

A size is a number, or the name of a symbol (`"d0"`). Numbers come from the call itself:
sizes that are known, integers among the arguments and in the fields of the layer, and
what is made of them (a common multiple above all of them, which splits, reshapes and
windows accept). None is written here beyond the few that count something: 1 to 4.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable
from carnyx.configurable import Configurable

Place = tuple[int, int]
"""Which symbolic tensor, which axis."""

Assignment = dict[Place, int | str]
Sizes = tuple[int, ...]

_SMALL = (2, 3, 4, 1)
_DEPTH = 3  # how far down in layers of layers numbers are looked for


def unknown_axes(symbols: Sequence[KerasTensor]) -> list[Place]:
    """Where sizes are unknown."""
    return [
        (i, axis)
        for i, symbol in enumerate(symbols)
        for axis, size in enumerate(symbol.shape)
        if size is None
    ]


def by_axis(places: Iterable[Place]) -> Assignment:
    """The same symbol at the same axis, counted from the first."""
    return {place: f"d{place[1]}" for place in places}


def all_of(places: Iterable[Place], size: int | str) -> Assignment:
    """The same size at all those places."""
    return dict.fromkeys(places, size)


def trials(
    symbols: Sequence[KerasTensor],
    known: list[Sizes],
    numbers: list[int],
    of_sizes: bool,
) -> Iterator[Assignment]:
    """Sizes to try, in order; `by_axis` alone was tried already.

    Args:
        known: the shapes of all tensors of the call, 0 for what is unknown.
        numbers: further sizes to try.
        of_sizes: whether the function failed because sizes did not fit. If not, it may
            ask for numbers (to count up to a size), and only such trials are made.
    """
    places = unknown_axes(symbols)
    sizes = [n for n in dict.fromkeys(itertools.chain(*known)) if n > 1]
    if not of_sizes:
        for n in numbers[:2]:
            yield all_of(places, n)
        return
    same = all_of(places, "d0")
    yield same
    yield same | _met(symbols, known, from_end=True)
    yield same | _met(symbols, known, from_end=False)
    candidates = list(dict.fromkeys([*sizes, *numbers]))
    for n, place in itertools.product(candidates, places):
        yield same | {place: n}
    columns = {axis: [p for p in places if p[1] == axis] for _, axis in places}
    inner = [p for p in places if p[1] > 0]
    for group in (*columns.values(), inner, places):
        for n in candidates if len(group) > 1 else ():
            yield same | all_of(group, n)
    for (p, q), (n, m) in itertools.product(
        itertools.combinations(places, 2), itertools.product(sizes, sizes)
    ):
        yield same | {p: n, q: m}


def _met(
    symbols: Sequence[KerasTensor], known: list[Sizes], from_end: bool
) -> Assignment:
    """For each unknown size the known one at its axis, counted as broadcasting does,
    or from the first, as samples and their labels are."""
    met: Assignment = {}
    for i, axis in unknown_axes(symbols):
        at = axis - len(symbols[i].shape) if from_end else axis
        column = [s[at] for s in known if -len(s) <= at < len(s)]
        if max(column, default=0) > 1:
            met[i, axis] = next(n for n in column if n > 1)
    return met


def known_shapes(symbols: Sequence[KerasTensor], others: Sequence[Any]) -> list[Sizes]:
    """The shapes of all tensors of a call, 0 for what is unknown."""
    arrays = [x for x in others if isinstance(x, jax.Array | np.ndarray | Variable)]
    shapes = [x.shape for x in [*symbols, *arrays]]
    return [tuple(n if isinstance(n, int) else 0 for n in s) for s in shapes]


def some_numbers(fn: Callable[..., Any], given: Any, known: list[Sizes]) -> list[int]:
    """Sizes that `fn` may accept where it does not accept any: see the module."""
    owner = getattr(fn, "__self__", None)
    owners = [owner] if isinstance(owner, Configurable) else []
    said = _numbers_in([*given, *owners], _DEPTH)
    whole = _common_multiple([*said, *itertools.chain(*known)])
    above = whole * (1 + sum(said) // whole)
    return list(dict.fromkeys([above, 2 * above, *said, *_SMALL, 16 * above]))


def _common_multiple(sizes: Iterable[int]) -> int:
    """A multiple of 12 and of the sizes, as far as it does not grow too large."""
    whole = 12
    for n in sorted(n for n in sizes if n > 1):
        larger = math.lcm(whole, n)
        whole = larger if larger < 10**6 else whole
    return whole


def _numbers_in(values: Iterable[Any], depth: int) -> list[int]:
    """The integers above 1 in arguments and in fields of layers, lengths of lists, and
    the sizes of weights, each once."""
    found: dict[int, None] = {}
    waiting = list(values)
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, int | np.integer):
            found[abs(int(value))] = None
        elif isinstance(value, list | tuple | dict):
            waiting += value.values() if isinstance(value, dict) else value
            found[len(value)] = None
        elif isinstance(value, Variable):
            found |= dict.fromkeys(n for n in value.shape if isinstance(n, int))
        elif isinstance(value, Configurable) and depth:
            found |= dict.fromkeys(_numbers_in(vars(value).values(), depth - 1))
    return [n for n in found if n > 1]


def other_sizes(size: int, numbers: Sequence[int]) -> list[int]:
    """Sizes to put in the place of one that was tried, to see whether it has to be.

    Multiples, one of them far larger, some that leave the same remainder, small ones.
    """
    steps = [size + n for n in numbers[2:4]]
    others = [2 * size, 64 * size, *steps, 1, 2]
    return [n for n in dict.fromkeys(others) if n != size]
