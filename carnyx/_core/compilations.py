"""How often programs were compiled; for tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def compilations(functions: Iterable[Any]) -> int:
    """How many programs jitted functions have between them, one for each set of
    shapes, dtypes and places of arguments.

    JAX has no public name for this number, and counting traces would not do: values
    that lie elsewhere than the last time are compiled for again without one, which is
    what tests of layouts look for. Nothing but tests depends on it.

    >>> import jax
    >>> double = jax.jit(lambda x: 2 * x)
    >>> [compilations([double]) for x in (1.0, 2.0, 3) if double(x) > 0]
    [1, 1, 2]
    """
    return sum(function._cache_size() for function in functions)
