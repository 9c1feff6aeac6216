"""Which variables, layers and metrics an object holds: found, not registered.

The attributes are walked, with lists, tuples and dicts in them, in the order in which
they were first set. Nothing is wrapped: a list of layers stays a plain list.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from carnyx._core.seed import SeedGenerator
from carnyx._core.variable import Variable
from carnyx.typing import Tensor

# Bookkeeping that also refers to layers or variables, without owning them.
_NOT_OWNED = frozenset({"_given", "_inbound_nodes", "_inputs_expected", "_losses"})
_CONTAINERS = (dict, list, tuple)


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
    wanted = (*kinds, *_CONTAINERS)
    hidden = getattr(owner, "_hidden_attributes", ())
    for name, value in list(vars(owner).items()):
        if isinstance(value, wanted) and name not in _NOT_OWNED and name not in hidden:
            yield from _within(value, kinds, wanted, seen)


def _within(
    value: Any, kinds: tuple[type, ...], wanted: tuple[type, ...], seen: set[int]
) -> Iterator[Any]:
    """What a value is or holds; most attributes are neither, and no call is made."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, kinds):
        yield value
        return
    for item in list(value.values()) if isinstance(value, dict) else value:
        if isinstance(item, wanted):
            yield from _within(item, kinds, wanted, seen)


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
