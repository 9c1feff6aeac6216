"""Which variables, layers and metrics an object holds: found, not registered.

The attributes are walked, with lists, tuples and dicts in them, in the order in which
they were first set. Nothing is wrapped: a list of layers stays a plain list.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from carnyx._core.node import Node
from carnyx._core.seed import SeedGenerator
from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable
from carnyx.typing import Tensor

# Bookkeeping that also refers to layers or variables, without owning them.
_NOT_OWNED = frozenset({"_given", "_inbound_nodes", "_losses"})
_LEAVES = (str, bytes, int, float, bool, type(None), KerasTensor, Node)
_PLAIN = frozenset(_LEAVES)  # looked up before anything is called: most attributes are


@runtime_checkable
class MetricLike(Protocol):
    """What counts as a metric that a layer holds."""

    @property
    def variables(self) -> list[Variable]: ...
    def update_state(self, *args: Any, **kwargs: Any) -> Any: ...
    def result(self) -> Tensor: ...
    def reset_state(self) -> None: ...


def owned(owner: object, kinds: tuple[type, ...]) -> Iterator[Any]:
    """Objects of these kinds that the attributes of `owner` hold, each once."""
    seen: set[int] = set()
    hidden = getattr(owner, "_hidden_attributes", ())
    for name, value in list(vars(owner).items()):
        if type(value) in _PLAIN or name in _NOT_OWNED or name in hidden:
            continue
        yield from _within(value, kinds, seen)


def _within(value: Any, kinds: tuple[type, ...], seen: set[int]) -> Iterator[Any]:
    if isinstance(value, _LEAVES) or id(value) in seen:
        return
    if isinstance(value, kinds):
        seen.add(id(value))
        yield value
    elif isinstance(value, dict):
        seen.add(id(value))
        for item in list(value.values()):
            yield from _within(item, kinds, seen)
    elif isinstance(value, list | tuple):
        seen.add(id(value))
        for item in value:
            yield from _within(item, kinds, seen)


def own_variables(owner: object) -> list[Variable]:
    """Variables of the object itself: those made trainable first, as in Keras."""
    made = vars(owner).get("_made", [])
    known = {id(v) for v in made}
    rest = (v for v in owned(owner, (Variable,)) if id(v) not in known)
    every = [*made, *rest]
    return [v for v in every if v.born_trainable] + [
        v for v in every if not v.born_trainable
    ]


def seed_generators(owner: object) -> list[SeedGenerator]:
    """Seed generators of the object itself."""
    return list(owned(owner, (SeedGenerator,)))
