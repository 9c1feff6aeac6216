"""Losses for several outputs at once: for a part of their structure, or all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from carnyx import tree
from carnyx.errors import ArgumentError, UnknownKeyError
from carnyx.losses import Loss
from carnyx.typing import Tensor, Tensors

Path = tuple[Any, ...]


@dataclass(frozen=True)
class _Given:
    """A loss and its weight, a leaf of what was given."""

    loss: Any
    weight: Any


class Term(NamedTuple):
    """What was given for one part of the outputs: losses, and a weight for each."""

    path: Path
    losses: list[Any]
    weights: list[Any]


class PartLoss(NamedTuple):
    """The loss of a part of the outputs.

    Attributes:
        label: what it is called in the logs.
        first, end: which of all outputs, in order, are in the part.
    """

    path: Path
    label: str
    loss: Loss
    scale: Any
    first: int
    end: int

    def part(self, structure: Tensors, leaves: Sequence[Any]) -> Any:
        """What stands for it among `leaves`, one for each output, as a structure."""
        for key in self.path:
            structure = children(structure)[key]
        return tree.pack_sequence_as(structure, leaves[self.first : self.end])

    def weight_of(self, weights: Sequence[Any]) -> Any:
        """The mean of its outputs' sample weights: that one which was given for all."""
        own = weights[self.first : self.end]
        if all(w is None for w in own):
            return None
        if any(w is None or w.shape != own[0].shape for w in own):
            raise ArgumentError(
                f"The loss {self.loss.name!r} is for several outputs ({self.label}), "
                "which have sample weights of different shapes, or none; give one "
                "sample_weight for all."
            )
        return sum(own[1:], own[0]) / len(own)


def terms_of(given: object, weights: object, y_pred: Tensor) -> list[Term] | None:
    """What was given for each part, where a function or object is for several outputs.

    At a structure of outputs, a list of another type than it holds several losses for
    it: `[whole, (first, second)]` for a tuple of two. None where every loss is for one
    output.
    """
    if not isinstance(given, Mapping | list | tuple) or not tree.is_nested(y_pred):
        return None
    losses = tree.flatten(given)
    found: dict[Path, Term] = {}
    try:
        flat = [None] * len(losses) if weights is None else tree.flatten(weights)
        pairs = map(_Given, losses, flat)
        parts = list(_visit(tree.pack_sequence_as(given, list(pairs)), y_pred, ()))
    except (KeyError, ValueError):  # not in this form; what it is says who looks next
        return None
    inner = [one for _, node, one in parts if tree.is_nested(node)]
    if not inner or not all(callable(one.loss) for one in inner):
        return None
    if len(flat) != len(losses):
        raise ArgumentError(
            f"loss_weights has {len(flat)} numbers for {len(losses)} losses; give one "
            "for each, in the same structure."
        )
    for path, _, one in parts:
        term = found.setdefault(path, Term(path, [], []))
        term.losses.append(one.loss)
        term.weights.append(1.0 if one.weight is None else one.weight)
    return list(found.values())


def _visit(given: Any, node: Any, path: Path) -> Iterator[tuple[Path, Any, _Given]]:
    """Each loss with the outputs that it is for."""
    if isinstance(given, _Given):
        if given.loss is not None:
            yield path, node, given
        return
    several = isinstance(given, list | tuple)
    for_each = several and tree.is_nested(node) and not any(map(tree.is_nested, given))
    if for_each and len(given) == len(tree.flatten(node)):
        given = tree.pack_sequence_as(node, list(given))
    elif several and not isinstance(node, type(given)):
        for one in given:
            yield from _visit(one, node, path)
        return
    nodes = children(node)
    keys = given if isinstance(given, Mapping) else list(nodes)
    inner = given.values() if isinstance(given, Mapping) else given
    for key, one in zip(keys, inner, strict=True):
        if key not in nodes:
            raise UnknownKeyError(key)
        yield from _visit(one, nodes[key], (*path, key))


def children(node: object) -> dict[Any, Any]:
    """What a dict, list or tuple holds, by the keys of paths; a leaf holds nothing."""
    if isinstance(node, Mapping):
        return dict(node)
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return dict(zip(node._fields, node, strict=True))  # type: ignore[attr-defined]
    return dict(enumerate(node)) if isinstance(node, list | tuple) else {}
